"""`lightune push`: what is shown is what is uploaded, nobody is surprised, and others can read it by its name."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from lightune.cli.main import main
from lightune.models import hub, hub_upload
from lightune.safe_files import write_json, write_manifest
from saved_adapters import make_adapter, without_tokenizer
from small_hub import COMMIT, closed_port, environment
from tiny import sentences
from writable_hub import READ_TOKEN, TOKEN, Writing, writable_hub

TEXTS = [text for text, _ in sentences(12, seed=61)]
BASE = "somebody/tiny-model"
NAME = "anna/reviews"
ADAPTER = ["README.md", "adapter_config.json", "adapter_model.safetensors", "lightune.json", "tokenizer.json",
           "tokenizer_config.json", "MANIFEST.json"]  # fmt: skip


def use_hub(patch: pytest.MonkeyPatch, endpoint: str, home: Path) -> None:
    """Make huggingface_hub, which reads the environment only once, take this address and home."""
    values = {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "tokens"),
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in values.items():
        patch.setattr(constants, name, value)
    patch.setenv("HF_TOKEN", TOKEN)
    patch.setattr(hub, "_silent_until", 0.0)
    close_session()


@pytest.fixture(scope="module")
def base_run(tmp_path_factory: pytest.TempPathFactory, tiny_models: Any, tiny_data: Any) -> tuple[Path, Path]:
    """A run on a model of the Hub, and the home folder whose cache has that model."""
    from lightune.recipe import parse_recipe
    from reloading_here import reloading_here

    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("runs") / "reviews-1"
    repository = home / "hub" / "models--somebody--tiny-model"
    shutil.copytree(tiny_models["distilbert"], repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    given = {"name": "reviews", "model": BASE, "model_revision": COMMIT, "device": "cpu", "method": "lora",
             "data": {"source": {name: str(path) for name, path in tiny_data.items()}},
             "training": {"num_train_epochs": 2, "learning_rate": 2e-2}}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, closed_port() as endpoint, reloading_here():
        use_hub(patch, endpoint, home)
        lightune.run(parse_recipe(given), folder)
    close_session()
    return folder, home


@pytest.fixture
def anna(tmp_path: Path, base_run: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writing]:
    """Anna's Hub, which huggingface_hub talks to, with an empty repository folder."""
    shutil.copytree(base_run[1], tmp_path / "home", symlinks=True)
    (tmp_path / "repository").mkdir()
    snapshot = tmp_path / "home" / "hub" / "models--somebody--tiny-model" / "snapshots" / COMMIT
    behaviour = Writing(tmp_path / "repository", others={BASE: snapshot})
    with writable_hub(behaviour) as endpoint:
        use_hub(monkeypatch, endpoint, tmp_path / "home")
        yield behaviour
    close_session()


@pytest.fixture
def run(base_run: Any) -> Path:
    return base_run[0]


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def push(*arguments: object) -> int:
    return main(["push", *map(str, arguments)])


def shown_files(out: str) -> list[str]:
    """The names in the table of files."""
    lines = out[out.index("\nfile ") :].splitlines()[2:]
    count = next(place for place, line in enumerate(lines) if " files " in line)
    assert lines[count].startswith(f"{count} files ")
    return [line.split()[0] for line in lines[:count]]


# What is uploaded


def test_what_is_shown_is_what_is_uploaded(anna: Writing, run: Path, capsys: Any) -> None:
    assert push(run, NAME, "--yes") == 0
    out = capsys.readouterr().out
    assert shown_files(out) == ADAPTER
    assert [sorted(names) for names in anna.commits] == [sorted(ADAPTER)]
    assert sorted(path.name for path in anna.folder.iterdir()) == sorted(ADAPTER)
    for name in set(ADAPTER) - {"README.md", "MANIFEST.json"}:
        assert (anna.folder / name).read_bytes() == (run / "adapter" / name).read_bytes()
    assert (anna.exists, anna.private, len(anna.created)) == (NAME, False, 1)
    for told in ("anna/reviews, public", "stays here", "fingerprints.safetensors", f"{constants.ENDPOINT}/anna/reviews",
                 'lightune predict anna/reviews "A text to classify."'):  # fmt: skip
        assert told in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_card_is_valid_for_the_hub_and_speaks_of_the_repository(anna: Writing, run: Path, tiny_data: Any) -> None:
    assert push(run, NAME, "--yes", "--license", "apache-2.0") == 0
    card = (anna.folder / "README.md").read_text(encoding="utf-8")
    about = yaml.safe_load(card.split("---\n")[1])
    assert about == {
        "license": "apache-2.0", "base_model": BASE, "library_name": "peft", "pipeline_tag": "text-classification",
        "tags": ["lightune", "lora"], "metrics": ["accuracy", "f1"],
    }  # fmt: skip
    assert 'lightune.load("anna/reviews")' in card
    assert str(tiny_data["train"].parent) not in card
    assert str(run.parent) not in card


