"""Each architecture from loading to a reload in a fresh process: adapted in all six roles, padded as if alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.artifact import ArtifactConfig, save_adapter
from lightune.data.encoding import collate, encode
from lightune.methods import make_method
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.load import LoadedModel, ModelSource, fingerprint, load_model
from tiny import ARCHITECTURES, DECODERS, FILLER, GOOD, WINDOW, classes

Load = Callable[..., LoadedModel]
TEXTS = [
    "a lovely film",
    "the soup was dreadful and cold",
    "this book is quite clever and very warm with a lamp",
    "dull",
]
LABELS = ["negative", "positive"]
SEED = 3
# What a checkpoint of the backbone alone does not hold, by hand; it must be trained and saved with the adapter.
DENSE_AND_OUT = ["classifier.dense.bias", "classifier.dense.weight", "classifier.out_proj.bias",
                 "classifier.out_proj.weight"]  # fmt: skip
NEW = {
    "distilbert": ["classifier.bias", "classifier.weight", "pre_classifier.bias", "pre_classifier.weight"],
    "bert": ["classifier.bias", "classifier.weight"],
    "albert": ["classifier.bias", "classifier.weight"],
    "deberta-v2": ["classifier.bias", "classifier.weight", "pooler.dense.bias", "pooler.dense.weight"],
    "modernbert": ["classifier.bias", "classifier.weight", "head.dense.weight", "head.norm.weight"],
}
for _name in ("roberta", "xlm-roberta", "camembert", "electra", "mpnet"):
    NEW[_name] = DENSE_AND_OUT
for _name in DECODERS:
    NEW[_name] = ["score.weight"]

RELOAD = """
import json, sys
import torch
from pathlib import Path
from lightune.artifact import load_adapter
texts = json.loads(sys.argv[2])
found = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    adapted = load_adapter(folder)
    with torch.no_grad():
        batch = adapted.loaded.tokenizer(texts, padding=True, return_tensors="pt")
        found[folder.name] = adapted.model(**batch).logits.tolist()
