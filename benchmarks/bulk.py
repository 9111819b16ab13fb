"""Classifying many texts, against transformers' pipeline (one by one and 32 at a time) and ONNX Runtime.

python -m benchmarks.bulk [--texts FILE] [--json]

ONNX Runtime gets batches of 32 sorted by length, of the same model with its adapter merged (extra `benchmark`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from benchmarks.measuring import Row, in_turn, load_model, load_texts, parser, show
from lightune.data.encoding import collate, encode, length_sorted_batches
from lightune.evaluation.evaluate import predict_logits

BATCH = 32


def main() -> None:
    """Measure MiniLM."""
    found = parser(__doc__, rounds=5)
    found.add_argument("--count", type=int, default=256, help="texts in a round")
    given = found.parse_args()
    source, texts, _ = load_texts(given.texts, given.count)
    loaded = load_model("minilm")
    model = loaded.model.eval()
    logits: dict[str, Any] = {}
    arms: dict[str, Callable[[], float | None]] = {
        "pipeline, 32 at a time": piped(loaded, texts, 32),
        "pipeline, one by one": piped(loaded, texts, 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        onnx = exported(loaded, Path(folder))
        if onnx is not None:
            arms["ONNX Runtime, sorted by length"] = lambda: logits.update(onnx=run_onnx(onnx, loaded, texts))
        arms["lightune"] = lambda: logits.update(lightune=answered(model, loaded, texts))
        row = Row("bulk classification, minilm", "texts", source, in_turn(arms, given.rounds), len(texts))
    wanted = padded(model, loaded, texts)
    for name, answers in logits.items():
        row.notes[f"largest difference of logits from the padded model's, {name}"] = float(
            np.abs(answers - wanted).max()
        )
    show([row], given.json)


def piped(loaded: Any, texts: list[str], size: int) -> Callable[[], None]:
    """Return a pass of the pipeline."""
    classify = pipeline("text-classification", model=loaded.model, tokenizer=loaded.tokenizer, device="cpu")

    def run() -> None:
        classify(texts, batch_size=size)

    return run


def answered(model: Any, loaded: Any, texts: list[str]) -> Any:
    """Return lightune's logits, tokenizing included."""
    return predict_logits(
        model, loaded.tokenizer, encode(loaded.tokenizer, [(text,) for text in texts], loaded.max_length), 64
    )


def padded(model: Any, loaded: Any, texts: list[str]) -> Any:
    """Return the stock model's logits, one text at a time."""
    with torch.inference_mode():
        return torch.cat([model(**loaded.tokenizer(text, return_tensors="pt")).logits for text in texts]).numpy()


def exported(loaded: Any, folder: Path) -> Any:
    """Return a session of ONNX Runtime with the model, or None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    path = folder / "model.onnx"
    example = dict(loaded.tokenizer(["a text", "another, longer text"], padding=True, return_tensors="pt"))
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in example]
    torch.onnx.export(
        _Logits(loaded.model, names), tuple(example[name] for name in names), str(path), input_names=names,
        output_names=["logits"], dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names}, dynamo=False,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_onnx(session: Any, loaded: Any, texts: list[str]) -> Any:
    """Return the session's logits, tokenizing included."""
    encoded = encode(loaded.tokenizer, [(text,) for text in texts], loaded.max_length)
    names = {given.name for given in session.get_inputs()}
    found = np.empty((len(texts), 2), np.float32)
    for rows in length_sorted_batches(encoded, BATCH):
        batch = collate(loaded.tokenizer, [encoded.rows[row] for row in rows])
        found[rows] = session.run(None, {name: value.numpy() for name, value in batch.items() if name in names})[0]
    return found


class _Logits(torch.nn.Module):
    """A classifier that takes its inputs by place and returns the logits alone, as an export wants it."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


if __name__ == "__main__":
    main()
