"""A text of which the tokenizer leaves nothing is refused where it stands, before anything is computed from it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from case_table import case
from lightune.cli.main import main
from saved_adapters import make_adapter
from spoilt_models import DROPPED, changed, dropping, with_tokens
from tiny import classes, sentences, write_csv

# The line after the header is 2; the bare text stands as the fourth row.
BARE, LINE = DROPPED * 3, 5
RUN = "BUG-001 ValueError: Input X contains NaN"
NONE = "a text without tokens says nothing, and the model's answer to it nothing either"


def rows(count: int, seed: int, text: str | tuple[str, ...] | None = None) -> list[tuple[str, ...]]:
    """Labelled texts; the fourth one's text may be another."""
    found: list[tuple[str, ...]] = list(sentences(count, seed))
    if text is not None:
        parts = text if isinstance(text, tuple) else (text,)
        found[3] = (*parts, found[3][-1])
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """Return what a command says that ends with the status of a data error."""
    assert main([*map(str, arguments)]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "DATA-044" in said
    return said


@pytest.fixture(scope="module")
def bare_models(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models whose tokenizer drops stars: GPT-2 adds no special tokens, the others two."""
    root = tmp_path_factory.mktemp("dropping")
    return {name: dropping(tiny_models[name], root / name) for name in ("gpt2", "llama", "bert", "distilbert")}


@pytest.mark.parametrize(
    ("architecture", "split"),
    [
        pytest.param("gpt2", "train", marks=case(
            "a training text of which GPT-2's tokenizer leaves nothing", f"run: {RUN}",
            "DATA-044 with file:line, before training", NONE)),
        pytest.param("llama", "test", marks=case(
            "such a text in the test file, with a Llama", f"run: {RUN}",
            "DATA-044 with file:line", NONE)),
        pytest.param("bert", "validation", marks=case(
            "such a text in the validation file, with a BERT: [CLS] [SEP]",
            "exit 0: trained and measured on it without a word", "DATA-044 with file:line", NONE)),
        pytest.param("bert", "train", marks=case(
            "such a text in the training file, with a BERT", "exit 0 without a word", "DATA-044 with file:line", NONE)),
    ],
)  # fmt: skip
def test_run_and_check_refuse_it_in_every_split(
    bare_models: dict[str, Path], tmp_path: Path, capsys: Any, architecture: str, split: str
):
    files: list[Any] = []
    for seed, name in enumerate(("train", "validation", "test"), 1):
        path = write_csv(tmp_path / f"{name}.csv", rows(40, seed, BARE if name == split else None))
        files += [f"--{name}", path]
    model = ("--model", bare_models[architecture])
    said = refused(capsys, "run", *files, *model, "--output", tmp_path / "run", "--device", "cpu")
    assert f"{split}.csv:{LINE}: the text has no tokens" in said
    assert not (tmp_path / "run").exists()
    assert main(["check", *map(str, (*files, *model)), "--json"]) == 3
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["code"] == "DATA-044"
    assert fault["place"].endswith(f"{split}.csv:{LINE}")
    assert str(bare_models[architecture]) in fault["text"]


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param((BARE, BARE), id="both"),
        pytest.param(("the film", BARE), id="second", marks=case(
            "a pair whose second text has no tokens, with a BERT", "exit 0 without a word", "DATA-044",
            "half a pair is none, as when a cell is empty")),
        pytest.param((BARE, "the film"), id="first"),
    ],
)  # fmt: skip
def test_each_text_of_a_pair_needs_some(bare_models: dict[str, Path], tmp_path: Path, capsys: Any, pair: Any):
    texts: list[tuple[str, ...]] = [(text, "the plot", label) for text, label in sentences(40, 1)]
    texts[3] = (*pair, texts[3][-1])
    path = write_csv(tmp_path / "train.csv", texts, ("one", "two", "label"))
    given = (path, "--model", bare_models["bert"], "--set", "data.text_column=[one,two]")
    assert f"train.csv:{LINE}" in refused(capsys, "run", "--train", *given, "--output", tmp_path / "run")
    assert main(["check", *map(str, given)]) == 3


def test_a_word_that_nobody_knows_is_a_token(bare_models: dict[str, Path], tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "train.csv", rows(40, 1, "xyzzy"))
    assert main(["check", str(path), "--model", str(bare_models["bert"])]) == 0


@pytest.fixture(scope="module")
def adapters(bare_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trained models on those tokenizers; the numpy path would answer for DistilBERT."""
    root = tmp_path_factory.mktemp("adapters")
    labels = ["negative", "positive"]
    return {name: make_adapter(folder, root / name, "lora", labels) for name, folder in bare_models.items()}


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param("gpt2", marks=case(
            "predict: a text of which GPT-2's tokenizer leaves nothing",
            "alone: BUG-001, cannot reshape; beside others: a label and a probability",
            "DATA-044 with the number of the text", NONE)),
        pytest.param("distilbert", marks=case(
            "predict: such a text with DistilBERT, which answers without torch", "a label and a probability",
            "DATA-044 with the number of the text", NONE)),
    ],
)  # fmt: skip
def test_predict_refuses_it_by_its_number(adapters: dict[str, Path], capsys: Any, architecture: str):
    said = refused(capsys, "predict", adapters[architecture], "the film", BARE, "the film", BARE)
    assert "text 2: the text has no tokens" in said


