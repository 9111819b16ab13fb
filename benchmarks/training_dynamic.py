"""Training against transformers' Trainer with PEFT, batches padded to their longest text, fp32.

python -m benchmarks.training_dynamic --model distilbert --method "LoRA on query and value" [--texts FILE] [--json]
"""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import parser, show, steps_of
from benchmarks.training import asked_for, choosing, compared


def main() -> None:
    """Measure the requested model and method, or all."""
    given = choosing(parser(__doc__, rounds=5)).parse_args()
    given.steps = steps_of(given, on_cpu=8)
    peers: dict[str, dict[str, Any]] = {"Trainer, padded to the longest of a batch": {}}
    show(
        [compared(model, method, "padded to the longest", given, **peers) for model, method in asked_for(given)],
        given.json,
    )


if __name__ == "__main__":
    main()
