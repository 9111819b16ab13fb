"""Training against transformers' Trainer with PEFT as in tutorials: every text padded to 512 tokens, fp32.

python -m benchmarks.training_max_length [--model minilm] [--method prefix] [--texts FILE] [--json]
"""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import parser, show, steps_of
from benchmarks.training import asked_for, choosing, compared


def main() -> None:
    """Measure the requested model and method, or all; a few steps are enough."""
    given = choosing(parser(__doc__, rounds=1)).parse_args()
    given.steps = steps_of(given, on_cpu=1, on_gpu=20)
    peers: dict[str, dict[str, Any]] = {"Trainer, padded to 512": {"pad_to": 512}}
    rows = [compared(model, method, "padded to 512", given, **peers) for model, method in asked_for(given)]
    show(rows, given.json)


if __name__ == "__main__":
    main()