@case(
    "predict --file: such a text in a row that comes after repeated ones",
    "a label and a probability",
    "DATA-044 with file:line",
    "rows are computed once, but called by their own line",
)
def test_predict_names_the_line_of_a_file(adapters: dict[str, Path], tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "new.csv", [("the film",), ("the film",), ("soup",), (BARE,)], ("text",))
    for name in ("distilbert", "gpt2"):
        said = refused(capsys, "predict", adapters[name], "--file", path, "--output", tmp_path / "answers.csv")
        assert f"new.csv:{LINE}: the text has no tokens" in said
        assert not (tmp_path / "answers.csv").exists()


@case("evaluate: such a text in the file", "exit 0: counted as any other", "DATA-044 with file:line", NONE)
def test_evaluate_names_the_line(adapters: dict[str, Path], tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "test.csv", rows(20, 4, BARE))
    for name in ("bert", "gpt2"):
        assert f"test.csv:{LINE}" in refused(capsys, "evaluate", adapters[name], "--test", path)


def test_of_several_adapters_each_calls_a_text_by_its_place_among_all(adapters: dict[str, Path]):
    import lightune
    from lightune.errors import DataError

    bank = lightune.load_adapters({"one": adapters["bert"], "two": adapters["bert"]}, device="cpu")
    with pytest.raises(DataError, match="text 4: the text has no tokens"):
        bank.predict(["the film", "soup", "bread", BARE], ["one", "two", "one", "two"])


@pytest.mark.parametrize(
    ("columns", "limit", "needed"),
    [
        pytest.param(("one", "two"), 4, 5, marks=case(
            "a pair, data.max_length 4, three special tokens", "exit 0: one of the two texts was cut away whole",
            "RECIPE-064: set 5 or more", "a pair of which one text is cut away is none")),
    ],
)  # fmt: skip
def test_a_length_that_leaves_no_room_for_the_text_is_refused(
    bare_models: dict[str, Path], tmp_path: Path, capsys: Any, columns: tuple[str, ...], limit: int, needed: int
):
    texts = [(text, "the plot", label) for text, label in sentences(40, 1)]
    path = write_csv(tmp_path / "train.csv", texts, ("one", "two", "label"))
    setting = ("--set", f"data.text_column=[{','.join(columns)}]", "--set", f"data.max_length={limit}")
    for command in (("run", "--train", path, "--output", tmp_path / "run"), ("check", path)):
        assert main([*map(str, command), "--model", str(bare_models["bert"]), *setting]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "RECIPE-064" in said
        assert f"data.max_length to {needed} or more" in said


@case(
    "a model whose tokenizer takes 2 tokens of a text, both special",
    "exit 0: trained on [CLS] [SEP] alone",
    "RECIPE-064",
    "no text would be read at all",
)
def test_a_tokenizer_whose_limit_leaves_no_room_is_refused(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path, capsys: Any
):
    model = changed(tiny_models["bert"], tmp_path / "model", "tokenizer_config.json", {"model_max_length": 2})
    for command in ("run", "check"):
        assert main([command, "--train", str(tiny_data["train"]), "--model", str(model)]) == 2
        assert "RECIPE-064" in capsys.readouterr().err


def test_the_commands_refuse_a_tokenizer_beyond_the_embeddings(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path, capsys: Any
):
    """As tests/models/test_vocabulary.py has it in full; a finished model is one of those that are loaded."""
    from lightune.models.load import ModelSource, load_model

    finished = tmp_path / "finished"
    loaded = load_model(ModelSource("it", tiny_models["bert"], None), classes(["negative", "positive"]), 1)
    loaded.model.save_pretrained(finished)
    loaded.tokenizer.save_pretrained(finished)
    with_tokens(finished, finished, {f"word{number}": 48 + number for number in range(12)})
    test = ("--test", str(tiny_data["test"]))
    for command in (
        ["run", "--model", str(finished), "--train", str(tiny_data["train"]), "--output", str(tmp_path / "run")],
        ["check", str(tiny_data["train"]), "--model", str(finished)],
        ["evaluate", str(finished), *test],
        ["predict", str(finished), "the film"],
    ):
        assert main(command) == 2
        assert "RECIPE-058" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tokens", [{"word": 48}, {"far": 90}], ids=["more", "holes"])
def test_the_path_without_torch_leaves_a_tokenizer_beyond_the_embeddings_to_the_usual_one(
    tiny_models: dict[str, Path], tmp_path: Path, tokens: dict[str, int]
):
    from lightune.inference.torch_free import _token_ids
    from lightune.models.load import ModelSource

    config = SimpleNamespace(max_length=64, long_texts="cut")

    def ids(folder: Path) -> object:
        raw = json.loads((folder / "config.json").read_bytes())
        assert raw["vocab_size"] == 48
        return _token_ids(ModelSource("it", folder, None), ["the film", *tokens], config, raw)  # type: ignore[arg-type]

    assert ids(tiny_models["distilbert"]) is not None
    assert ids(with_tokens(tiny_models["distilbert"], tmp_path / "model", tokens)) is None


def test_answers_of_other_texts_are_what_they_were(adapters: dict[str, Path], tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "new.csv", [("the film",), ("soup ★",)], ("text",))
    assert main(["predict", str(adapters["gpt2"]), "--file", str(path)]) == 0
    answers = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert [row[0] for row in answers] == ["text", "the film", "soup ★"]