print(json.dumps(found))
"""


@dataclass
class Trained:
    """One architecture after three LoRA steps on all six roles."""

    loaded: LoadedModel
    changed: tuple[str, ...]
    before: torch.Tensor
    attached: torch.Tensor
    after: torch.Tensor
    moved: dict[str, bool]
    state: dict[str, torch.Tensor]


def logits_of(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def train_and_save(loaded: LoadedModel, folder: Path) -> Trained:
    method = make_method("lora", {"rank": 4})
    before = logits_of(loaded.model, loaded.tokenizer, TEXTS)
    attachment = method.attach(loaded.model, loaded.anatomy, SEED)
    model = attachment.model
    attached = logits_of(model, loaded.tokenizer, TEXTS)
    start = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=5e-2)
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    for _ in range(3):
        model(**batch, labels=torch.tensor([1, 0, 1, 0])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    options = method.options()
    config = ArtifactConfig(2, str(loaded.source.folder), None, fingerprint(loaded.source), "lora", options,
                            classes(LABELS), 64, ["text"], "label", 1)  # fmt: skip
    after = logits_of(model, loaded.tokenizer, TEXTS)
    save_adapter(model, method, config, folder)
    moved = {
        name: not torch.equal(start[name], value) for name, value in model.named_parameters() if value.requires_grad
    }
    return Trained(loaded, attachment.changed, before, attached, after, moved, method.state(model))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def trained(load_tiny: Load, adapters: Path) -> dict[str, Trained]:
    return {name: train_and_save(load_tiny(name), adapters / name) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def reloaded(trained: dict[str, Trained], adapters: Path) -> dict[str, torch.Tensor]:
    """Logits that one fresh process computes from all the saved adapters."""
    command = [sys.executable, "-c", RELOAD, str(adapters), json.dumps(TEXTS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return {name: torch.tensor(rows) for name, rows in json.loads(found.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_model_answers_as_before_until_it_is_trained(trained: dict[str, Trained], architecture: str) -> None:
    case = trained[architecture]
    assert case.before.shape == (4, 2)
    assert float((case.before - case.before[0]).abs().max()) > 0, "every text gets the same answer"
    torch.testing.assert_close(case.attached, case.before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_role_and_the_head_are_adapted_and_move(trained: dict[str, Trained], architecture: str) -> None:
    case = trained[architecture]
    anatomy = case.loaded.anatomy
    assert sorted(case.changed) == sorted([*anatomy.modules(LINEAR_ROLES), *anatomy.head])
    assert [name for name, has_moved in case.moved.items() if not has_moved] == []
    assert float((case.after - case.before).abs().max()) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_the_checkpoint_lacked_is_trained_and_saved(trained: dict[str, Trained], architecture: str) -> None:
    case = trained[architecture]
    saved = {name.removeprefix("base_model.model.") for name in case.state if ".lora_" not in name}
    assert sorted(saved) == sorted(NEW[architecture])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fresh_process_finds_the_same_logits(
    trained: dict[str, Trained], reloaded: dict[str, torch.Tensor], architecture: str
) -> None:
    assert torch.equal(reloaded[architecture], trained[architecture].after)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_the_checkpoint_lacks_is_drawn_from_the_seed_and_nothing_else(read_tiny: Load, architecture: str) -> None:
    torch.manual_seed(11)
    first, again, other = (read_tiny(architecture, seed=seed).model.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    drawn = {name for name in NEW[architecture] if not name.endswith((".bias", "norm.weight"))}
    assert changed == drawn


# Padding


def texts_of_all_lengths() -> list[tuple[str, ...]]:
    """One text of each length from one word to beyond the sliding window, in no order."""
    words = [*GOOD, *FILLER]
    lengths = sorted(range(1, 3 * WINDOW), key=lambda length: length * 7 % 23)
    return [(" ".join(words[(length + at) % len(words)] for at in range(length)),) for length in lengths]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_padded_batch_answers_as_its_texts_alone(load_lively: Load, architecture: str) -> None:
    loaded = load_lively(architecture)
    rows = encode(loaded.tokenizer, texts_of_all_lengths(), loaded.max_length).rows
    with torch.no_grad():
        alone = torch.cat([loaded.model(**collate(loaded.tokenizer, [row])).logits for row in rows])
        batch = collate(loaded.tokenizer, rows)
        together = loaded.model(**batch).logits
    assert int((batch["attention_mask"].sum(1) == batch["input_ids"].shape[1]).sum()) == 1, "one row is not padded"
    assert float((alone - alone[0]).abs().max()) > 0.1, "the texts are too alike for this test"
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_decoder_answers_from_the_last_token_that_is_no_pad(load_lively: Load, architecture: str) -> None:
    """Whatever stands behind it: the logits are those of the score of that token's state, computed here."""
    loaded = load_lively(architecture)
    rows = encode(loaded.tokenizer, [("a lovely film",), ("the soup was dreadful and cold",)], 64).rows
    with torch.no_grad():
        batch = collate(loaded.tokenizer, rows)
        states = loaded.model.base_model(**batch).last_hidden_state
        last = [len(row["input_ids"]) - 1 for row in rows]
        wanted = loaded.model.score(states[torch.arange(2), torch.tensor(last)])
        torch.testing.assert_close(loaded.model(**batch).logits, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_text_that_holds_the_pad_token_answers_alike_in_a_batch_and_alone(
    load_lively: Load, architecture: str
) -> None:
    """Their pad token is the end-of-text token, which a text may hold at its start, in the middle and at its end."""
    loaded = load_lively(architecture)
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id == loaded.model.config.pad_token_id
    texts = [("a lovely film [SEP]",), ("[SEP] dull",), ("the soup [SEP] was cold and very dull here",), ("[SEP]",)]
    rows = encode(loaded.tokenizer, texts, 64).rows
    assert [row["input_ids"].count(3) for row in rows] == [1, 1, 1, 1]
    with torch.no_grad():
        alone = torch.cat([loaded.model(**collate(loaded.tokenizer, [row])).logits for row in rows])
        together = loaded.model(**collate(loaded.tokenizer, rows)).logits
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_is_on_the_right_and_model_and_tokenizer_agree_on_it(load_tiny: Load, architecture: str) -> None:
    loaded = load_tiny(architecture)
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert batch["attention_mask"][0].tolist() == sorted(batch["attention_mask"][0].tolist(), reverse=True)
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id is not None


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "roberta", "albert", "gpt2", "llama"])
def test_token_types_reach_only_a_model_that_tells_them_apart(
    tiny_models: dict[str, Path], tmp_path: Path, architecture: str
) -> None:
    """GPT-2 would add the words of those numbers to each token, RoBERTa has no second type."""
    folder = Path(shutil.copytree(tiny_models[architecture], tmp_path / architecture))
    path = folder / "tokenizer_config.json"
    names = ["input_ids", "token_type_ids", "attention_mask"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_input_names": names}))
    loaded = load_model(ModelSource("it", folder, None), classes(LABELS), SEED)
    assert ("token_type_ids" in loaded.tokenizer("a lovely film", "dull")) == (architecture in {"bert", "albert"})


@pytest.mark.parametrize("architecture", ["mistral", "modernbert"])
def test_a_sliding_window_is_at_work(load_lively: Load, architecture: str) -> None:
    """Otherwise the texts beyond the window would show nothing above."""
    loaded = load_lively(architecture)
    text = " ".join(FILLER[:14])
    narrow = logits_of(loaded.model, loaded.tokenizer, [text])
    wide = load_lively(architecture)
    for owner in (wide.model.config, *wide.model.modules()):
        for name in ("sliding_window", "local_attention"):
            if name in vars(owner) and getattr(owner, name):
                setattr(owner, name, 64)
    assert float((logits_of(wide.model, wide.tokenizer, [text]) - narrow).abs().max()) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_longest_text_it_says_it_takes_is_one_that_it_takes(load_tiny: Load, architecture: str) -> None:
    """RoBERTa and its kin lose a position to the pad id; the tokenizer does not always know."""
    loaded = load_tiny(architecture)
    assert loaded.max_length == 64
    logits = logits_of(
        loaded.model, loaded.tokenizer, [" ".join(["lovely"] * (62 if architecture not in DECODERS else 64))]
    )
    assert bool(torch.isfinite(logits).all())
