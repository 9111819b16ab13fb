"""Training against transformers' Trainer with PEFT, batches padded to their longest text, fp32.

python -m benchmarks.training_dynamic --model distilbert --method "LoRA on query and value" [--texts FILE] [--json]
"""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import parser, show, steps_of
from benchmarks.training import METHODS, compared


def main() -> None:
    """Measure the asked model and method, or all."""
    found = parser(__doc__, rounds=5)
    found.add_argument("--model", choices=["minilm", "distilbert"], action="append")
    found.add_argument("--method", choices=list(METHODS), action="append")
    found.add_argument("--steps", type=int, help="batches of 16 in a round")
    given = found.parse_args()
    given.steps = steps_of(given, on_cpu=8)
    peers: dict[str, dict[str, Any]] = {"Trainer, padded to the longest of a batch": {}}
    rows = [
        compared(model, method, given, **peers)
        for model in given.model or ["minilm", "distilbert"]
        for method in given.method or METHODS
    ]
    show(rows, given.json)


if __name__ == "__main__":
    main()
