"""Values in config.json that no model can have are refused, by the command that reads no weights and by loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from case_table import case
from lightune.errors import RecipeError
from lightune.models.load import ModelSource, load_model
from lightune.models.token_counter import token_counter
from spoilt_models import changed
from tiny import ARCHITECTURES, classes

COUNTED = ("roberta", "xlm-roberta", "camembert", "mpnet")
ABSENT = object()


def limits(folder: Path) -> tuple[int, int]:
    """The longest text, told from the files alone and by the loaded model."""
    loaded = load_model(ModelSource("it", folder, None), classes(["a", "b"]), 1)
    return token_counter(str(folder)).limit, loaded.max_length


def with_config(source: Path, folder: Path, key: str, value: Any) -> Path:
    is_absent = value is ABSENT
    return changed(source, folder, "config.json", {} if is_absent else {key: value}, key if is_absent else "")


def assert_refused(folder: Path, code: str, said: str) -> None:
    """Both ways of reading say the same."""
    for read in (
        lambda: token_counter(str(folder)),
        lambda: load_model(ModelSource(str(folder), folder, None), classes(["a", "b"]), 1),
    ):
        with pytest.raises(RecipeError) as caught:
            read()
        assert caught.value.code == code
        assert said in caught.value.message


@case(
    "RoBERTa (and XLM-R, CamemBERT, MPNet) whose config.json has no pad_token_id",
    "check --model: BUG-001 KeyError 'pad_token_id'",
    "the architecture's own, 1: texts of 2 tokens less than there are positions",
    "RobertaConfig's default is 1; its positions begin behind it",
)
@pytest.mark.parametrize("architecture", COUNTED)
def test_a_pad_id_that_is_left_out_is_the_architectures_own(
    tiny_models: dict[str, Path], tmp_path: Path, architecture: str
):
    folder = with_config(tiny_models[architecture], tmp_path / "model", "pad_token_id", ABSENT)
    (folder / "tokenizer_config.json").write_text(
        (folder / "tokenizer_config.json").read_text().replace('"model_max_length": 64', '"model_max_length": 999')
    )
    positions = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    assert limits(folder) == (positions - 2, positions - 2)


COUNTING = ("a RoBERTa whose pad_token_id is {}", "check --model: {}", "RECIPE-059, with what is valid")
WHY = "positions are counted from it"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        pytest.param(None, "the number of the pad token", id="null", marks=case(
            COUNTING[0].format("null"), COUNTING[1].format("BUG-001 TypeError"), COUNTING[2], WHY)),
        pytest.param("1", "the number of the pad token", id="text", marks=case(
            COUNTING[0].format('"1"'), COUNTING[1].format("BUG-001 TypeError"), COUNTING[2], WHY)),
        pytest.param([1], "the number of the pad token", id="list"),
        pytest.param(1.5, "the number of the pad token", id="fraction"),
        pytest.param(True, "the number of the pad token", id="true"),
        pytest.param(-1, "0 to 47", id="negative", marks=case(
            COUNTING[0].format("-1"), "read, with positions counted from 0: wrong answers without a word",
            COUNTING[2], WHY)),
        pytest.param(48, "0 to 47", id="beyond", marks=case(
            COUNTING[0].format("48, of 48 tokens"), "check --model: a limit of 16; run: BUG-001 AssertionError",
            COUNTING[2], "there is no such token")),
    ],
)  # fmt: skip
def test_a_pad_id_that_cannot_be_is_refused(tiny_models: dict[str, Path], tmp_path: Path, value: Any, valid: str):
    folder = with_config(tiny_models["roberta"], tmp_path / "model", "pad_token_id", value)
    assert_refused(folder, "RECIPE-059", f"in config.json pad_token_id is {json.dumps(value)}; valid: {valid}")


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in ("gpt2", "qwen2")])
def test_a_pad_id_beyond_the_vocabulary_is_refused(tiny_models: dict[str, Path], tmp_path: Path, architecture: str):
    folder = with_config(tiny_models[architecture], tmp_path / "model", "pad_token_id", 48)
    assert_refused(folder, "RECIPE-059", "pad_token_id is 48; valid: 0 to 47")


@pytest.mark.parametrize(
    ("architecture", "value"),
    [("bert", None), ("bert", ABSENT), ("llama", None), ("llama", -1), ("gpt2", None), ("gpt2", 48), ("gpt2", -1)],
)
def test_where_positions_are_not_counted_from_it_a_pad_id_may_be_left_out(
    tiny_models: dict[str, Path], tmp_path: Path, architecture: str, value: Any
):
    """-1 is how some checkpoints of Llama say "none"; GPT-2's embedding is not told the pad id at all."""
    assert limits(with_config(tiny_models[architecture], tmp_path / "model", "pad_token_id", value)) == (64, 64)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("max_position_embeddings", None, id="null", marks=case(
            "max_position_embeddings: null", "check --model: the tokenizer's limit, or 512; run: BUG-001",
            "RECIPE-059 from both", "nobody can tell how long a text may be")),
        pytest.param("max_position_embeddings", 0, id="0", marks=case(
            "max_position_embeddings: 0", "check --model: taken for 512", "RECIPE-059", "no text would fit")),
        pytest.param("max_position_embeddings", -5, id="negative", marks=case(
            "max_position_embeddings: -5", "check --model: a limit of -5 tokens, all texts cut", "RECIPE-059",
            "the same")),
        pytest.param("max_position_embeddings", "64", id="text", marks=case(
            'max_position_embeddings: "64"', "check --model: BUG-001 TypeError", "RECIPE-059",
            "transformers does not take it either")),
        pytest.param("max_position_embeddings", 64.0, id="fraction"),
        pytest.param("max_position_embeddings", [64], id="list"),
        pytest.param("vocab_size", None, id="vocab null"),
        pytest.param("vocab_size", "48", id="vocab text"),
        pytest.param("vocab_size", 0, id="vocab 0"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(tiny_models: dict[str, Path], tmp_path: Path, key: str, value: Any):
    for architecture in ("bert", "roberta", "llama"):
        folder = with_config(tiny_models[architecture], tmp_path / architecture, key, value)
        said = f"in config.json {key} is {json.dumps(value)}; valid: a whole number above 0"
        assert_refused(folder, "RECIPE-059", said)


@pytest.mark.parametrize("value", [None, 0, "64", [64]])
def test_gpt2_s_own_name_of_the_positions_counts_as_well(tiny_models: dict[str, Path], tmp_path: Path, value: Any):
    folder = with_config(tiny_models["gpt2"], tmp_path / "model", "n_positions", value)
    assert_refused(folder, "RECIPE-059", f"n_positions is {json.dumps(value)}")


def test_positions_that_all_lie_before_the_first_text_are_refused(tiny_models: dict[str, Path], tmp_path: Path):
    folder = changed(
        tiny_models["roberta"], tmp_path / "model", "config.json", {"max_position_embeddings": 2, "pad_token_id": 1}
    )
    assert_refused(folder, "RECIPE-059", "valid: more than 2")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ABSENT, marks=case(
            "a config.json without model_type", 'check --model: counts; run: architecture "None" is not known',
            "RECIPE-059 from both: model_type is missing", "None is not what the file says")),
        None, 5, "", pytest.param(["bert"], marks=case(
            'model_type: ["bert"]', "run: BUG-001 TypeError unhashable", "RECIPE-059", "it is one name")),
    ],
)  # fmt: skip
def test_a_model_type_that_is_no_name_is_refused(tiny_models: dict[str, Path], tmp_path: Path, value: Any):
    folder = with_config(tiny_models["bert"], tmp_path / "model", "model_type", value)
    assert_refused(folder, "RECIPE-059", "in config.json model_type is")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("{", "not JSON", id="cut", marks=case(
            "a tokenizer_config.json that is cut off", "check --model: read as if it were absent",
            "RECIPE-047, with its path", "the limit that it holds would be lost")),
        pytest.param("[]", "not a JSON object", id="list", marks=case(
            "a tokenizer_config.json that is a list", "check --model: as absent; run: BUG-001 AttributeError",
            "RECIPE-047, from run too", "the same")),
        pytest.param("\ufeff{}", "not JSON", id="mark"),
    ],
)  # fmt: skip
def test_a_broken_tokenizer_config_is_named(tiny_models: dict[str, Path], tmp_path: Path, content: str, said: str):
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
    assert_refused(folder, "RECIPE-047", f"tokenizer_config.json: {said}")


