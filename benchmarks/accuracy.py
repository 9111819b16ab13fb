"""Accuracy on other texts and training time of the same adapted model, with the Trainer and with lightune.

python -m benchmarks.accuracy [--texts FILE] [--rounds SEEDS] [--json]

MiniLM with LoRA on all roles is trained on 500 texts for four epochs, with the same settings on both sides, and tested
on 1,000 other texts. Each round has another seed: other texts, another head, another order.
"""

from __future__ import annotations

import statistics
from typing import Any

from scipy.stats import t

from benchmarks.measuring import SEED, Row, load_texts, parser, show
from benchmarks.training import ours, peer, ready
from lightune.data.encoding import encode
from lightune.evaluation.evaluate import predict_logits

METHOD = "LoRA on all roles"
RATE, EPOCHS = 1e-3, 4
PEER = "Trainer, padded to the longest of a batch"
PRECISIONS = {"lightune, exact fp32": "fp32", "lightune, precision auto": "auto"}


def main() -> None:
    """Train and test each arm with each seed."""
    found = parser(__doc__, rounds=3)
    found.add_argument("--train", type=int, default=500, help="texts to learn")
    found.add_argument("--test", type=int, default=1000, help="texts to test on")
    given = found.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in (PEER, *PRECISIONS)}
    right: dict[str, list[float]] = {name: [] for name in seconds}
    for seed in range(SEED, SEED + given.rounds):
        source, texts, labels = load_texts(given.texts, given.train + given.test, seed)
        for name in seconds:
            spent, share = trained(name, texts, labels, given.train, given.device, seed)
            seconds[name].append(spent)
            right[name].append(share)
    row = Row(f"training and accuracy, minilm, {METHOD}", "samples", source, seconds, EPOCHS * given.train)
    for name, shares in right.items():
        row.notes[f"accuracy, {name}"] = f"{statistics.mean(shares):.3f} ({' '.join(f'{x:.3f}' for x in shares)})"
    for name in PRECISIONS:
        row.notes[f"accuracy minus the Trainer's in points, {name}"] = difference(right[name], right[PEER])
    show([row], given.json)


def trained(name: str, texts: list[str], labels: list[int], train: int, device: str, seed: int) -> tuple[float, float]:
    """Return (seconds of training, accuracy on the other texts)."""
    given = ready("minilm", METHOD, texts[:train], labels[:train], device, seed)
    if name == PEER:
        # The same as lightune's defaults.
        spent = peer(
            given, num_train_epochs=EPOCHS, learning_rate=RATE, seed=seed, weight_decay=0.01, warmup_steps=0.1
        )()
    else:
        spent = ours(given, PRECISIONS[name], RATE, num_train_epochs=EPOCHS, seed=seed)()
    loaded = given.loaded
    others = encode(loaded.tokenizer, [(text,) for text in texts[train:]], loaded.max_length)
    found = predict_logits(given.model, loaded.tokenizer, others, 64).argmax(1)
    return spent, float((found == labels[train:]).mean())


def difference(found: list[float], other: list[float]) -> str:
    """Return the mean difference of pairs and its 95% interval (Student's t over the seeds), in points."""
    pairs: list[Any] = [100 * (a - b) for a, b in zip(found, other, strict=True)]
    if len(pairs) < 2:
        return f"{pairs[0]:+.1f}"
    half = t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / len(pairs) ** 0.5
    middle = statistics.mean(pairs)
    return f"{middle:+.1f} (95%: {middle - half:+.1f} to {middle + half:+.1f})"


if __name__ == "__main__":
    main()
