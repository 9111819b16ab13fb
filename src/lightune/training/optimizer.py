"""AdamW and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.recipe import SettledTraining

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

# Schedules that follow the validation loss instead of the step number.
FOLLOW_VALIDATION = ("reduce_lr_on_plateau", "greedy")
# Schedules for which transformers ignores arguments instead of refusing them.
TAKE_NOTHING = ("constant", "constant_with_warmup")


def decayed(model: nn.Module) -> dict[str, bool]:
    """Return for each trainable parameter, by name, whether it gets weight decay; biases and norms do not."""
    no_decay = set()
    for module_name, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False):
            if is_norm or name.endswith("bias"):
                no_decay.add(f"{module_name}.{name}" if module_name else name)
    return {name: name not in no_decay for name, value in model.named_parameters() if value.requires_grad}


def make_optimizer(
    model: nn.Module, settings: SettledTraining, learning_rate: float, rate_factors: Mapping[str, float] | None = None
) -> Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over the trainable parameters.

    `rate_factors` multiplies the rate of single parameters, by name. The first group has the plain rate.
    """
    import torch

    factors = rate_factors or {}
    groups: dict[tuple[float, bool], list[Any]] = {(1.0, True): [], (1.0, False): []}
    named = dict(model.named_parameters())
    for name, has_decay in decayed(model).items():
        groups.setdefault((factors.get(name, 1.0), has_decay), []).append(named[name])
    # One pass over a parameter instead of ten; not available on every device.
    is_fused = all(value.device.type in ("cpu", "cuda") for found in groups.values() for value in found)
    return torch.optim.AdamW(
        [
            {"params": found, "lr": learning_rate * factor, "weight_decay": settings.weight_decay if has_decay else 0.0}
            for (factor, has_decay), found in groups.items()
            if found
        ],
        lr=learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=is_fused,
    )


def warmup_step_count(settings: SettledTraining, total_steps: int) -> int:
    """Return the number of warm-up steps; a value below 1 is a share of all steps, rounded up as in transformers."""
    if settings.warmup_steps < 1:
        return math.ceil(settings.warmup_steps * total_steps)
    return int(settings.warmup_steps)


class Schedule:
    """A learning-rate schedule of transformers' get_scheduler, stepped once per optimizer step.

    The schedules that follow the validation loss have no warm-up of their own. Here they get the usual linear one,
    rate * (step + 1) / (warm-up steps + 1), and follow the validation loss once it is over.
    """

    def __init__(self, optimizer: Optimizer, settings: SettledTraining, total_steps: int) -> None:
        from transformers import get_scheduler

        name = settings.lr_scheduler_type
        self.optimizer = optimizer
        self.follows_validation = name in FOLLOW_VALIDATION
        self.warmup = warmup_step_count(settings, total_steps)
        self.steps, self.total = 0, total_steps
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        needed = _needed_arguments(name, self._peaks[0], total_steps, self.warmup)
        try:
            if name in TAKE_NOTHING and settings.lr_scheduler_kwargs:
                raise TypeError("it has no arguments")
            self.scheduler = get_scheduler(
                name, optimizer, self.warmup, total_steps, {**needed, **settings.lr_scheduler_kwargs}
            )
        except (TypeError, ValueError) as error:
            message = f"training.lr_scheduler_kwargs: {name} does not take them ({error})."
            raise RecipeError("RECIPE-050", message, f"Given: {settings.lr_scheduler_kwargs}") from error
        if self.follows_validation:
            self._warm_up()

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """Advance by one optimizer step; after the last one the rate stays, since no further step uses it."""
        self.steps += 1
        if self.follows_validation:
            self._warm_up()
        elif self.steps < self.total:
            self.scheduler.step()

    def state(self) -> dict[str, Any]:
        """Return where the schedule is, as JSON values; the rates themselves are the optimizer's."""
        own = self.scheduler.state_dict()
        return {"steps": self.steps, "scheduler": {name: own[name] for name in sorted(own) if _is_json(own[name])}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.steps = int(state["steps"])
        self.scheduler.load_state_dict({**self.scheduler.state_dict(), **state["scheduler"]})

    def after_validation(self, loss: float) -> None:
        """Pass the validation loss to the schedule."""
        if self.follows_validation and self.steps >= self.warmup:
            self.scheduler.step(loss)

    def _warm_up(self) -> None:
        if self.steps > self.warmup:
            return
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * min(1.0, (self.steps + 1) / (self.warmup + 1)) if self.warmup else peak


def _is_json(value: Any) -> bool:
    """Say whether a value of a scheduler's state can be written; the functions of a rate are made anew."""
    items = value if isinstance(value, list) else [value]
    return all(item is None or isinstance(item, bool | int | float | str) for item in items)


def _needed_arguments(name: str, rate: float, total_steps: int, warmup: int) -> dict[str, Any]:
    """Return values for the arguments that some schedules require, so that each works with only its name."""
    if name in {"cosine_with_min_lr", "cosine_warmup_with_min_lr"}:
        return {"min_lr_rate": 0.1}
    if name == "warmup_stable_decay":
        return {"num_decay_steps": max(1, (total_steps - warmup) // 5)}
    if name == "reduce_lr_on_plateau":
        return {"factor": 0.5, "patience": 0}
    if name == "greedy":
        return {"patience": 0, "factor": 0.7, "min_lr": rate / 100, "max_lr": rate * 4}
    return {}
