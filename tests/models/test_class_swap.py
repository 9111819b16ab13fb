"""Classes of modules swapped and put back."""

from __future__ import annotations

import torch
from torch import nn

from lightune.models.class_swap import swap_classes


class Double(nn.Linear):
    """Twice the product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Special(nn.Linear):
    """A subclass, which may compute something else."""


def test_modules_of_exactly_these_classes_compute_as_the_others_until_it_is_undone() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Sequential(Special(3, 3)))
    before, x = dict(model.named_parameters()), torch.randn(2, 3)
    plain = model[0](x)
    undo = swap_classes(model, {nn.Linear: Double})
    assert torch.equal(model[0](x), 2 * plain)
    assert [type(module) for module in (model[0], model[2][0])] == [Double, Special]
    undo()
    assert torch.equal(model[0](x), plain)
    assert type(model[0]) is nn.Linear
    assert all(value is before[name] for name, value in model.named_parameters())
