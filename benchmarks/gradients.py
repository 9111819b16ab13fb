"""The difference between gradients without padding and the padded model's: fp32, dropout off, one batch of 16.

python -m benchmarks.gradients [--model minilm] [--texts FILE] [--json]

The same is tested, for every architecture and method, in tests/execution.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.measuring import Row, load_texts, parser, show
from benchmarks.training import BATCH, METHODS, Ready, ready
from lightune.data.encoding import collate
from lightune.evaluation.evaluate import to_device
from lightune.execution.fast_modules import lean
from lightune.execution.unpadding import padding_free


def main() -> None:
    """Compare each method on each model."""
    found = parser(__doc__, rounds=1)
    found.add_argument("--model", choices=["minilm", "distilbert"], action="append")
    given = found.parse_args()
    rows = []
    for model in given.model or ["minilm", "distilbert"]:
        source, texts, labels = load_texts(given.texts, BATCH)
        differences = {method: [difference(ready(model, method, texts, labels, given.device))] for method in METHODS}
        rows.append(Row(f"relative difference of gradients, {model}", "", source, differences, kind="difference"))
    show(rows, given.json)


def difference(given: Ready) -> float:
    """Return |g - g'| / |g'| of all gradients as one vector, away from the method's start."""
    model = given.model.train()
    without_dropout(model)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value += (torch.randn(value.shape, generator=draw) * 0.02).to(given.device)
    batch = collate(given.loaded.tokenizer, list(given.examples.encoded.rows))
    batch["labels"] = torch.from_numpy(given.examples.targets.astype("int64"))
    batch = to_device(batch, given.device)
    wanted = gradients(model, batch)
    with padding_free(model, logits_only=True), lean(model):
        found = gradients(model, batch)
    return float((found - wanted).norm() / wanted.norm())


def without_dropout(model: torch.nn.Module) -> None:
    """Switch dropout off in training mode too: that of modules, and rates that a module passes to a function (OPT)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def gradients(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return all gradients of a step as one vector."""
    model.zero_grad(set_to_none=True)
    model(**batch).loss.backward()
    return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


if __name__ == "__main__":
    main()
