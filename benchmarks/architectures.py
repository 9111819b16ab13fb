"""One architecture at its usual size: training and answering, memory, share of products, gradient, in four settings.

python -m benchmarks.architectures mpnet [--bases FOLDER] [--texts FILE] [--batch 16|8] [--long] [--rounds N] [--json]

Default LoRA on all linear layers is trained in batches of 16 or 8, on texts as they are or joined to 200 to 384 tokens.
The first peer pads to the longest of a batch, in fp32. The second has an expert's settings: texts of similar length
together, in bf16 where the processor has it. A round has a few batches, too few for the Trainer to group: so the texts
are every third one of the groups that it makes of three times as many, and the expert's arm takes these groups as they
are. The longest texts are seldom among them, which helps the padded arm. Answering is done with the adapter merged, on
all sides. `--bases` has the folders of real weights. All 17 are measured by `python -m benchmarks.every_architecture`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.answering import answering_arms
from benchmarks.gradients import difference
from benchmarks.measuring import SEED, Row, computes_bf16, in_turn, load_for, load_texts, machine, parser, show
from benchmarks.training import DEFAULT, attached_to, encoded, ours, peer
from benchmarks.training_apart import Work, apart
from benchmarks.usual_sizes import BASES, laid_out

STEPS = {("short", 16): 4, ("short", 8): 4, ("long", 16): 1, ("long", 8): 1}  # of a round
SHORTEST, LONGEST = 200, 384  # tokens of a long text
OF_GRADIENT = 8  # texts of different lengths, for the comparison of gradients
PADDED, EXPERT, OURS = "Trainer, padded, fp32", "Trainer, grouped", "lightune, precision auto"


@dataclass(frozen=True)
class Setting:
    """How long the texts are, and how many are in a batch."""

    length: str
    batch: int

    @property
    def steps(self) -> int:
        """How many batches a round has."""
        return STEPS[self.length, self.batch]


def main() -> None:
    """Measure one base model in one setting."""
    found = parser(__doc__, rounds=3)
    found.add_argument("base", choices=list(BASES))
    found.add_argument("--bases", type=Path, help="a folder with a folder for each base with real weights")
    found.add_argument("--batch", type=int, choices=[16, 8], default=16)
    found.add_argument("--long", action="store_true", help="texts joined to 200 to 384 tokens")
    given = found.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows, about = measured(given, Path(place))
    if given.json:
        print(json.dumps({"machine": machine(), "base": about, "rows": [asdict(row) for row in rows]}))
    else:
        print(json.dumps(about))
        show(rows, False)


def measured(given: argparse.Namespace, place: Path) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of one base model in one setting, and what they were measured with."""
    setting = Setting("long" if given.long else "short", given.batch)
    model, weights = laid_out(given.base, given.bases, place / "base")
    loaded = load_for(model)
    source, texts, labels = texts_for(given.texts, setting, loaded)
    named = f"{given.base}, {setting.length}, {setting.batch}"
    examples = encoded(loaded, texts, labels)
    lengths = examples.encoded.lengths
    training, memory = trained(Work(model, texts, labels, setting.batch), setting, given.rounds)
    arms = answering_arms(loaded, examples, setting.batch, place)
    answering = Row("answering", "texts", "", in_turn(arms, given.rounds), len(texts))
    some = slice(None, OF_GRADIENT * setting.steps, setting.steps)
    gradient = difference(attached_to(loaded, DEFAULT, texts[some], labels[some]))
    gradients = Row("gradients", "", "", {OURS: [gradient]}, kind="difference")
    found = training, answering, memory, gradients
    rows = [replace(row, name=f"{row.name}, {named}", texts=source) for row in found]
    base = BASES[given.base]
    about = {"size": base.size, "weights": weights, "architecture": base.architecture, "thinned": base.thinned}
    return rows, about | {"tokens": round(statistics.mean(lengths)), "longest": max(lengths)}


def texts_for(path: Path | None, setting: Setting, loaded: Any) -> tuple[str, list[str], list[int]]:
    """Return (source, texts, labels): `setting.steps` groups of texts of similar length, the longest first."""
    count = 3 * setting.steps * setting.batch
    source, texts, labels = load_texts(path, count * (30 if setting.length == "long" else 1))
    tokens = [len(found) for found in loaded.tokenizer(texts)["input_ids"]]
    if setting.length == "long":
        texts, tokens = joined(texts, tokens, count)
    chosen = every_third_group(tokens[:count], setting.batch)
    return source, [texts[row] for row in chosen], [labels[row] for row in chosen]


def joined(texts: Sequence[str], tokens: Sequence[int], count: int) -> tuple[list[str], list[int]]:
    """Return texts that are joined until each has a drawn length of SHORTEST to LONGEST tokens, and about how many."""
    draw, at = random.Random(SEED), 0
    found: list[str] = []
    lengths: list[int] = []
    while len(found) < count:
        wanted, parts, length = draw.randint(SHORTEST, LONGEST), [texts[at % len(texts)]], tokens[at % len(texts)]
        at += 1
        while length + tokens[at % len(texts)] <= wanted:
            parts.append(texts[at % len(texts)])
            length += tokens[at % len(texts)]
            at += 1
        found.append(" ".join(parts))
        lengths.append(length)
    return found, lengths


def every_third_group(lengths: Sequence[int], batch: int) -> list[int]:
    """Return the rows of the second, fifth, ... of all batches of similar length, the longest first, as Trainer has."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    groups = [order[start : start + batch] for start in range(0, len(order), batch)]
    return [row for group in groups[1::3] for row in group]


def arms_of(setting: Setting) -> dict[str, Callable[..., Callable[[], float]]]:
    """Return how each arm is made of a model that is ready."""
    size: dict[str, Any] = {"per_device_train_batch_size": setting.batch}
    expert: dict[str, Any] = {
        "train_sampling_strategy": "sequential",
        "bf16": computes_bf16(),
    }  # the texts are in groups already
    return {
        PADDED: partial(peer, **size),
        EXPERT: partial(peer, **size, **expert),
        OURS: partial(ours, precision="auto", **size),
    }


def trained(work: Work, setting: Setting, rounds: int) -> tuple[Row, Row]:
    """Return the seconds of training by arm with notes on products, and the peak of memory by arm."""
    with apart(arms_of(setting), work) as arms:
        warming = {name: partial(arm.ask, "first batch") for name, arm in arms.items()}
        turns = in_turn({name: partial(arm.ask, "round") for name, arm in arms.items()}, rounds, warming)
        training = Row("training", "samples", "", turns, len(work.texts))
        memory = Row(
            "peak memory of training", "MB", "", {name: [arm.ask("peak")] for name, arm in arms.items()}, kind="memory"
        )
        for name in (EXPERT, OURS):
            training.notes |= {f"{about}, {name}": value for about, value in arms[name].ask("products").items()}
        training.notes["precision auto chose"] = "bf16" if arms[OURS].ask("bf16") else "fp32"
    training.notes["steps of a round"] = setting.steps
    return training, memory


if __name__ == "__main__":
    main()
