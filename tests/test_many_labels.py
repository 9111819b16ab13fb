"""As many labels as are trained are read again: their files are large, and are not damaged."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.artifact_config import read_config
from lightune.bounded import MOST_BYTES
from lightune.errors import ArtifactError
from lightune.models.config import read_config as read_model_config
from lightune.models.weight_files import require_room_in
from lightune.record_file import MOST_RESULTS_BYTES
from lightune.tasks import MOST_OUTPUTS
from saved_adapters import make_adapter

LETTERS = 69


def names(count: int) -> list[str]:
    return [f"{number:06d}".ljust(LETTERS, "x") for number in range(count)]


def test_a_description_of_40000_labels_is_read(tiny_models: Any, tmp_path: Path) -> None:
    labels = names(40_000)
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "adapter", "head", labels)
    assert (folder / "lightune.json").stat().st_size > 1 << 22
    assert list(read_config(folder).task.labels) == labels


def test_a_configuration_of_40000_labels_is_read(tiny_models: Any, tmp_path: Path) -> None:
    told = json.loads((tiny_models["distilbert"] / "config.json").read_bytes())
    named = dict(enumerate(names(40_000)))
    told |= {"id2label": named, "label2id": {name: number for number, name in named.items()}}
    (tmp_path / "config.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    assert len(read_model_config("model", tmp_path)["id2label"]) == 40_000


def test_the_bounds_hold_the_most_labels() -> None:
    """Labels are in lightune.json twice, in config.json with their numbers; a matrix is in results.json four times."""
    assert MOST_OUTPUTS * 2 * (LETTERS + 16) < MOST_BYTES
    assert 4 * 7000**2 * len("0, ") < MOST_RESULTS_BYTES


@pytest.mark.parametrize(
    ("body", "width", "outputs", "fits"),
    [(768, 768, 64_000, True), (7_000, 768, 64_000, True), (7_200, 768, 64_000, False), (768, 768, 70_000, False)],
)
def test_a_new_head_may_be_as_large_as_the_rest(
    tiny_models: Any, body: int, width: int, outputs: int, fits: bool
) -> None:
    """The weights hold next to nothing, so that each of both may have 50 million numbers: 49 million here."""
    with torch.device("meta"):
        parts = {"body": torch.nn.Linear(body, body, bias=False), "head": torch.nn.Linear(width, outputs, bias=False)}
    with nullcontext() if fits else pytest.raises(ArtifactError, match="describes a model"):
        require_room_in("model", tiny_models["distilbert"], torch.nn.ModuleDict(parts), outputs)
