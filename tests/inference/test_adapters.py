"""Several adapters on one base: each answers as if it were loaded alone, and none changes what the others stand on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import lightune
from case_table import case
from lightune.errors import ArtifactError, DataError, LightuneError, RecipeError
from lightune.methods import METHODS
from lightune.methods.support import support
from saved_adapters import make_adapter
from tiny import sentences

TEXTS = [text for text, _ in sentences(24, seed=51)]
LABELS = {2: ["negative", "positive"], 3: ["no", "so-so", "yes"], 5: ["1", "2", "3", "4", "5"]}
# name: method, number of labels, seed, longest text
ADAPTERS = {
    "lora": ("lora", 2, 1, 64),
    "head": ("head", 3, 2, 6),
    "full": ("full", 5, 3, 64),
    "lora5": ("lora", 5, 4, 9),
    "bottleneck": ("bottleneck", 3, 5, 64),
    "prefix": ("prefix", 5, 6, 64),
}


@pytest.fixture(scope="module")
def adapters(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    """Return a function that gives the folders of an architecture's adapters by name, made when first asked for."""
    made: dict[str, dict[str, Path]] = {}

    def folders(architecture: str) -> dict[str, Path]:
        if architecture not in made:
            root = tmp_path_factory.mktemp(architecture)
            made[architecture] = {
                name: make_adapter(tiny_models[architecture], root / name, method, LABELS[count], seed, length)
                for name, (method, count, seed, length) in ADAPTERS.items()
                if not support().get(method, {}).get(architecture)
            }
        return made[architecture]

    return folders


@pytest.fixture
def bank(adapters: Callable[[str], dict[str, Path]]) -> lightune.AdapterBank:
    return lightune.load_adapters(adapters("distilbert"), device="cpu")


def shared(one: torch.nn.Module, other: torch.nn.Module) -> int:
    """Return how many numbers lie in the memory of both models."""
    places = {value.data_ptr() for value in one.parameters()}
    return sum(value.numel() for value in other.parameters() if value.data_ptr() in places)


@pytest.mark.parametrize(
    "architecture", ["distilbert", "bert", "gpt2", "llama", "modernbert", "albert", "roberta", "deberta-v2"]
)
def test_a_mixed_batch_is_answered_as_by_each_adapter_alone(adapters, architecture):
    folders = adapters(architecture)
    bank = lightune.load_adapters(folders, device="cpu")
    names = [list(folders)[place % len(folders)] for place in range(len(TEXTS))]
    found = bank.predict(TEXTS, adapter=names)
    for name, folder in folders.items():
        alone = lightune.load(folder, device="cpu")
        assert bank[name].labels == alone.labels
        assert bank[name].max_length == alone.max_length
        np.testing.assert_array_equal(bank[name].logits(TEXTS), alone.logits(TEXTS))
        places = [place for place, wanted in enumerate(names) if wanted == name]
        assert [found[place] for place in places] == alone.predict([TEXTS[place] for place in places])
        (one,) = bank.predict(TEXTS[0], adapter=name)
        assert one == alone.predict(TEXTS[0])[0]
    labels = {answer.label for answer in found}
    assert len(labels) > 3, "answers too alike to show anything"


@pytest.mark.parametrize("adapter", ["lora", ["lora", "head"]])
@case("a DataFrame asked of a bank", "an answer for each column name", "DATA-043", "as of a classifier")
def test_a_table_is_refused_by_a_bank_too(bank, adapter):
    with pytest.raises(DataError, match="DATA-043 data of type DataFrame is not a list of texts"):
        bank.predict(pandas.DataFrame({"text": TEXTS[:2], "id": [1, 2]}), adapter=adapter)


def test_texts_and_names_may_come_in_columns(bank):
    names = ["lora", "head", "lora"]
    expected = bank.predict(TEXTS[:3], adapter=names)
    assert bank.predict(pandas.Series(TEXTS[:3]), adapter=np.array(names)) == expected
    assert bank.predict((text for text in TEXTS[:3]), adapter=iter(names)) == expected
    with pytest.raises(RecipeError, match='RECIPE-090 there is no adapter "None"'):
        bank.predict(TEXTS[:3], adapter=pandas.Series(["lora", None, "head"], dtype="string"))


@pytest.mark.parametrize("name", ["bottleneck", "prefix"])
def test_what_cannot_be_merged_makes_no_stock_model_and_says_so(bank, tmp_path, name):
    before = bank[name].logits(TEXTS)
    with pytest.raises(RecipeError, match=f"{name} cannot be merged"):
        bank[name].save_pretrained(tmp_path / "stock")
    assert not (tmp_path / "stock").exists()
    np.testing.assert_array_equal(bank[name].logits(TEXTS), before)


