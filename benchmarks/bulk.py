"""Classifying many texts, against transformers' pipeline (one by one and 32 at a time) and ONNX Runtime.

python -m benchmarks.bulk [--texts FILE] [--json]

ONNX Runtime gets batches of 32 sorted by length, in fp32 and with its weights quantized to 8 bits (extra `benchmark`).
The arm `again` is equal to another one, and shows the noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from benchmarks.measuring import Row, in_turn, load_for, load_texts, parser, show, whole_machine
from lightune.data.encoding import collate, encode
from lightune.evaluation.evaluate import predict_logits
from lightune.inference.bf16_answers import AnsweringPrecision
from lightune.runtime import synchronise

BATCH = 32
PRODUCTS = "matrix products alone"
REFERENCE = "the padded model's, one text at a time"


def main() -> None:
    """Measure MiniLM."""
    found = parser(__doc__, rounds=5)
    found.add_argument("--count", type=int, default=256, help="texts in a round")
    given = found.parse_args()
    source, texts, _ = load_texts(given.texts, given.count)
    loaded = load_for("minilm", device=given.device)
    model = loaded.model.eval()
    wanted = padded(model, loaded, texts)
    logits: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        arms: dict[str, Callable[[], float | None]] = {
            "pipeline, 32 at a time": piped(loaded, texts, 32),
            "pipeline, 32 at a time, again": piped(loaded, texts, 32),
            "pipeline, one by one": piped(loaded, texts, 1),
        }
        for name, session in exported(loaded, Path(folder)).items() if given.device == "cpu" else ():
            arms[name] = noted(logits, name, partial(unbound, session, loaded, texts))
        precision = AnsweringPrecision("auto", given.device)
        chosen = precision.choose(model, encode(loaded.tokenizer, [(text,) for text in texts], loaded.max_length))
        arms["lightune"] = noted(logits, "lightune", lambda: answered(model, loaded, texts))
        arms["lightune, precision auto"] = noted(
            logits, "lightune, precision auto", lambda: answered(chosen, loaded, texts)
        )
        arms[PRODUCTS] = products(model, loaded, texts)
        row = Row(
            "bulk classification, minilm",
            "texts",
            source,
            in_turn(arms, given.rounds),
            len(texts),
        )
    row.notes["share of lightune's pass in matrix products"] = row.ratio("lightune", PRODUCTS)[0]
    row.seconds.pop(PRODUCTS)
    row.notes |= {f"precision auto, {kind}": f"{found.name} ({found.why})" for kind, found in precision.chosen.items()}
    for name, answers in logits.items():
        row.notes |= differences(name, answers, wanted)
    show([row], given.json)


def noted(logits: dict[str, Any], name: str, arm: Callable[[], Any]) -> Callable[[], None]:
    """Return an arm whose logits are stored under its name."""

    def run() -> None:
        logits[name] = arm()

    return run


def differences(name: str, answers: Any, wanted: Any) -> dict[str, float]:
    """Return the largest difference of logits from the reference, the number of changed labels, and their margin."""
    others = answers.argmax(1) != wanted.argmax(1)
    margins = np.sort(wanted, 1)[:, -1] - np.sort(wanted, 1)[:, -2]
    found = {
        f"largest difference of logits from {REFERENCE}, {name}": float(np.abs(answers - wanted).max()),
        f"labels other than {REFERENCE}, {name}": int(others.sum()),
    }
    if others.any():
        found[f"widest margin of logits among those, {name}"] = float(margins[others].max())
    return found


def piped(loaded: Any, texts: list[str], size: int) -> Callable[[], None]:
    """Return a pass of the pipeline."""
    classify = pipeline(
        "text-classification", model=loaded.model, tokenizer=loaded.tokenizer, device=loaded.model.device
    )

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
        alone = [loaded.tokenizer(text, return_tensors="pt").to(loaded.model.device) for text in texts]
        return torch.cat([model(**one).logits for one in alone]).cpu().numpy()


def products(model: Any, loaded: Any, texts: list[str]) -> Callable[[], None]:
    """Return an arm that computes only the matrix products of lightune's pass, on other numbers."""
    shapes: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module: Any, args: Any) -> None:
        draw = partial(torch.randn, device=loaded.model.device)
        shapes.append((draw(args[0].flatten(0, -2).shape), draw(module.weight.shape)))

    hooks = [
        module.register_forward_pre_hook(note) for module in model.modules() if isinstance(module, torch.nn.Linear)
    ]
    answered(model, loaded, texts)
    for hook in hooks:
        hook.remove()

    def run() -> None:
        for left, right in shapes:
            torch.mm(left, right.t())
        synchronise(loaded.model.device)

    return run


def exported(loaded: Any, folder: Path) -> dict[str, Any]:
    """Return sessions of ONNX Runtime with the model by name, or none where it is not installed."""
    try:
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic
    except ImportError:
        return {}
    path, small = folder / "model.onnx", folder / "int8.onnx"
    example = dict(loaded.tokenizer(["a text", "another, longer text"], padding=True, return_tensors="pt"))
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in example]
    torch.onnx.export(
        # An export restores the mode that it found: for a module in training mode it would switch dropout on.
        _Logits(loaded.model, names).eval(), tuple(example[name] for name in names), str(path), input_names=names,
        output_names=["logits"], dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names}, dynamo=False,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    quantize_dynamic(str(path), str(small))
    with whole_machine():
        return {
            name: onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
            for name, place in (("ONNX Runtime", path), ("ONNX Runtime, int8", small))
        }


def unbound(session: Any, loaded: Any, texts: list[str]) -> Any:
    """Return the session's logits; the calling thread also computes, so it is not bound to a core either."""
    with whole_machine():
        return run_onnx(session, loaded, texts)


def run_onnx(session: Any, loaded: Any, texts: list[str]) -> Any:
    """Return the session's logits, tokenizing included."""
    encoded = encode(loaded.tokenizer, [(text,) for text in texts], loaded.max_length)
    names = {given.name for given in session.get_inputs()}
    found = np.empty((len(texts), 2), np.float32)
    order = np.argsort(encoded.lengths)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = collate(loaded.tokenizer, [encoded.rows[row] for row in rows])
        found[rows] = session.run(None, {name: value.numpy() for name, value in batch.items() if name in names})[0]
    return found


class _Logits(torch.nn.Module):
    """A classifier with positional inputs that returns only the logits, as an export needs it."""

    def __init__(self, model: Any, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


if __name__ == "__main__":
    main()
