"""Training against the Trainer with expert settings: balanced or grouped batches, bf16 where it helps.

python -m benchmarks.training_expert [--model minilm] [--method prefix] [--texts FILE] [--json]
"""

from __future__ import annotations

from benchmarks.measuring import machine, parser, show, steps_of
from benchmarks.training import asked_for, choosing, compared


def main() -> None:
    """Measure the requested model and method, or all."""
    given = choosing(parser(__doc__, rounds=3)).parse_args()
    given.steps = steps_of(given, on_cpu=8)
    # On a processor without bf16 units bf16 is many times slower, so an expert would not use it.
    bf16 = given.device == "cuda" or machine()["bf16"]
    peers = {
        f"Trainer, {strategy}, {'bf16' if bf16 else 'fp32'}": {"train_sampling_strategy": strategy, "bf16": bf16}
        for strategy in ("batch_rebalance", "group_by_length")
    }
    show(
        [compared(model, method, "balanced or grouped", given, **peers) for model, method in asked_for(given)],
        given.json,
    )


if __name__ == "__main__":
    main()
