"""Every method with tasks of several outputs: trained, folded, saved, loaded again, and read by PEFT alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightune.artifact import ArtifactConfig, load_adapter, save_adapter
from lightune.data.encoding import encode
from lightune.evaluation.answering import answering_task
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.methods import METHODS, make_method
from lightune.methods.support import support
from lightune.models.load import LoadedModel, find_model, fingerprint, load_model
from lightune.recipe import SettledTraining
from lightune.tasks import TASKS, Task
from lightune.tasks.columns import LabelColumn, Wishes
from lightune.training.batch_loss import Examples
from lightune.training.probe_head import start_from_probe
from lightune.training.train import Surroundings, Texts, train
from tiny import ARCHITECTURES, TinyModels, sentences

THREE = ("distilbert", "gpt2", "llama")


def cases() -> Iterator[Any]:
    """LoRA on every architecture; every other method on one of three, in turn, and with `make test-long` on all."""
    for number, method in enumerate(METHODS):
        works = [one for one in THREE if not support().get(method, {}).get(one)]
        usual = ARCHITECTURES if method == "lora" else [works[number % len(works)]]
        yield from (pytest.param(method, one) for one in usual)
        yield from (pytest.param(method, one, marks=pytest.mark.long) for one in works if one not in usual)


TEXTS = [(text,) for text, _ in sentences(24, seed=5)]
# What each text holds, by its words: sets of labels, and numbers far from 0 with a large spread.
CELLS: dict[str, list[Any]] = {
    "multi_label": [[word for word in ("very", "the", "film") if word in text.split()] for (text,) in TEXTS],
    "regression": [1000.0 + 50 * len(text.split()) + len(text) / 8 for (text,) in TEXTS],
}


def task_of(name: str) -> Task:
    """Return the task of the made-up column."""
    cells = CELLS[name]
    return TASKS[name].of(LabelColumn("label", "made_up.csv", cells, len(cells)), Wishes(name))


def targets_of(task: Task) -> Any:
    """Return the targets of all texts."""
    found, read = task.targets(len(TEXTS)), task.reader(())
    for row, cell in enumerate(CELLS[task.name]):
        found[row] = read(cell)
    return found


def trained(loaded: LoadedModel, method: Any, folder: Path) -> tuple[Any, Task]:
    """Train for two epochs; return the model and the task as it answers."""
    task = loaded.task
    encoded, targets = encode(loaded.tokenizer, TEXTS, loaded.max_length), targets_of(task)
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    seen = watch_texts(loaded.model, layer, loaded.tokenizer, encoded, 32)
    start_from_probe(layer, seen.head_inputs, targets, task)  # what both tasks do unless told otherwise
    examples = Examples(encoded, targets)
    settings = SettledTraining(num_train_epochs=2, per_device_train_batch_size=8, precision="fp32", learning_rate=1e-4)
    found = train(loaded, method, Texts(examples, examples), settings, Surroundings(folder, eval_batch_size=32))

    def validation() -> tuple[Any, Any]:
        return predict_logits(found.model, loaded.tokenizer, encoded, 32), targets

    return found, answering_task(task, found.model, loaded.anatomy.output_layer, validation).task


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("method", "architecture"), list(cases()))
def test_a_method_learns_the_task_and_its_adapter_answers_as_it_did(
    method: str, architecture: str, name: str, tiny_models: TinyModels, tmp_path: Path
) -> None:
    base, made = tiny_models[architecture], make_method(method)
    source = find_model(str(base))
    task = task_of(name).for_training(targets_of(task_of(name)))
    loaded = load_model(source, task, 3, reserved=made.virtual_tokens)
    run, answering = trained(loaded, made, tmp_path)
    first, last = run.fitted.epochs[0], run.fitted.epochs[-1]
    assert np.isfinite([first.train_loss, last.train_loss]).all()
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    logits = predict_logits(run.model, loaded.tokenizer, encoded, 32)
    config = ArtifactConfig(
        2, str(base), source.revision, fingerprint(source), method, made.options(), answering, loaded.max_length,
        ["text"], "label", 3,
    )  # fmt: skip
    save_adapter(run.model, made, config, tmp_path / "adapter")
    again = load_adapter(tmp_path / "adapter", str(base))
    assert again.config.task == answering
    found = predict_logits(again.model, again.loaded.tokenizer, encoded, 32)
    assert (np.abs(found - logits) <= answering.tolerance).all()
    if name == "regression":  # in the unit of the targets, whatever the training saw
        assert 500 < answering.decode(logits)[0].value < 2500  # type: ignore[attr-defined]
    if made.peft_loadable:
        peft_answers(base, tmp_path / "adapter", answering, logits)


def peft_answers(base: Path, folder: Path, task: Task, logits: Any) -> None:
    """Check that PEFT and transformers, without lightune, read the same answers."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=task.outputs)
    plain.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    model = PeftModel.from_pretrained(plain, str(folder)).eval()
    with torch.inference_mode():
        found = [model(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for (text,) in TEXTS[:4]]
    assert (np.abs(np.stack(found) - logits[:4]) <= 10 * task.tolerance + 1e-4 * np.abs(logits[:4])).all()
