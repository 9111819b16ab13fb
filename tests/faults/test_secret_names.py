"""Passwords and tokens in the names of data and models: refused, or hidden, and in no file of a finished run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.recipe import parse_recipe
from lightune.values.secret_names import without_secrets
from reloading_here import reloading_here

SECRET = "s3cr3t-0123456789"
PROMISE = "A password or a token in the name of data or of a model is in no file of a finished run"
NAMES = [
    f"https://ann:{SECRET}@host.example/a.csv", f"https://{SECRET}@host.example/a.csv", f"s3://id:{SECRET}@bucket/a",
    f"https://host.example/a.csv?token={SECRET}", f"https://host.example/a.csv?v=1&X-Amz-Signature={SECRET}",
    f"https:/ann:{SECRET}@host.example/a.csv", f"mirror/https:/ann:{SECRET}@host.example/a.csv",
    f"data/a?token={SECRET}.csv", f"data/a.csv?api_key={SECRET}", f"a?x=1&access_token={SECRET}", f"a?key={SECRET}",
]  # fmt: skip


@pytest.mark.guarantee(PROMISE)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_a_secret_is_refused_and_not_repeated(name: str) -> None:
    for mapping in (
        {"model": name},
        {"data": {"source": name}},
        *({"data": {"source": {"train": "a.csv", split: name}}} for split in ("train", "validation", "test")),
    ):
        with pytest.raises(RecipeError, match="RECIPE-001") as caught:
            parse_recipe(mapping)
        assert SECRET not in str(caught.value)
        assert "***" in str(caught.value)


@pytest.mark.parametrize("flag", ["--train", "--model", "--test"])
def test_the_command_line_says_what_to_do_and_hides_the_secret(flag: str, capsys: Any) -> None:
    given = {"--train": "a.csv"} | {flag: NAMES[0]}
    assert main(["run", *(part for pair in given.items() for part in pair)]) == 2
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "Download it" in " ".join(said.split())


@pytest.mark.parametrize(
    "name",
    ["data/*.csv", "a?.csv", "data/[ab]?.csv", "owner/name", "C:/data/a.csv", "C:\\data\\a.csv", "me@work/a.csv",
     "a:b@c.csv", "token=1.csv", "~/x", "./a b/c", "reviews"],
)  # fmt: skip
def test_other_names_stay(name: str) -> None:
    assert parse_recipe({"model": name}).model == name
    assert without_secrets(f"{name}: 3 rows") == f"{name}: 3 rows"


@pytest.mark.guarantee(PROMISE)
def test_a_file_with_a_token_in_its_name_is_told_without_it(
    tiny_recipe: Callable[..., Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recipe, data = tiny_recipe("distilbert", "head", num_train_epochs=1), tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation", "test"):
        shutil.copy(getattr(recipe.data.source, split), data / f"{split}.csv")
    shutil.copy(data / "test.csv", data / f"more?token={SECRET}.csv")
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": str(data)})})
    with reloading_here():
        record = lightune.run(changed, tmp_path / "out")
    assert any(SECRET in note for note in record.notes), "the user is told the name as it is"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []
    assert "more?token=***" in (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    record_property("figure", f"{len(NAMES)} names refused, {len(files)} files searched")
