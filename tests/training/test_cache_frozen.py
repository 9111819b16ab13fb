"""Frozen layers computed once for each text: the same training, in fewer passes; and where that is not possible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trials import Trial

from lightune.data.encoding import encode
from lightune.errors import RecipeError, ResourceError
from lightune.execution.fast_modules import lean
from lightune.execution.unpadding import padding_free
from lightune.methods import make_method
from lightune.models.architectures import ARCHITECTURES as TABLE
from lightune.models.derived_head import head_of
from lightune.progress import Silent
from lightune.recipe import SettledTraining, parse_recipe
from lightune.training import cache_frozen
from lightune.training.batch_loss import Examples, RowLoss
from lightune.training.forward_backward import Passes
from padded_and_ragged import texts
from reloading_here import reloading_here
from tiny import ARCHITECTURES

MakeLoop = Callable[..., Trial]
LIMIT = 1e-6
# ALBERT runs one layer again and again: what it leaves hangs on how often it was run.
STACKED = [name for name in ARCHITECTURES if name != "albert"]
# Words of each text: long ones beside short ones, so that batches are padded and packed.
WORDS = (3, 12, 1, 8, 8, 5, 9, 2, 14, 6, 4)
# Packed and padded, tuples and tensors, kinds of layers, Conv1D, and heads that read the first token: the rest is long.
SHORT = ("distilbert", "deberta-v2", "mpnet", "modernbert", "gpt2", "llama")
PAIRS = [
    pytest.param(name, method, marks=[] if name in SHORT or method == "head" else pytest.mark.long)
    for name in STACKED
    for method in ("head", "top_layers", "upper_lora")
]


def quiet(model: Any, layers: int) -> None:
    """Switch dropout off in the lowest layers and below them, and leave it on above."""
    row = TABLE[model.config.model_type]
    above = [*model.get_submodule(row.layers)[layers:], *map(model.get_submodule, head_of(model).modules)]
    loud = {id(module) for part in above for module in part.modules()} | {id(getattr(model, "dropout", None))}
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout", "activation_dropout", "layerdrop"):
            if id(module) not in loud and isinstance(vars(module).get(name), float):
                setattr(module, name, 0.0)


@pytest.fixture
def make(load_lively: Callable[..., Any], tmp_path: Path) -> MakeLoop:
    """Return a function that makes a loop over eleven texts; keywords it does not know are training settings."""
    count = 0

    def loop(
        architecture: str, method: str = "head", quiet_layers: int = 2, in_bf16: bool = False, **settings: Any
    ) -> Trial:
        nonlocal count
        count += 1
        loaded = load_lively(architecture)
        if quiet_layers:
            quiet(loaded.model, quiet_layers)
        options: dict[str, Any] = {}
        if method == "upper_lora":
            layers = f"{TABLE[architecture].layers}.1."
            roles = ("value", "ffn_in")
            names = [name for name in loaded.anatomy.modules(roles) if name.startswith(layers)]
            method, options = "lora", {"rank": 2, "dropout": 0.1, "target_modules": names}
        chosen = make_method(method, options)
        encoded = encode(loaded.tokenizer, [(text,) for text in texts(WORDS)], 64)
        examples = Examples(encoded, np.arange(len(WORDS)) % 2)
        block = SettledTraining(
            **{
                "num_train_epochs": 3,
                "per_device_train_batch_size": 6,
                "seed": 1,
                "learning_rate": 1e-2,
                "precision": "bf16" if in_bf16 else "fp32",
                "adam_epsilon": 1e-4,
                "load_best_model_at_end": False,
                **settings,
            }
        )
        return Trial(loaded, chosen, examples, examples, block, tmp_path / f"loop-{count}")

    return loop


def layers_of(loop: Trial) -> Any:
    return loop.model.get_submodule(TABLE[loop.model.config.model_type].layers)  # type: ignore[union-attr]


def trained(loop: Trial) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in loop.method.state(loop.model).values()])


def same_training(first: Trial, second: Trial, limit: float, lines_of: Any) -> list[cache_frozen.CacheChoice]:
    """Fit both, hold their losses and what they trained against each other; return what each chose to cache."""
    start = trained(first).clone()
    fits = first.fit(), second.fit()
    losses = [torch.tensor([line["loss"] for line in lines_of(loop)]) for loop in (first, second)]
    torch.testing.assert_close(losses[0], losses[1], rtol=10 * limit, atol=10 * limit)
    validation = [torch.tensor([epoch.validation_loss for epoch in fitted.epochs]) for fitted in fits]
    torch.testing.assert_close(validation[0], validation[1], rtol=10 * limit, atol=10 * limit)
    moved = (trained(first) - start).norm()
    assert float(moved) > 0
    assert float((trained(first) - trained(second)).norm() / trained(first).norm()) < limit
    return [fitted.cached for fitted in fits]


@pytest.mark.parametrize(("architecture", "method"), PAIRS)
def test_training_is_the_same(make: MakeLoop, lines_of: Any, architecture: str, method: str) -> None:
    """Padded or packed, with dropout above: the same losses, the same weights."""
    depth = 2 if method == "head" else 1
    cached, plain = (make(architecture, method, depth, cache_frozen=value) for value in ("on", "off"))
    with_cache, without = same_training(cached, plain, LIMIT, lines_of)
    assert (with_cache.used, with_cache.layers) == (True, depth)
    assert not without.used


class Calls:
    """Counts how often each layer of a loop's model ran."""

    def __init__(self, loop: Trial) -> None:
        self.counts = [0, 0]
        for number, layer in enumerate(layers_of(loop)):
            layer.forward = self.counting(number, layer.forward)

    def counting(self, number: int, forward: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.counts[number] += 1
            return forward(*args, **kwargs)

        return counted


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_a_frozen_layer_runs_once_for_each_text(make: MakeLoop, architecture: str) -> None:
    """Two batches of training and one of validation in each of three epochs, and the trial before all of them."""
    loop = make(architecture, "top_layers", 1)
    calls = Calls(loop)
    loop.fit()
    assert calls.counts == [1 + 3, 1 + 3 * 3]


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 3, "class_weights": "auto"}),
    ("deberta-v2", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 3}),
    ("llama", {"train_sampling_strategy": "group_by_length", "weight_averaging": 0.5}),
    ("bert", {"per_device_train_batch_size": 1}),
    ("bert", {"gradient_checkpointing": True}),
    ("llama", {"gradient_checkpointing": True}),
]


