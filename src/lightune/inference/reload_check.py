"""The reload check: a fresh process loads the saved adapter and must compute the same logits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.errors import LightuneError
from lightune.sections import ReloadCheck

TOLERANCE = 1e-4
EXAMPLES = 64
TIMEOUT_SECONDS = 900


def check_reload(
    folder: Path, texts: Sequence[tuple[str, ...]], logits: NDArray[Any], device: str, tolerance: Any = TOLERANCE
) -> tuple[ReloadCheck, str]:
    """Return (the result of the check, why it failed or "").

    `logits` are this process's for the same texts in the same batches, so that any difference comes from saving; they
    may differ by `tolerance`, a number or one for each output.
    """
    request = json.dumps({"folder": str(folder), "texts": [list(text) for text in texts], "device": device})
    # -P: a file in the current folder with the name of a module must not be imported instead of it.
    command = [sys.executable, "-P", "-m", "lightune.inference.reload_check"]
    try:
        answer = subprocess.run(
            command, input=request, capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _failed(len(texts)), f"the fresh process could not be used: {error}"
    if answer.returncode != 0:
        last = answer.stderr.strip().splitlines()[-1:] or ["no message"]
        return _failed(len(texts)), f"the fresh process failed: {last[0]}"
    again = np.asarray(json.loads(answer.stdout.splitlines()[-1]))
    differences = np.abs(again - logits)
    largest, passed = float(differences.max()), bool((differences <= tolerance).all())
    reason = "" if passed else f"the logits differ by up to {largest:.2g}"
    return ReloadCheck(passed=passed, examples=len(texts), largest_logit_difference=largest), reason


def _failed(examples: int) -> ReloadCheck:
    return ReloadCheck(passed=False, examples=examples, largest_logit_difference=None)


def main() -> None:
    """Read a request from stdin, write the logits as one line of JSON."""
    from lightune.evaluation.evaluate import predict_logits
    from lightune.inference.classifier import load

    request = json.load(sys.stdin)
    try:
        classifier = load(request["folder"], device=request["device"])
    except LightuneError as error:
        sys.exit(f"{error.code} {error.message}")
    # The model as it was saved, not the classifier's predictions, which may come from a merged copy.
    texts = [tuple(text) for text in request["texts"]]
    logits = predict_logits(classifier.model, classifier.tokenizer, classifier.encoded(texts), classifier.batch_size)
    print(json.dumps(logits.tolist()))


if __name__ == "__main__":
    main()
