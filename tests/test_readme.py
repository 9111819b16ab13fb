"""The README's commands, executed."""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightune import experiment
from lightune.cli.main import main
from lightune.inference import speed
from lightune.sections import ReloadCheck
from tiny import BAD, GOOD, sentences, write_csv

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
# The quickstart with few examples: the same code on the same model in seconds.
SMALL = ["--train-examples", "40", "--validation-examples", "20", "--test-examples", "40", "--epochs", "1"]


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [re.sub(r"\s+# .*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if "lightune" in line and "pip" not in line]


def _execute(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> int:
    """Run one shell line in this process: a pipe into lightune and a redirection out of it are understood."""
    before, _, command = line.rpartition("| ")
    command, _, target = command.partition(" > ")
    if before:
        text = subprocess.run(["sh", "-c", before], capture_output=True, text=True, check=True).stdout
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    capsys.readouterr()
    status = main(shlex.split(command)[1:])
    if target:
        Path(target.strip()).write_text(capsys.readouterr().out, encoding="utf-8")
    return status


def _write_other_tasks(folder: Path) -> None:
    """Write the files of several labels and of numbers that the commands name."""
    texts = [text for text, _ in sentences(96, seed=12)]
    kinds = {"anger": BAD, "fear": ["film", "story", "waiter"], "joy": GOOD}
    labels = [[kind for kind, words in kinds.items() if set(words) & set(text.split())] for text in texts]
    lines = [json.dumps({"text": text, "labels": found}) for text, found in zip(texts, labels, strict=True)]
    (folder / "intents.jsonl").write_text("\n".join(lines[:64]), encoding="utf-8")
    (folder / "more.jsonl").write_text("\n".join(lines[64:]), encoding="utf-8")
    rows = [(text, *(int(kind in found) for kind in kinds)) for text, found in zip(texts, labels, strict=True)]
    write_csv(folder / "moods.csv", rows, ("text", *kinds))
    pairs = [(text, other, abs(len(text) - len(other)) / 10) for text, other in itertools.pairwise(texts)]
    write_csv(folder / "pairs.csv", pairs[:64], ("sentence1", "sentence2", "score"))
    write_csv(folder / "pairs_test.csv", pairs[64:], ("sentence1", "sentence2", "score"))


def test_the_commands_of_the_readme_work(tmp_path, tiny_data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, split in (("train", "train"), ("test", "test"), ("reviews", "validation")):
        (tmp_path / f"{name}.csv").write_text(tiny_data[split].read_text(encoding="utf-8"), encoding="utf-8")
    _write_other_tasks(tmp_path)
    for name in ("WARM_UP", "SINGLE_TEXTS", "BULK_TEXTS"):
        monkeypatch.setattr(speed, name, 1)  # measured on two texts instead of 300, three times a run
    commands = _commands()
    assert commands[0] == "lightune run"
    assert main(["run", *SMALL]) == 0
    # The first run has paid for a fresh process; each more would only take its ten seconds.
    unchecked = ReloadCheck(passed=True, examples=0, largest_logit_difference=None)
    monkeypatch.setattr(experiment, "check_reload", lambda *_: (unchecked, ""))
    for line in commands[1:]:
        if line.startswith("lightune run"):
            line += " --epochs 1 --train-examples 20 --validation-examples 10 --test-examples 20"
        assert _execute(line, monkeypatch, capsys) == 0, line
    assert (tmp_path / "answers.csv").read_text(encoding="utf-8").startswith("text,label,prediction,confidence\n")
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()


def test_the_python_of_the_readme_is_valid():
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        compile(block, "README.md", "exec")


@pytest.mark.long
def test_the_quickstart_keeps_its_promise(tmp_path):
    """The whole quickstart: guessing before, at least 0.80 after, above TF-IDF and the probe, in three minutes."""
    started = time.monotonic()
    command = [sys.executable, "-m", "lightune", "run", "quickstart", "--json"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    record = json.loads(found.stdout)
    assert time.monotonic() - started < 180
    assert 0.40 <= record["before"]["accuracy"] <= 0.60
    assert record["after"]["accuracy"] >= 0.80
    assert record["after"]["accuracy"] > record["baselines"]["tfidf"]["accuracy"]
    assert record["comparison"]["probe_gain_ci95"][0] > 0
    assert set(record["after"]["groups"]["kind"]) == {"plain", "negation", "mixed", "implied", "irony"}
    assert record["reload_check"]["passed"]


@pytest.mark.long
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    """One block after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102 (our own README)