@pytest.mark.parametrize(("architecture", "settings"), SETTINGS)
def test_training_is_the_same_with_other_settings(
    make: MakeLoop, lines_of: Any, architecture: str, settings: dict[str, Any]
) -> None:
    cached, plain = (make(architecture, "top_layers", 1, cache_frozen=value, **settings) for value in ("on", "off"))
    same_training(cached, plain, LIMIT, lines_of)


@pytest.mark.parametrize(
    ("architecture", "method"),
    [("bert", "head"), ("bert", "top_layers"), ("llama", "top_layers"), ("deberta-v2", "top_layers")],
)
def test_training_is_the_same_in_bf16(make: MakeLoop, lines_of: Any, architecture: str, method: str) -> None:
    """States are kept in the type they have; in bf16 a text's states hang a little on the texts beside it."""
    depth = 2 if method == "head" else 1
    cached, plain = (make(architecture, method, depth, in_bf16=True, cache_frozen=value) for value in ("on", "off"))
    choice, _ = same_training(cached, plain, 2e-3, lines_of)
    tokens = 2 * (len(WORDS) if method == "head" and architecture == "bert" else sum(cached.train.encoded.lengths))
    assert choice.bytes == tokens * 32 * 2


def test_where_the_head_reads_the_first_token_that_alone_is_kept(make: MakeLoop) -> None:
    fitted = make("distilbert", cache_frozen="on").fit()
    assert fitted.cached.bytes == 2 * len(WORDS) * 32 * 4


