"""The model card: valid metadata, the honest parts, nothing that breaks out of its place."""

from __future__ import annotations

import re

import pytest
import yaml

from example_record import FIVE, example_record
from lightune.report.card import Published, fenced, plain, render_card, sampling_noise
from lightune.report.without_paths import base_name, without_paths


def _front_matter(card: str) -> dict:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def _with_model(**changes: object):
    record = example_record()
    return record.model_copy(update={"model": record.model.model_copy(update=changes)})


def test_front_matter_of_a_lora_run():
    assert _front_matter(render_card(example_record())) == {
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "library_name": "peft",
        "pipeline_tag": "text-classification",
        "tags": ["lightune", "lora"],
        "metrics": ["accuracy", "f1"],
    }


@pytest.mark.parametrize(
    "name",
    [
        "C:\\models\\my: model #1",
        "/data/models/x: y",
        "- a",
        "'quoted\"",
        "yes",
        "null",
        "ümlaut/模型",
        "a\nlicense: mit",
    ],
)
def test_front_matter_holds_any_model_name(name):
    found = _front_matter(render_card(_with_model(name=name)))
    assert found["base_model"] == name
    assert "license" not in found


def test_other_methods_name_lightune_and_show_no_peft_code():
    model = example_record().model.model_dump() | {"peft_loadable": False}
    card = render_card(example_record(model=model))
    assert _front_matter(card)["library_name"] == "lightune"
    assert "PeftModel" not in card


def test_a_tuner_of_our_own_is_said_to_need_lightune_beside_peft():
    model = example_record().model.model_dump() | {"peft_loadable": False, "own_tuner": True}
    card = render_card(example_record(model=model))
    assert _front_matter(card)["library_name"] == "lightune"
    assert "With PEFT, which needs lightune for this kind of adapter: register\\_all() makes it known" in card
    assert "without lightune" not in card
    code = card[card.index("With PEFT") :]
    assert code.index("tuners.register_all()\n") < code.index("PeftModel.from_pretrained(")
    assert "register_all" not in render_card(example_record())


@pytest.mark.parametrize("labels", [("negative", "positive"), FIVE])
def test_sections_and_figures(labels):
    record = example_record(labels)
    card = render_card(record)
    titles = re.findall(r"^## (.+)$", card, flags=re.MULTILINE)
    assert titles == ["What it is", "How to use it", "Training data", "Results", "Training settings", "Cost", "Limits",
                      "What may improve it", "Reproduce"]  # fmt: skip
    assert f"| after (lora) | {record.after.accuracy:.3f} |" in card
    assert f"| before (untrained head) | {record.before.accuracy:.3f} |" in card
    assert record.comparison.probe_verdict in card
    assert "untrained head. It can only guess" in card
    assert f"The test set has {record.after.examples} examples" in card


