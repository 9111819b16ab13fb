"""Training against the Trainer of somebody who knows its settings: balanced or grouped batches, bf16 where it helps.

python -m benchmarks.training_expert [--model minilm] [--texts FILE] [--json]
"""

from __future__ import annotations

from benchmarks.measuring import machine, parser, show, steps_of
from benchmarks.training import compared


def main() -> None:
    """Measure LoRA on query and value and on all roles."""
    found = parser(__doc__, rounds=5)
    found.add_argument("--model", choices=["minilm", "distilbert"], action="append")
    found.add_argument("--steps", type=int, help="batches of 16 in a round")
    given = found.parse_args()
    given.steps = steps_of(given, on_cpu=8)
    # On a processor without bf16 units bf16 is many times slower, which no expert would take.
    bf16 = given.device == "cuda" or machine()["bf16"]
    peers = {
        f"Trainer, {strategy}, {'bf16' if bf16 else 'fp32'}": {"train_sampling_strategy": strategy, "bf16": bf16}
        for strategy in ("batch_rebalance", "group_by_length")
    }
    rows = [
        compared(model, method, given, **peers)
        for model in given.model or ["minilm", "distilbert"]
        for method in ("LoRA on query and value", "LoRA on all roles")
    ]
    show(rows, given.json)


if __name__ == "__main__":
    main()