def test_short_of_memory_states_lie_in_a_file_that_nobody_sees(
    make: MakeLoop, lines_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached, plain = (make("llama", "top_layers", 1, cache_frozen=value) for value in ("auto", "off"))
    needed = 2 * sum(cached.train.encoded.lengths) * 32 * 4
    monkeypatch.setattr(cache_frozen, "available_bytes", lambda: 4 * needed - 1)
    choice, _ = same_training(cached, plain, LIMIT, lines_of)
    assert (choice.place, choice.bytes) == ("disk", needed)
    assert sorted(path.name for path in cached.folder.iterdir()) == ["checkpoints", "metrics.jsonl"]


def test_without_room_auto_trains_as_ever_and_on_raises(make: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_frozen, "available_bytes", lambda: 0)
    monkeypatch.setattr(cache_frozen, "DISK_SHARE", 0)
    choice = make("llama", num_train_epochs=2).fit().cached
    assert not choice.used
    assert "neither memory nor disk" in choice.reason
    with pytest.raises(ResourceError, match="neither memory nor disk") as caught:
        make("llama", cache_frozen="on").fit()
    assert caught.value.code == "DISK-004"


def test_a_batch_with_a_new_row_runs_whole(make: MakeLoop) -> None:
    """As happens to a process that is given other rows of a step than in the epoch before."""
    loop = make("llama", "top_layers", 1, num_train_epochs=2)
    calls, runs = Calls(loop), []
    cached, plain = (RowLoss(loop.loaded.task, loop.tokenizer, loop.train, loop.settings) for _ in range(2))
    passes = [Passes(loop.model, loop.method, row_loss, loop.accelerator) for row_loss in (cached, plain)]
    with cache_frozen.cache_frozen(loop.model, passes[0], loop.validation.encoded, loop.settings, loop.folder):
        for rows in ([0, 1, 2], [2, 1], [2, 3], [3, 0], [3, 1, 0]):
            before = calls.counts[0]
            found = passes[0].run(rows, 1, 1.0)
            runs.append(calls.counts[0] - before)
            torch.testing.assert_close(found, passes[1].run(rows, 1, 1.0), rtol=LIMIT, atol=LIMIT)
    assert runs == [1, 0, 1, 0, 0]
    assert passes[0].around is None
    assert [type(layer).__name__ for layer in layers_of(loop)] == ["LlamaDecoderLayer"] * 2


@pytest.mark.parametrize(
    ("architecture", "method"), [("llama", "top_layers"), ("bert", "top_layers"), ("bert", "head")]
)
def test_the_same_batch_in_bf16_is_answered_the_same(make: MakeLoop, architecture: str, method: str) -> None:
    """To the last bit nearly, with tokens that fill the rows up to a multiple."""
    loop = make(architecture, method, 2 if method == "head" else 1)
    quiet(loop.model, 2)
    getattr(loop.model, "dropout", torch.nn.Dropout()).p = 0.0
    row_loss = RowLoss(loop.loaded.task, loop.tokenizer, loop.train, loop.settings)
    passes = Passes(loop.model, loop.method, row_loss, loop.accelerator)
    arguments = (loop.model, passes, loop.validation.encoded, loop.settings, loop.folder)
    with padding_free(loop.model, logits_only=True), lean(loop.model, True), cache_frozen.cache_frozen(*arguments):
        losses = [float(passes.run([4, 1, 7], 1, 1.0)) for _ in range(2)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


# Where it is not possible


CASES: list[tuple[str, str, int, dict[str, Any], str]] = [
    ("llama", "lora", 2, {}, "trains weights in the lowest layer"),
    ("llama", "prompt_tuning", 2, {}, "trains weights in the lowest layer"),
    ("bert", "prefix", 2, {}, "trains weights in the lowest layer"),
    ("llama", "full", 2, {}, "trains weights in the lowest layer"),
    ("bert", "head", 0, {}, "dropout is active in the lowest layer"),
    ("opt", "top_layers", 0, {}, "dropout is active in the lowest layer"),
    ("albert", "head", 2, {}, "share their weights"),
    ("llama", "head", 2, {"num_train_epochs": 1}, "one epoch"),
]


@pytest.mark.parametrize(("architecture", "method", "quiet_layers", "settings", "reason"), CASES)
def test_auto_does_without_and_on_says_why(
    make: MakeLoop, architecture: str, method: str, quiet_layers: int, settings: dict[str, Any], reason: str
) -> None:
    loop = make(architecture, method, quiet_layers, **{"num_train_epochs": 2, **settings})
    choice = loop.fit().cached
    assert choice == cache_frozen.CacheChoice(reason=choice.reason)
    assert reason in choice.reason
    asked = loop.settings.model_copy(update={"cache_frozen": "on"})
    with pytest.raises(RecipeError, match=reason) as caught:
        cache_frozen.require_cacheable(asked, loop.model, loop.loop.step.passes.row_loss.batch([0], 1)[0])
    assert caught.value.code == "RECIPE-054"


def test_a_model_that_gives_its_layers_a_cache_before_the_mask_may_be_asked_unpacked(make: MakeLoop) -> None:
    """GPT-2, as a run asks before it measures anything, and where nothing is packed."""
    loop = make("gpt2", num_train_epochs=2, cache_frozen="on")
    batch = loop.loop.step.passes.row_loss.batch([0, 1], 1)[0]
    cache_frozen.require_cacheable(loop.settings, loop.model, batch)
    loop.model(**batch)


def test_texts_that_change_from_epoch_to_epoch_are_no_use(make: MakeLoop) -> None:
    settings = SettledTraining(token_masking=0.1, cache_frozen="on")
    with pytest.raises(RecipeError, match="token_masking masks different tokens in each epoch"):
        cache_frozen.require_cacheable(settings, make("llama").model, {})


def test_dropout_of_attention_and_layers_that_are_left_out_count(make: MakeLoop) -> None:
    """What no dropout module draws: functional dropout by a number of the module, and OPT's layer drop."""
    for architecture, name in (("llama", "attention_dropout"), ("opt", "layerdrop")):
        loop = make(architecture, num_train_epochs=2)
        drops = [module for module in loop.model.modules() if isinstance(vars(module).get(name), float)]
        assert drops
        setattr(drops[-1], name, 0.5)
        assert loop.fit().cached.layers == {"llama": 1, "opt": 0}[architecture]


def test_who_listens_in_a_layer_goes_on_hearing(make: MakeLoop) -> None:
    loop = make("llama", num_train_epochs=2)
    heard: list[Any] = []
    layers_of(loop)[1].register_forward_hook(lambda *given: heard.append(given))
    assert loop.fit().cached.layers == 1
    assert len(heard) == 1 + 2 * 3


# In a recipe and a run


@pytest.mark.parametrize(("given", "meant"), [("auto", "auto"), (True, "on"), (False, "off"), ("on", "on")])
def test_what_yaml_makes_of_on_and_off_is_understood(given: Any, meant: str) -> None:
    assert parse_recipe({"training": {"cache_frozen": given}}).training.cache_frozen == meant


def test_a_run_says_what_was_chosen(
    tiny_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightune

    class Heard(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    with reloading_here():
        record = lightune.run(tiny_recipe("llama", "head", cache_frozen="on"), tmp_path / "run", Heard())
    found = record.environment["cache_frozen"]
    assert found.pop("bytes") > 0
    assert found == {"used": True, "reason": "asked for", "layers": 2, "of_layers": 2, "place": "memory"}
    assert [text for text in notes if text.startswith("layers 1 to 2 of 2: computed once for each text, ")]
    assert "cache_frozen: 'on'" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_a_run_that_cannot_is_refused_before_anything_is_measured(
    tiny_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    import lightune

    with pytest.raises(RecipeError, match="cache_frozen on: dropout"):
        lightune.run(tiny_recipe("distilbert", "head", cache_frozen="on"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
