"""Weights on disk: in one file or in shards, in any precision, and refused when a part of the body is not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightune.cli.main import main
from lightune.errors import ArtifactError, RecipeError
from lightune.models.load import LoadedModel, ModelSource, fingerprint, load_model
from tiny import ARCHITECTURES, REPRESENTATIVE, classes

INDEX = "model.safetensors.index.json"
LABELS = ["negative", "positive"]
Load = Callable[..., LoadedModel]


def load_folder(folder: Path, labels: list[str] = LABELS) -> LoadedModel:
    return load_model(ModelSource("it", folder, None), classes(labels), 1)


def split_weights(folder: Path, parts: int = 3) -> list[str]:
    """Put the tensors of model.safetensors into several files with an index, as transformers lays them out."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    placed = {name: f"model-{number % parts + 1:05}-of-{parts:05}.safetensors" for number, name in enumerate(tensors)}
    for shard in set(placed.values()):
        inside = {name: value for name, value in tensors.items() if placed[name] == shard}
        save_file(inside, folder / shard, metadata={"format": "pt"})
    size = sum(value.nbytes for value in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": placed}))
    return sorted(set(placed.values()))


def drop(folder: Path, tensor: str) -> None:
    """Remove one tensor from whichever file holds it, and from the index."""
    for path in folder.glob("*.safetensors"):
        kept = {name: value for name, value in load_file(path).items() if name != tensor}
        save_file(kept, path, metadata={"format": "pt"})
    if (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_text())
        del index["weight_map"][tensor]
        (folder / INDEX).write_text(json.dumps(index))


@pytest.fixture
def copied(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a tiny model, so that a test may spoil it."""
    return lambda architecture: Path(shutil.copytree(tiny_models[architecture], tmp_path / architecture))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_shards_in_any_precision_load_as_fp32_like_one_file(
    copied: Callable[[str], Path], load_tiny: Load, architecture: str, dtype: torch.dtype
) -> None:
    folder = copied(architecture)
    stored = {name: value.to(dtype) for name, value in load_file(folder / "model.safetensors").items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": str(dtype).removeprefix("torch.")}))
    split_weights(folder)
    found, whole = load_folder(folder).model.state_dict(), load_tiny(architecture, seed=1).model.state_dict()
    assert found.keys() == whole.keys()
    assert {value.dtype for value in found.values()} == {torch.float32}
    inside = {name for name in found if any(name.endswith(part) for part in stored)}
    assert len(inside) == len(stored)
    assert all(torch.equal(found[name], whole[name].to(dtype).float()) for name in inside)


def test_a_replaced_head_of_a_half_precision_checkpoint_in_shards_is_fp32_too(load_tiny: Load, tmp_path: Path) -> None:
    """Its tensors are handed over by us, and not read by transformers."""
    theirs = load_tiny("bert")
    theirs.model.to(torch.bfloat16).save_pretrained(tmp_path)
    theirs.tokenizer.save_pretrained(tmp_path)
    split_weights(tmp_path)
    ours = load_folder(tmp_path, ["ham", "spam"])
    assert {value.dtype for value in ours.model.state_dict().values()} == {torch.float32}
    assert (ours.head, ours.anatomy.new_modules) == ("new", ("classifier",))


@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_body_that_lacks_anything_is_refused(
    copied: Callable[[str], Path], architecture: str, is_split: bool
) -> None:
    """A random embedding, projection or norm would be taken for a new head otherwise."""
    folder = copied(architecture)
    names = [name for name in load_file(folder / "model.safetensors") if "pooler" not in name]
    if is_split:
        split_weights(folder)
    middle = next(name for name in names if "attn" in name or "attention" in name)
    lost = {middle} if is_split else {names[0], middle, names[-1]}
    for name in lost:
        spoilt = Path(shutil.copytree(folder, folder.parent / f"without-{name}"))
        drop(spoilt, name)
        with pytest.raises(ArtifactError, match="lack") as caught:
            load_folder(spoilt)
        assert caught.value.code == "ARTIFACT-021"


@pytest.mark.parametrize("architecture", ["bert", "albert"])
def test_a_pooler_that_is_missing_is_new_and_part_of_the_head(copied: Callable[[str], Path], architecture: str) -> None:
    folder = copied(architecture)
    poolers = [name for name in load_file(folder / "model.safetensors") if "pooler" in name]
    assert len(poolers) == 2
    for name in poolers:
        drop(folder, name)
    pooler = f"{architecture}.{poolers[0].rpartition('.')[0]}"
    assert load_folder(folder).anatomy.head == [pooler, "classifier"]


def test_a_missing_shard_is_named(copied: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = copied("distilbert")
    shards = split_weights(folder)
    (folder / shards[1]).unlink()
    with pytest.raises(ArtifactError) as caught:
        load_folder(folder)
    assert caught.value.code == "ARTIFACT-022"
    assert caught.value.message == f"it: 1 of the 3 weight files are missing: {shards[1]}."
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"film {n},{'ab'[n % 2]}\n" for n in range(40)))
    command = ["run", "--model", str(folder), "--train", str(rows), "--output", str(tmp_path / "out")]
    assert main(command) == 4
    assert shards[1] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "index", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../../elsewhere.safetensors"}}',
              '{"weight_map": {"a": 3}}']
)  # fmt: skip
def test_an_index_that_is_none_is_refused(copied: Callable[[str], Path], index: str) -> None:
    folder = copied("distilbert")
    split_weights(folder)
    (folder / INDEX).write_text(index)
    with pytest.raises(ArtifactError, match="not an index of weight files") as caught:
        load_folder(folder)
    assert caught.value.code == "ARTIFACT-023"


def test_a_damaged_shard_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    shards = split_weights(folder)
    (folder / shards[0]).write_bytes((folder / shards[0]).read_bytes()[:300])
    with pytest.raises(ArtifactError, match=r"ARTIFACT-011.*not a readable safetensors file"):
        load_folder(folder)


def test_safetensors_that_are_no_model_do_not_count_as_weights(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    with pytest.raises(RecipeError, match="no safetensors weights"):
        load_folder(folder)


def test_a_fingerprint_covers_the_index_and_every_shard(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    shards = split_weights(folder)
    found = {fingerprint(ModelSource("it", folder, None))}
    for name in (*shards, INDEX):
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        found.add(fingerprint(ModelSource("it", folder, None)))
        (folder / name).write_bytes(raw)
    assert len(found) == 1 + 3 + 1


def test_names_of_the_first_bert_checkpoints_are_understood(copied: Callable[[str], Path], load_tiny: Load) -> None:
    """bert-base-uncased calls the norms' parameters gamma and beta."""
    folder = copied("bert")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value + 0.25
        for name, value in load_file(folder / "model.safetensors").items()
    }
    assert any(name.endswith("gamma") for name in renamed)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    norm = "bert.encoder.layer.1.output.LayerNorm.weight"
    assert torch.equal(load_folder(folder).model.state_dict()[norm], load_tiny("bert").model.state_dict()[norm] + 0.25)