@pytest.fixture(scope="module")
def growing_bank(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> lightune.AdapterBank:
    """A bank to which every method is added in turn."""
    folder = make_adapter(tiny_models["bert"], tmp_path_factory.mktemp("first") / "adapter", "lora", LABELS[2])
    return lightune.load_adapters({"first": folder}, device="cpu")


@pytest.mark.parametrize("method", list(METHODS))
def test_an_adapter_of_any_method_leaves_the_base_as_it_was(growing_bank, tiny_models, tmp_path, method):
    """Loading writes in place: without memory of their own, trained weights of the base would change for everybody."""
    base, first = growing_bank._base.loaded.model, growing_bank["first"]
    before, answers = {name: value.clone() for name, value in base.state_dict().items()}, first.logits(TEXTS)
    folder = make_adapter(tiny_models["bert"], tmp_path / method, method, LABELS[3], seed=7)
    found = growing_bank.add(method, folder).logits(TEXTS)
    np.testing.assert_array_equal(found, lightune.load(folder, device="cpu").logits(TEXTS))
    np.testing.assert_array_equal(first.logits(TEXTS), answers)
    assert [name for name, value in base.state_dict().items() if not torch.equal(value, before[name])] == []


def test_frozen_tensors_lie_in_the_same_memory(bank):
    """By hand: an embedding of 48 words and 64 positions, its norm; two layers of four projections, two norms, two
    feed-forward matrices; each 32 wide, 64 inside."""
    words = len(bank["lora"].tokenizer)
    layer = 4 * (32 * 32 + 32) + 2 * 64 + (32 * 64 + 64) + (64 * 32 + 32)
    body = (words + 64) * 32 + 64 + 2 * layer
    for one, other in (("lora", "head"), ("head", "lora5"), ("lora5", "lora")):
        assert shared(bank[one].model, bank[other].model) == body
    assert shared(bank["full"].model, bank["lora"].model) == 0


def test_a_model_saved_from_the_bank_takes_nothing_from_the_others(bank, tmp_path):
    from transformers import AutoModelForSequenceClassification

    before = {name: bank[name].logits(TEXTS) for name in bank}
    for name in ("lora", "head", "full", "lora5"):
        bank[name].save_pretrained(tmp_path / name)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / name)
        batch = bank[name].tokenizer(TEXTS[0], return_tensors="pt", truncation=True, max_length=bank[name].max_length)
        with torch.no_grad():
            np.testing.assert_allclose(model(**batch).logits[0], before[name][0], atol=1e-5)
    for name in bank:
        np.testing.assert_array_equal(bank[name].logits(TEXTS), before[name])


def test_threads_get_the_answers_of_their_own_adapters(bank):
    """The adapters cut texts at different lengths, which is a state of the one tokenizer they share."""
    names = [name for name in bank for _ in range(12)]
    wanted = {name: bank[name].logits(TEXTS) for name in bank}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: bank[name].logits(TEXTS), names))
    for name, logits in zip(names, found, strict=True):
        np.testing.assert_array_equal(logits, wanted[name])


def test_an_adapter_can_be_added_while_others_answer(adapters):
    folders = adapters("distilbert")
    bank = lightune.load_adapters({"lora": folders["lora"]}, device="cpu")
    wanted = bank["lora"].logits(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(bank["lora"].logits, TEXTS) for _ in range(20)]
        added = [pool.submit(bank.add, name, folders[name]) for name in ("full", "head", "lora5")]
        for answer in answers:
            np.testing.assert_array_equal(answer.result(), wanted)
    for name, future in zip(("full", "head", "lora5"), added, strict=True):
        np.testing.assert_array_equal(future.result().logits(TEXTS), lightune.load(folders[name]).logits(TEXTS))


def test_a_removed_adapter_is_gone_from_memory(bank):
    gone = weakref.ref(bank["full"].model)
    bank.remove("full")
    assert gone() is None
    assert bank.names == list(bank) == ["lora", "head", "lora5", "bottleneck", "prefix"]
    assert "full" not in bank
    assert len(bank) == 5
    with pytest.raises(LightuneError, match="no adapter"):
        bank.remove("full")