@pytest.mark.parametrize("content", [None, "{not json", "[]"])
def test_check_asks_for_a_config_as_run_does(tiny_models: dict[str, Path], tmp_path: Path, content: str | None):
    """Without one it would have counted with a limit of its own invention."""
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    path = folder / "config.json"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    assert_refused(folder, "RECIPE-041" if content is None else "RECIPE-042", "config.json")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("hidden_size", "32", "hidden_size"), ("num_attention_heads", 0, ""), ("hidden_act", "no-such", "no-such"),
     ("num_hidden_layers", None, "num_hidden_layers")],
)  # fmt: skip
def test_what_transformers_refuses_is_an_error_with_its_words(
    tiny_models: dict[str, Path], tmp_path: Path, key: str, value: Any, said: str
):
    folder = with_config(tiny_models["bert"], tmp_path / "model", key, value)
    with pytest.raises(RecipeError, match="cannot be loaded") as caught:
        load_model(ModelSource("it", folder, None), classes(["a", "b"]), 1)
    assert said in caught.value.message


@pytest.mark.parametrize("value", [None, "64", 0, -1, True, [1], float("nan"), 1e30])
def test_a_limit_of_the_tokenizer_that_says_nothing_is_none(tiny_models: dict[str, Path], tmp_path: Path, value: Any):
    folder = changed(tiny_models["bert"], tmp_path / "model", "tokenizer_config.json", {"model_max_length": value})
    assert limits(folder) == (64, 64)
