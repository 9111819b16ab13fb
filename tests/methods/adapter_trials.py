"""What the tests of PEFT's methods share: attaching, a few steps, and reading a saved folder in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightune.artifact import ArtifactConfig, save_adapter
from lightune.methods import Method, make_method
from lightune.methods.base import WEIGHTS_FILE
from lightune.safe_files import read_tensors
from tiny import classes

TEXTS = ["a lovely film", "the soup was dreadful and cold", "this book is quite clever and very warm", "dull"]
LABELS = [1, 0, 1, 0]
SEED = 3
# Sizes of PEFT's own that suit layers of 32.
SMALL: dict[str, dict[str, Any]] = {
    "c3a": {"block_size": 8},
    "psoft": {"r": 8},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "vblora": {"vector_length": 8},
    "waveft": {"n_frequency": 64},
}


def batch_of(loaded: Any, texts: list[str] = TEXTS) -> dict[str, torch.Tensor]:
    """Return the padded batch."""
    return dict(loaded.tokenizer(texts, padding=True, return_tensors="pt"))


def logits_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits, without dropout or gradients."""
    model.eval()
    with torch.no_grad():
        return model(**batch).logits


def one_by_one(model: Any, loaded: Any) -> torch.Tensor:
    """Return the logits of each text by itself, without padding."""
    return torch.cat([logits_of(model, batch_of(loaded, [text])) for text in TEXTS])


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """Return the trainable parameters by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def frozen(model: Any) -> dict[str, torch.Tensor]:
    """Return copies of every other parameter and of the buffers."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: value.detach().clone() for name, value in named.items() if name not in trainable(model)}


def train(method: Method, model: Any, batch: dict[str, torch.Tensor], steps: int = 3) -> None:
    """Take AdamW steps as the loop does, hooks included."""
    model.train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2, weight_decay=0.0)
    method.before_training(model, steps)
    for step in range(1, steps + 1):
        loss = model(**batch, labels=torch.tensor(LABELS)).loss + method.penalty(model)
        loss.backward()
        optimizer.step()
        method.after_step(model, step)
        optimizer.zero_grad()


def saved(model: Any, method: Method, name: str, folder: Path) -> Path:
    """Save the adapter into a new folder and return it."""
    about = ArtifactConfig(2, name, None, "", name, {}, classes(["negative", "positive"]), 64, ["text"], "label", 1)
    save_adapter(model, method, about, folder)
    return folder


def require_sound(method: Method, name: str, load: Callable[[], Any], folder: Path) -> None:
    """Assert what the contract asks of any method, on one architecture: from attaching to reading the saved folder."""
    loaded = load()
    batch, before = batch_of(loaded), logits_of(loaded.model, batch_of(loaded))
    model: Any = method.attach(loaded.model, loaded.anatomy, SEED).model
    method.start_from_data(model, [batch])
    is_same = torch.allclose(logits_of(model, batch), before, rtol=0, atol=1e-5)  # taking W apart rounds
    assert is_same == method.starts_unchanged
    start, untouched = {key: value.detach().clone() for key, value in trainable(model).items()}, frozen(model)
    train(method, model, batch)
    after = trainable(model)
    assert {key for key in start if torch.equal(start[key], after[key])} == set()
    still = frozen(model)
    assert still.keys() == untouched.keys()
    assert all(torch.equal(still[key], untouched[key]) for key in still)
    wanted, alone = logits_of(model, batch), one_by_one(model, loaded)
    assert float((wanted - before).abs().max()) > 1e-3
    close = {"rtol": 1e-5, "atol": 2e-5}
    torch.testing.assert_close(wanted, alone, **close)  # padding changes nothing
    if method.reversible:
        with model.disable_adapter():
            assert torch.equal(logits_of(model, batch), before)
    _require_readable(saved(model, method, name, folder / "adapter"), name, load, wanted, alone)
    if method.mergeable:
        torch.testing.assert_close(logits_of(method.merged(model), batch), wanted, **close)


def _require_readable(folder: Path, name: str, load: Callable[[], Any], wanted: Any, alone: Any) -> None:
    """Assert that we and PEFT read the folder; PEFT one text at a time, for it minds no padding in prompt tuning."""
    from peft import PeftModel

    close = {"rtol": 1e-5, "atol": 2e-5}
    again = load()
    plain = make_method(name, json.loads((folder / "lightune.json").read_text(encoding="utf-8"))["method_options"])
    model = plain.attach(again.model, again.anatomy, SEED + 1).model
    plain.load_state(model, read_tensors(folder / WEIGHTS_FILE))
    torch.testing.assert_close(logits_of(model, batch_of(again)), wanted, **close)
    fresh = load()
    with torch.no_grad():
        for module in fresh.anatomy.head:
            for value in fresh.model.get_submodule(module).parameters():
                value.fill_(0.5)  # another head than ours, until the adapter brings it
    theirs = PeftModel.from_pretrained(fresh.model, str(folder))
    torch.testing.assert_close(one_by_one(theirs, fresh), alone, **close)