@pytest.mark.parametrize("labels", [["Positive", "NEGATIVE"], ["ham", "spam"], ["1", "2", "3"]])
def test_a_checkpoint_with_a_head_of_its_own_can_be_the_base(load_lively, tmp_path, labels):
    theirs = load_lively("roberta")
    theirs.model.save_pretrained(tmp_path / "base")
    theirs.tokenizer.save_pretrained(tmp_path / "base")
    folders = {
        name: make_adapter(tmp_path / "base", tmp_path / name, name, given)
        for name, given in (("lora", labels), ("head", ["negative", "positive"]))
    }
    bank = lightune.load_adapters(folders, device="cpu")
    for name, folder in folders.items():
        np.testing.assert_array_equal(bank[name].logits(TEXTS), lightune.load(folder, device="cpu").logits(TEXTS))


def test_adapters_on_weights_in_bf16_share_them(tiny_models, tmp_path):
    base = tiny_models["distilbert"]
    folders = {
        name: make_adapter(base, tmp_path / name, "lora", labels, seed, precision="bf16")
        for name, labels, seed in (("a", LABELS[2], 1), ("b", LABELS[3], 2))
    }
    bank = lightune.load_adapters(folders, device="cpu")
    for name, folder in folders.items():
        np.testing.assert_array_equal(bank[name].logits(TEXTS), lightune.load(folder, device="cpu").logits(TEXTS))
    query = "base_model.model.distilbert.transformer.layer.0.attention.q_lin.base_layer.weight"
    weights = [dict(bank[name].model.named_parameters())[query] for name in folders]
    assert weights[0].dtype == torch.bfloat16
    assert weights[0].data_ptr() == weights[1].data_ptr()
    with pytest.raises(ArtifactError, match=r"stored in fp32; those in memory are bf16") as caught:
        bank.add("c", make_adapter(base, tmp_path / "c", "head", LABELS[2]))
    assert caught.value.code == "ARTIFACT-041"


def test_pairs_and_single_texts_can_stand_in_one_batch(tiny_models, tmp_path):
    base = tiny_models["bert"]
    columns = ("premise", "hypothesis")
    folders = {
        "pairs": make_adapter(base, tmp_path / "p", "head", LABELS[2], columns=columns),
        "single": make_adapter(base, tmp_path / "s", "head", LABELS[3]),
    }
    bank = lightune.load_adapters(folders, device="cpu")
    pair = (TEXTS[0], TEXTS[1])
    found = bank.predict([pair, TEXTS[2]], adapter=["pairs", "single"])
    assert found == [*bank["pairs"].predict(pair), *bank["single"].predict(TEXTS[2])]
    with pytest.raises(LightuneError, match="text 3 has 2 parts"):
        bank.predict([pair, TEXTS[0], pair], adapter=["pairs", "single", "single"])


def test_a_tuple_of_two_strings_is_one_pair_and_a_list_is_many_texts(tiny_models, tmp_path):
    base = tiny_models["bert"]
    folders = {
        "pairs": make_adapter(base, tmp_path / "p", "head", LABELS[2], columns=("premise", "hypothesis")),
        "single": make_adapter(base, tmp_path / "s", "head", LABELS[3]),
    }
    bank = lightune.load_adapters(folders, device="cpu")
    pair, texts = (TEXTS[0], TEXTS[1]), [TEXTS[0], TEXTS[1]]
    (alone,) = bank.predict(pair, adapter="pairs")
    assert bank.predict(pair, adapter=["pairs"]) == bank.predict([pair], adapter=["pairs"]) == [alone]
    assert len(bank.predict(texts, adapter="single")) == len(bank.predict(texts, adapter=["single"] * 2)) == 2
    with pytest.raises(LightuneError, match="names differ: 1 and 2") as caught:
        bank.predict(pair, adapter=["single", "single"])
    assert "give several texts as a list" in caught.value.hint
    with pytest.raises(LightuneError, match="names differ: 2 and 1"):
        bank.predict(texts, adapter=["pairs"])
    for asked in ("single", ["single"]):
        with pytest.raises(LightuneError, match="text 1 has 2 parts; this classifier takes 1") as caught:
            bank.predict(pair, adapter=asked)
        assert "as a list" in caught.value.hint


