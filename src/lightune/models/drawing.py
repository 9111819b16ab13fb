"""Parameters drawn from the run's seed, as transformers draws those that a checkpoint lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightune import runtime


def draw_anew(model: Any, modules: Iterable[str], seed: int) -> None:
    """Draw the modules' own parameters as transformers draws missing ones: on the CPU, whatever their device.

    transformers does not initialize parameters with its flag, so nothing is written into shared memory.
    """
    import torch
    from torch import nn

    device = model.device
    for part in (*model.parameters(), *model.buffers()):
        part._is_hf_initialized = True
    for module in model.modules():
        module._is_hf_initialized = False
    owners = [model.get_submodule(name) for name in modules]
    for owner in owners:
        for name, value in list(owner.named_parameters(recurse=False)):
            setattr(owner, name, nn.Parameter(torch.zeros_like(value, device="cpu")))
    with runtime.seeded(seed, "head"):
        model.initialize_weights()
    for owner in owners:
        owner.to(device)
