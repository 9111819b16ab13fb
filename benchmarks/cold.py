"""One text from a run folder in a fresh process, against a script that does the same with transformers' pipeline.

python -m benchmarks.cold [--json]

The script loads the adapter with PEFT and calls the pipeline once, as in PEFT's documentation.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import lightune
from benchmarks.measuring import Row, in_turn, parser, show
from lightune.models import embedded
from lightune.recipe import parse_recipe

TEXT = "A quiet, devastating film."
SCRIPT = """
import sys
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer, pipeline

model = AutoPeftModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=2)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
classify = pipeline("text-classification", model=model.merge_and_unload(), tokenizer=tokenizer)
print(classify(sys.argv[3]))
"""


def main() -> None:
    """Train for one step, then predict in fresh processes."""
    given = parser(__doc__, rounds=5).parse_args()
    base = embedded.folder()
    if base is None:
        raise SystemExit("Needs the extra `offline`.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        block = {
            "name": "cold",
            "data": {"source": "reviews", "train_examples": 16, "test_examples": 10},
            "device": "cpu",
        }
        lightune.run(parse_recipe({**block, "training": {"num_train_epochs": 1}}), folder)
        arms = {
            "PEFT and the pipeline": [sys.executable, "-c", SCRIPT, str(folder / "adapter"), str(base), TEXT],
            "lightune predict": [
                sys.executable,
                "-m",
                "lightune",
                "predict",
                str(folder),
                "A quiet, devastating film.",
            ],
        }
        seconds = in_turn({name: _runner(command) for name, command in arms.items()}, given.rounds)
    show([Row("a text in a fresh process, minilm", "runs", "one text", seconds)], given.json)


def _runner(command: list[str]) -> Callable[[], float | None]:
    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    return run


if __name__ == "__main__":
    main()
