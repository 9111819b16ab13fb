"""The model card: valid metadata, the honest parts, nothing that breaks out of its place."""

from __future__ import annotations

import re

import pytest
import yaml

from example_record import FIVE, example_record
from lightune.report.card import fenced, plain, render_card, sampling_noise


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
                      "Reproduce"]  # fmt: skip
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
    assert len(blocks) == 2
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
