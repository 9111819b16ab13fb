"""The cases of the contract: a method, with its options, on an architecture, attached and trained for three steps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from lightune.methods import METHODS, Method, make_method
from lightune.methods.peft_method import PeftMethod
from lightune.models.load import LoadedModel
from tiny import ARCHITECTURES, REPRESENTATIVE

TEXTS = ["a lovely film", "the soup was dreadful and cold", "this book is quite clever and very warm", "dull"]
LABELS = [1, 0, 1, 0]
SEED = 3
Load = Callable[..., LoadedModel]
# Options that change what a method does to a model; each is a case of its own where the architectures differ most.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "bottleneck": ({"preset": "double_seq_bn"}, {"preset": "par_bn"}),
    "prefix": (
        {"attended": "gated"},
        {"attended": "prepended"},
        {"start": "random"},
        {"start": "random", "attended": "prepended"},
        {"projection": 8},
        {"projection": 8, "attended": "prepended"},
    ),
    "top_layers": ({"layers": 2},),  # not on ALBERT, whose layers share one set of weights
}
# By default what PEFT carries out runs on three; lora (the default method), our own tuners and the baselines run on all
# of REPRESENTATIVE.
FEW = ("distilbert", "gpt2", "llama")
PEFTS = {name for name, kind in METHODS.items() if issubclass(kind, PeftMethod)} - {"lora", "prefix", "bottleneck"}
VARIED_ON = ("distilbert", "gpt2", "modernbert", "llama")


@dataclass(frozen=True)
class Spec:
    """What a case is about."""

    name: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Name the case: lora-bert, prefix(start=tokens)-gpt2."""
        given = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}({given})-{self.architecture}" if given else f"{self.name}-{self.architecture}"

    @property
    def is_by_default(self) -> bool:
        """Whether it runs without the marker `long`."""
        if self.options:
            return self.architecture in VARIED_ON
        return self.architecture in (FEW if self.name in PEFTS else REPRESENTATIVE)


SPECS = [
    *(Spec(name, architecture) for name in METHODS for architecture in ARCHITECTURES),
    *(
        Spec(name, architecture, options)
        for name, variants in VARIANTS.items()
        for options in variants
        for architecture in ARCHITECTURES
        if (name, architecture) != ("top_layers", "albert")
    ),
]


@dataclass
class Case:
    """One method on one architecture, attached and trained for three steps."""

    spec: Spec
    method: Method
    loaded: LoadedModel
    batch: dict[str, torch.Tensor]
    base_logits: torch.Tensor
    formula: int
    model: torch.nn.Module
    changed: tuple[str, ...]
    start_logits: torch.Tensor
    start: dict[str, torch.Tensor]
    frozen_before: dict[str, torch.Tensor]
    largest_gradient: dict[str, float]

    def afresh(self, load_lively: Load, seed: int = SEED, saved: bool = False) -> torch.nn.Module:
        """Return the same method (or the one that a saved adapter belongs to), untrained, on the untouched model."""
        loaded = load_lively(self.spec.architecture)
        method = self.method.saved_as() if saved else self.method
        return method.attach(loaded.model, loaded.anatomy, seed).model


def make_case(spec: Spec, load_lively: Load) -> Case:
    """Attach and train; RecipeError where the method cannot be put on the architecture."""
    method, loaded = make_method(spec.name, spec.options), load_lively(spec.architecture)
    batch = batch_of(loaded)
    base_logits = logits_of(loaded.model, batch)
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    attachment = method.attach(loaded.model, loaded.anatomy, SEED)
    model = attachment.model
    start_logits = logits_of(model, batch)
    start = {key: value.detach().clone() for key, value in trainable(model).items()}
    frozen_before = frozen(model)
    gradients = train_three_steps(model, batch, method)
    return Case(spec, method, loaded, batch, base_logits, formula, model, attachment.changed, start_logits, start,
                frozen_before, gradients)  # fmt: skip


def batch_of(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """Return the texts, padded."""
    return dict(loaded.tokenizer(TEXTS, padding=True, return_tensors="pt"))


def logits_of(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits without dropout."""
    model.eval()
    with torch.no_grad():
        return model(**batch).logits


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are trained."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def frozen(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of every other parameter, and of the buffers."""
    taught = trainable(model)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: value.detach().clone() for name, value in named.items() if name not in taught}


def wrong_answers_in_threads(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> list[int]:
    """Ask a model in one thread for each batch, many times at once; return whose answers differed from those alone."""
    wanted, wrong = [logits_of(model, batch) for batch in batches], []

    def ask(number: int) -> None:
        for _ in range(40):
            if not torch.equal(logits_of(model, batches[number]), wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(batches))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return wrong


def train_three_steps(model: Any, batch: dict[str, torch.Tensor], method: Method | None = None) -> dict[str, float]:
    """Return the largest absolute gradient that each trainable tensor saw."""
    model.train()
    if method is not None:
        method.before_training(model, 3)
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2, weight_decay=0.0)
    seen = dict.fromkeys(trainable(model), 0.0)
    for step in range(1, 4):
        model(**batch, labels=torch.tensor(LABELS)).loss.backward()
        for name, value in trainable(model).items():
            if value.grad is not None:
                seen[name] = max(seen[name], float(value.grad.abs().max()))
        optimizer.step()
        if method is not None:
            method.after_step(model, step)
        optimizer.zero_grad()
    return seen
