"""Training against transformers' Trainer with PEFT as tutorials have it: every text padded to 512 tokens, fp32.

python -m benchmarks.training_max_length [--texts FILE] [--json]
"""

from __future__ import annotations

from benchmarks.measuring import parser, show, steps_of
from benchmarks.training import compared


def main() -> None:
    """Measure DistilBERT with LoRA on query and value; a few steps suffice."""
    found = parser(__doc__, rounds=2)
    found.add_argument("--steps", type=int, help="batches of 16 in a round")
    given = found.parse_args()
    given.steps = steps_of(given, on_cpu=2, on_gpu=20)
    peers = {"Trainer, padded to 512": {"pad_to": 512}}
    show([compared("distilbert", "LoRA on query and value", given, **peers)], given.json)


if __name__ == "__main__":
    main()