def test_lightune_loads_it_by_its_name(anna: Writing, run: Path) -> None:
    wanted = lightune.load(run, device="cpu").logits(TEXTS)
    assert push(run, NAME, "--yes") == 0
    loaded = lightune.load(NAME, device="cpu")
    np.testing.assert_allclose(loaded.logits(TEXTS), wanted, atol=1e-6)
    assert (loaded.labels, loaded.has_fingerprints) == (["negative", "positive"], False)


# The card's code, for lightune and for PEFT, as it stands; and PEFT's own way from the adapter's name to its base.
READ = """
import json, re, sys
from pathlib import Path
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

card, texts = Path(sys.argv[1]).read_text(encoding="utf-8"), json.loads(sys.argv[2])
with_lightune, with_peft = re.findall(r"^```python\\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)[:2]
found = {}
exec(with_lightune, found)
first = found["model"].logits(texts).tolist()
exec(with_peft, found)
batch = found["tokenizer"](texts, padding=True, return_tensors="pt")
second = found["model"](**batch).logits.tolist()
third = AutoPeftModelForSequenceClassification.from_pretrained("anna/reviews").eval()(**batch).logits.tolist()
print(json.dumps([first, second, third]))
"""


def test_the_code_of_its_card_answers_in_a_process_that_knows_its_name_alone(
    anna: Writing, run: Path, tmp_path: Path
) -> None:
    assert push(run, NAME, "--yes") == 0
    wanted = lightune.load(run, device="cpu").logits(TEXTS)
    env = environment(tmp_path / "hub", constants.ENDPOINT, HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1")
    command = [sys.executable, "-c", READ, str(anna.folder / "README.md"), json.dumps(TEXTS)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    for logits in json.loads(done.stdout.splitlines()[-1]):
        np.testing.assert_allclose(logits, wanted, atol=1e-5)


def test_predict_and_evaluate_take_its_name_and_the_cache_is_enough_afterwards(
    anna: Writing, run: Path, tiny_data: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert push(run, NAME, "--yes") == 0
    capsys.readouterr()
    assert main(["predict", NAME, TEXTS[0], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["predictions"][0]
    assert answer["label"] == lightune.load(run, device="cpu").predict(TEXTS[0])[0].label
    assert main(["evaluate", NAME, "--test", str(tiny_data["test"]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == json.loads((run / "results.json").read_text())["after"]["accuracy"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert lightune.load(NAME, device="cpu").predict(TEXTS[0])[0].label == answer["label"]
    snapshot = next((Path(constants.HF_HUB_CACHE) / "models--anna--reviews" / "snapshots").iterdir())
    (snapshot / "tokenizer.json").unlink()
    with pytest.raises(lightune.LightuneError, match="only partly in the local cache"):
        lightune.load(NAME)


def test_a_name_without_an_owner_is_ones_own(anna: Writing, run: Path, capsys: Any) -> None:
    assert push(run, "reviews", "--yes") == 0
    assert anna.exists == NAME
    assert "anna/reviews, public" in capsys.readouterr().out
    assert '"anna/reviews"' in (anna.folder / "README.md").read_text(encoding="utf-8")


def test_a_merged_model_needs_transformers_alone(anna: Writing, run: Path, capsys: Any) -> None:
    wanted = lightune.load(run, device="cpu").logits(TEXTS)
    assert push(run, NAME, "--merged", "--yes") == 0
    files = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert shown_files(capsys.readouterr().out) == sorted(anna.commits[0]) == files
    card = (anna.folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "transformers"
    model = AutoModelForSequenceClassification.from_pretrained(anna.folder)
    tokenizer = AutoTokenizer.from_pretrained(anna.folder)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    with torch.inference_mode():
        logits = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    np.testing.assert_allclose(lightune.load(NAME, device="cpu").logits(TEXTS), wanted, atol=1e-5)


def test_json_lists_the_files_and_nothing_else_is_on_stdout(anna: Writing, run: Path, capsys: Any) -> None:
    assert push(run, NAME, "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["repository"], found["private"]) == (NAME, False)
    assert found["url"] == f"{constants.ENDPOINT}/anna/reviews"
    assert {file["name"]: file["bytes"] for file in found["files"]} == {
        path.name: path.stat().st_size for path in anna.folder.iterdir()
    }


def test_the_paths_that_an_older_version_wrote_are_not_uploaded(
    anna: Writing, tiny_run: Any, tmp_path: Path, capsys: Any
) -> None:
    """Format 1 of lightune.json and PEFT's file had the path of a base in a folder."""
    run = Path(shutil.copytree(tiny_run.folder, tmp_path / "older"))
    adapter, base = without_tokenizer(run / "adapter"), tiny_run.record.model.name
    for name, change in (
        ("lightune.json", {"format_version": 1, "base_model": base}),
        ("adapter_config.json", {"base_model_name_or_path": base}),
    ):
        told = json.loads((adapter / name).read_text(encoding="utf-8"))
        write_json(adapter / name, {**told, **change})
    config = json.loads((adapter / "lightune.json").read_text(encoding="utf-8"))
    write_json(adapter / "lightune.json", {name: value for name, value in config.items() if name != "task"})
    write_manifest(adapter)
    wanted = lightune.load(run).logits(TEXTS)
    assert push(run, NAME, "--yes") == 0
    assert [path.name for path in anna.folder.iterdir() if str(Path(base).parent).encode() in path.read_bytes()] == []
    np.testing.assert_array_equal(lightune.load(NAME, base_model=base).logits(TEXTS), wanted)


# A base that others do not have


def test_a_base_in_a_folder_is_no_metadata_and_said_to_be_needed(anna: Writing, tiny_run: Any, capsys: Any) -> None:
    assert push(tiny_run.folder, NAME, "--yes") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "distilbert is a folder of yours: others need it to load the adapter. --merged uploads a whole model." in out
    assert "base_model" not in anna.cards[-1].split("---\n")[1]
    with pytest.raises(lightune.LightuneError, match=r"the base model distilbert, sha256 .* cannot be found"):
        lightune.load(NAME)
    base = json.loads((tiny_run.folder / "results.json").read_text())["recipe"]["model"]
    assert lightune.load(NAME, base_model=base).predict(TEXTS[0])


def test_an_adapter_that_another_program_saved_is_called_so(anna: Writing, tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "adapter", "lora", ["no", "yes"])
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(folder / name, anna.folder)
    anna.exists = NAME
    with pytest.raises(lightune.LightuneError, match="an adapter that another program saved") as caught:
        lightune.load(NAME)
    assert caught.value.code == "ARTIFACT-017"
    with pytest.raises(lightune.LightuneError, match="an adapter that another program saved"):
        lightune.load(anna.folder)


# Private or not


def test_a_private_repository_is_created_private(anna: Writing, run: Path, capsys: Any) -> None:
    assert push(run, NAME, "--private", "--yes") == 0
    assert (anna.exists, anna.private) == (NAME, True)
    assert "anna/reviews, private" in capsys.readouterr().out


def test_private_is_not_promised_for_a_public_repository(anna: Writing, run: Path, capsys: Any) -> None:
    anna.exists = NAME
    assert push(run, NAME, "--private", "--yes") == 2
    assert "RECIPE-099 anna/reviews is there already, and is public." in capsys.readouterr().err
    assert (anna.commits, anna.created) == ([], [])


@pytest.mark.parametrize("asked", [[], ["--private"]])
def test_an_existing_repository_keeps_who_may_see_it(anna: Writing, run: Path, capsys: Any, asked: list[str]) -> None:
    anna.exists, anna.private = NAME, True
    assert push(run, NAME, "--yes", *asked) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "anna/reviews, private; it is there, and files of these names are replaced" in shown
    assert (len(anna.commits), anna.created) == (1, [])


@pytest.mark.parametrize(
    ("before", "after", "others"),
    [
        ([], ["--merged"], "MANIFEST.json, adapter_config.json, adapter_model"),
        (["--merged"], [], "config.json, model.safetensors"),
    ],
)
def test_two_models_are_not_mixed_in_a_repository(
    anna: Writing, run: Path, capsys: Any, before: list[str], after: list[str], others: str
) -> None:
    assert push(run, NAME, "--yes", *before) == 0
    (anna.folder / "notes.md").write_text("of no concern", encoding="utf-8")
    said = refused(capsys, 2, "RECIPE-097", run, NAME, "--yes", *after)
    assert f"anna/reviews holds another model: {others}" in said
    assert push(run, NAME, "--yes", *before) == 0
    assert len(anna.commits) == 2


# Asking


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "uploads"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_it_asks_before_it_uploads(
    anna: Writing, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, answer: str, uploads: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert push(run, NAME) == 0
    said = capsys.readouterr()
    assert "Upload these 7 files to anna/reviews?" in said.err
    assert ("Nothing was uploaded." in said.err) == (not uploads)
    assert (len(anna.commits), len(anna.created)) == (uploads, uploads)
    assert shown_files(said.out) == ADAPTER


def test_where_nobody_can_be_asked_the_command_is_said_and_works(
    anna: Writing, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert push(run, NAME, "--private", "--license", "mit") == 2
    said = capsys.readouterr()
    assert shown_files(said.out) == ADAPTER
    assert anna.asked == []
    command = shlex.split(said.err[said.err.index("lightune push " + str(run)) :])
    assert main(command[1:]) == 0
    assert (anna.private, yaml.safe_load(anna.cards[-1].split("---\n")[1])["license"]) == (True, "mit")


# Refusals


def refused(capsys: Any, status: int, code: str, *arguments: object) -> str:
    """The command ends so, with the code on stderr; the message."""
    capsys.readouterr()
    assert push(*arguments) == status
    said = capsys.readouterr().err
    assert code in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("token", "code", "told"),
    [
        (None, "HUB-009", "no access token here"),
        ("hf_wrong", "HUB-008", "does not accept your access token"),
        (READ_TOKEN, "HUB-010", "may not write to anna/reviews"),
    ],
)
def test_without_a_token_that_may_write_nothing_is_asked_or_uploaded(
    anna: Writing, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, token: str | None, code: str, told: str
) -> None:
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    assert told in refused(capsys, 7, code, run, NAME, "--yes")
    assert (anna.commits, anna.created) == ([], [])


def test_somebody_else_s_name_is_refused_and_an_organisation_s_is_not(anna: Writing, run: Path, capsys: Any) -> None:
    assert "may not write to bob/reviews" in refused(capsys, 7, "HUB-010", run, "bob/reviews", "--yes")
    assert (anna.commits, anna.created) == ([], [])
    assert push(run, "club/reviews", "--yes") == 0
    assert anna.exists == "club/reviews"


@pytest.mark.parametrize("name", ["a/b/c", "anna/re views", "anna/../reviews", "-x", "anna/"])
def test_what_cannot_be_a_name_is_a_fault_of_usage(anna: Writing, run: Path, capsys: Any, name: str) -> None:
    refused(capsys, 2, "RECIPE-098", "--yes", run, "--", name)
    assert anna.asked == []


def test_where_the_base_model_is_matters_only_for_a_merged_model(anna: Writing, run: Path, capsys: Any) -> None:
    refused(capsys, 2, "--model goes with --merged", run, NAME, "--yes", "--model", "somewhere")
    assert anna.asked == []


def test_a_licence_that_the_hub_does_not_know_creates_nothing(anna: Writing, run: Path, capsys: Any) -> None:
    said = refused(capsys, 7, "HUB-011", run, NAME, "--yes", "--license", "mine")
    assert '"license" must be one of' in said
    assert "--license takes the Hub's names" in said
    assert (anna.commits, anna.created) == ([], [])


def test_a_hub_that_fails_in_the_middle_is_said(anna: Writing, run: Path, capsys: Any) -> None:
    anna.fails_at = "/commit/"
    assert "the Hub answered 500" in refused(capsys, 7, "HUB-006", run, NAME, "--yes")
    assert anna.commits == []


def test_a_hub_that_cannot_be_reached_is_said(
    anna: Writing, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        assert "nothing was uploaded" in refused(capsys, 7, "HUB-001", run, NAME, "--yes")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(capsys, 7, "HUB-001", run, NAME, "--yes")


def test_a_hub_that_falls_silent_is_not_waited_for(
    anna: Writing, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.TIMEOUT_SECONDS + hub_upload.ASKING_SECONDS < 10
    anna.deaf = True
    monkeypatch.setattr(hub_upload, "ASKING_SECONDS", 0.3)
    refused(capsys, 7, "HUB-001", run, NAME, "--yes")


def spoil_weights(run: Path) -> None:
    path = run / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")


def fail_reload(run: Path) -> None:
    path = run / "results.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"completed"', '"reload_failed"', 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_weights, "ARTIFACT-004"),
        (fail_reload, "ARTIFACT-045"),
        (lambda run: (run / "adapter" / "tokenizer.json").unlink(), "ARTIFACT-003"),
        (lambda run: (run / "results.json").write_text("{", encoding="utf-8"), "ARTIFACT-032"),
        (lambda run: (run / "results.json").unlink(), "ARTIFACT-031"),
        (lambda run: shutil.rmtree(run), "ARTIFACT-031"),
    ],
)
@pytest.mark.parametrize("how", [[], ["--merged"]])
def test_a_damaged_run_folder_is_refused_before_anybody_is_asked(
    anna: Writing, copied: Path, capsys: Any, spoil: Callable[[Path], object], code: str, how: list[str]
) -> None:
    spoil(copied)
    refused(capsys, 4, code, copied, NAME, "--yes", *how)
    assert anna.asked == []


def test_an_adapter_that_cannot_be_merged_is_refused(anna: Writing, tiny_recipe: Any, tmp_path: Path, capsys: Any):
    from reloading_here import reloading_here

    with reloading_here():
        lightune.run(tiny_recipe("distilbert", "prefix", num_train_epochs=1), tmp_path / "run")
    assert "cannot be merged" in refused(capsys, 2, "RECIPE-094", tmp_path / "run", NAME, "--merged", "--yes")
    assert anna.asked == []