def test_every_table_has_as_many_cells_in_each_row():
    card = render_card(example_record(("a|b", "<b>c</b>")))
    for block in re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_markup_in_the_data_is_escaped():
    card = render_card(example_record(("<script>x", "[a](javascript:b)"), notes=["*x* <img src=y>\n# title"]))
    outside = re.sub(r"^(`{3,}).*?^\1$", "", card, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in outside.replace("\\<", "")
    assert "[a]" not in outside.replace("\\[", "")
    assert "- \\*x\\* \\<img src=y\\> \\# title" in card


def test_a_fence_in_the_recipe_cannot_close_the_block():
    block = fenced("a\n```\nb", "yaml")
    assert block == "````yaml\na\n```\nb\n````"
    assert plain("a|b\nc") == "a\\|b c"


def test_the_python_in_the_card_compiles():
    odd = 'a "b" \\ c'
    record = example_record((odd, "d"), run_folder="runs\\odd 'name\"")
    blocks = re.findall(r"^```python\n(.*?)^```$", render_card(record), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "card", "exec")


def test_a_hub_revision_is_pinned_and_a_hash_is_not():
    assert ', revision="abc123"' in render_card(_with_model(name="distilbert-base-uncased", revision="abc123"))
    assert "revision=" not in render_card(example_record())


def test_none_is_not_measured():
    record = example_record()
    inference = record.inference.model_copy(update={"merged_latency_ms_p50": None})
    card = render_card(record.model_copy(update={"inference": inference}))
    assert "| merged into base | not measured |" in card
    assert "None" not in card


def test_sampling_noise_by_hand():
    # 1.96 * sqrt(0.5 * 0.5 / 100) = 0.098
    assert sampling_noise(0.5, 100) == pytest.approx(0.098)


def test_pairs_of_texts():
    record = example_record()
    data = record.data.model_copy(update={"text_column": ["premise", "hypothesis"]})
    card = render_card(record.model_copy(update={"data": data}))
    assert 'tokenizer("First text.", "Second text.", truncation=True' in card
    assert 'lightune predict runs/reviews-1 "First text." "Second text."' in card
    assert "| text columns | premise, hypothesis |" in card


@pytest.mark.parametrize(("kept", "said"), [(True, True), (False, False), (None, False)])
def test_the_card_says_whether_fingerprints_were_kept_and_what_they_protect(kept, said):
    """None: the record of a run that was made before there were any."""
    record = example_record()
    data = {name: value for name, value in record.recipe["data"].items() if name != "fingerprints"}
    data |= {} if kept is None else {"fingerprints": kept}
    card = render_card(record.model_copy(update={"recipe": {**record.recipe, "data": data}}))
    assert ("adapter/fingerprints.safetensors" in card) == said
    assert ("No text can be read from it. But the key is stored with the hashes" in card) == said
    assert ("No fingerprints of the training texts were kept" in card) != said


# What is passed on


def _local(**changes: object):
    """A record of a run on files and folders of this disk."""
    given = {"train": "/home/anna/data/train.csv", "validation": None, "test": "../more/test.csv"}
    record = _with_model(name="/home/anna/models/my-bert", revision=None)
    data = record.data.model_copy(update={"source": given["train"], "revision": None})
    recipe = {**record.recipe, "model": "/home/anna/models/my-bert", "data": {**record.recipe["data"], "source": given}}
    notes = [
        "/home/anna/data/train.csv: 3 rows have no label.",
        "The labels (as in ../more/test.csv) are those of cards/home/anna/data.",
    ]
    local = {"data": data, "recipe": recipe, "notes": notes, "run_folder": "/home/anna/runs/x-1"}
    return record.model_copy(update={**local, **changes})


def test_a_card_names_files_and_folders_without_their_paths():
    card = render_card(_local())
    assert "anna/models" not in card
    assert "/home/anna/data/" not in card
    assert "../more" not in card
    code = 'name, adapter = "my-bert", "x-1/adapter"  # the folder of the base model'
    settings = ("model: my-bert", "test: test.csv")
    for shown in ("| source | train.csv |", *settings, "- train.csv: 3 rows have no label.", "predict x-1 ", code):
        assert shown in card, shown
    assert "cards/home/anna/data" in card, "that is no path of the run"


def test_a_base_that_is_not_on_the_hub_is_no_metadata():
    """The Hub refuses a card whose base_model is a path, and takes a name for one of its own models."""
    assert "base_model" not in _front_matter(render_card(_local()))


def test_names_on_the_hub_and_all_figures_stay_as_they_are():
    record = _with_model(name="somebody/model", revision="abc")
    data = record.data.model_copy(update={"source": "somebody/data", "revision": "def"})
    recipe = {**record.recipe, "model": "somebody/model", "data": {"source": "somebody/data"}}
    record = record.model_copy(update={"data": data, "recipe": recipe})
    assert without_paths(record) == record
    left = {"recipe", "model", "data", "notes", "run_folder"}
    local = _local()
    assert without_paths(local).model_dump(exclude=left) == local.model_dump(exclude=left)


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.csv", "a.csv"), ("b/a.csv", "a.csv"), ("/b/c/", "c"), ("C:\\b\\c.csv", "c.csv"), ("data/*.csv", "*.csv")],
)
def test_the_name_of_a_path(path, name):
    assert base_name(path) == name


def _published(**options: object) -> str:
    return render_card(_local(), Published("anna/reviews", **options))


def test_the_card_of_a_published_adapter_speaks_of_its_repository():
    card = _published(license="mit")
    found = _front_matter(card)
    assert (found["license"], found["library_name"]) == ("mit", "peft")
    assert "\n# reviews\n" in card
    assert 'lightune predict anna/reviews "A text to classify."' in card
    assert 'lightune.load("anna/reviews")' in card
    assert '"anna/reviews"  # the folder of the base model' in card
    assert "x-1" not in card
    assert "fingerprints.safetensors" not in card
    assert "are not published" in card
    assert "Save the settings above as recipe.yaml, with the paths of your files" in card


def test_the_card_of_a_published_merged_model_needs_transformers_alone():
    card = _published(is_merged=True)
    assert (_front_matter(card)["library_name"], _front_matter(card)["license"]) == ("transformers", "unknown")
    assert 'AutoModelForSequenceClassification.from_pretrained("anna/reviews")' in card
    assert "PeftModel" not in card
    assert "save_pretrained" not in card


def test_the_way_out_of_the_run_folder_is_shown_where_there_is_one():
    record = example_record()
    assert 'lightune.load("runs/reviews-1").save_pretrained("my-model")' in render_card(record)
    inference = record.inference.model_copy(update={"merged_samples_per_second": None})
    assert "save_pretrained" not in render_card(record.model_copy(update={"inference": inference}))


def test_an_older_adapter_has_no_tokenizer_for_peft():
    assert "AutoTokenizer.from_pretrained(adapter)" in render_card(_with_model(tokenizer_saved=True))
    older = render_card(_with_model(name="a/b", revision="abc"))
    assert 'AutoTokenizer.from_pretrained(name, revision="abc")' in older
    assert "truncation=True, max_length=" in older