def test_a_folder_of_another_base_or_damaged_is_refused_and_the_rest_stays(bank, adapters, tmp_path):
    other = adapters("bert")["lora"]
    with pytest.raises(ArtifactError) as caught:
        bank.add("other", other)
    assert caught.value.code == "ARTIFACT-040"
    assert str(other) in caught.value.message
    assert "others of its base" in caught.value.hint
    shutil.copytree(adapters("distilbert")["lora"], tmp_path / "damaged")
    raw = bytearray((tmp_path / "damaged" / "adapter_model.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "damaged" / "adapter_model.safetensors").write_bytes(raw)
    with pytest.raises(ArtifactError, match="damaged") as caught:
        bank.add("damaged", tmp_path / "damaged")
    assert caught.value.code == "ARTIFACT-004"
    with pytest.raises(ArtifactError, match="no such folder"):
        bank.add("nowhere", tmp_path / "nowhere")
    assert bank.names == list(ADAPTERS)


def test_names_that_are_taken_or_unknown_are_refused(bank, adapters):
    with pytest.raises(LightuneError) as caught:
        bank.add("lora", adapters("distilbert")["head"])
    assert caught.value.code == "RECIPE-091"
    for ask in (lambda: bank["haed"], lambda: bank.predict(TEXTS[:1], adapter=["haed"]), lambda: bank.remove("haed")):
        with pytest.raises(LightuneError) as caught:
            ask()
        assert caught.value.code == "RECIPE-090"
        assert 'Did you mean "head"?' in caught.value.hint


def test_one_name_is_needed_for_each_text_and_one_adapter_at_all(bank):
    with pytest.raises(LightuneError, match="names differ: 3 and 2"):
        bank.predict(TEXTS[:3], adapter=["lora", "head"])
    with pytest.raises(LightuneError, match="no adapter is given"):
        lightune.load_adapters({})
    assert bank.predict([], adapter=[]) == []


def test_a_fault_is_called_by_its_place_among_all_texts(bank):
    with pytest.raises(LightuneError, match="text 3 is empty"):
        bank.predict([TEXTS[0], TEXTS[1], " "], adapter=["lora", "head", "lora"])


def test_a_base_that_moved_is_named(adapters, tiny_models, tmp_path):
    shutil.copytree(tiny_models["distilbert"], tmp_path / "moved")
    folder = adapters("distilbert")["lora"]
    bank = lightune.load_adapters({"a": folder}, base_model=str(tmp_path / "moved"), device="cpu")
    np.testing.assert_array_equal(bank["a"].logits(TEXTS), lightune.load(folder, device="cpu").logits(TEXTS))
    with pytest.raises(ArtifactError) as caught:
        lightune.load_adapters({"a": folder}, base_model=str(tiny_models["bert"]))
    assert caught.value.code == "ARTIFACT-007"


# Runs in a fresh process: what each further adapter adds to the resident memory, its first answers included, and what
# is given back when they are removed.
MEASURE = """
import gc, json, sys
import psutil
import lightune

first, *rest = sys.argv[1:]
bank = lightune.load_adapters({"0": first}, device="cpu")
texts = ["A quiet, devastating film.", "I want my evening back."] * 8
bank.predict(texts, adapter="0")
grown = []
for name, folder in enumerate(rest, 1):
    gc.collect()
    before = psutil.Process().memory_info().rss
    bank.add(str(name), folder)
    bank.predict(texts, adapter=str(name))
    gc.collect()
    grown.append(psutil.Process().memory_info().rss - before)
before = psutil.Process().memory_info().rss
for name in bank.names[1:]:
    bank.remove(name)
print(json.dumps({"grown": grown, "freed": before - psutil.Process().memory_info().rss}))
"""


@pytest.mark.long
def test_each_further_adapter_costs_at_most_twice_its_file_and_ten_megabytes(tmp_path):
    """On MiniLM, 91 MB: of two, three and five labels; a prefix, adapter layers, LoRA, the head alone, all of it."""
    methods = ["lora", "bottleneck", "prefix", "head", "lora", "full", "prefix", "bottleneck"]
    counts = {"lora": 2, "bottleneck": 3, "prefix": 5}
    folders = [
        make_adapter("minilm", tmp_path / str(number), method, LABELS[counts.get(method, 3)], number, 128)
        for number, method in enumerate(methods)
    ]
    command = [sys.executable, "-c", MEASURE, *map(str, folders)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    files = [(folder / "adapter_model.safetensors").stat().st_size for folder in folders[1:]]
    for method, size, more in zip(methods[1:], files, found["grown"], strict=True):
        print(f"{method}: file {size:,} bytes, {more:,} more in memory")
        assert more <= 2 * size + 10e6
    print(f"freed: {found['freed']:,}")
    assert found["freed"] > 0.5 * sum(files), "the C library keeps a part of what is freed for later"
