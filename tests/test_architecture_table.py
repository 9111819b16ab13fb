"""The benchmark's rows for every architecture: which texts and sizes, what is still missing, and their table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import every_architecture
from benchmarks.__main__ import page
from benchmarks.architecture_table import architectures
from benchmarks.architectures import every_third_group, joined
from benchmarks.every_architecture import missing, named
from benchmarks.gradients import without_dropout
from benchmarks.measuring import kind_of
from benchmarks.usual_sizes import BASES, lacks_weights

from lightune.models.architectures import ARCHITECTURES

MACHINE = {
    "processor": "one", "threads": 2, "bf16": True, "python": "3", "torch": "2", "transformers": "5", "peft": "0",
    "measured": "2026-01-02",
}  # fmt: skip
OURS = "lightune, precision auto"


def saved(expert: list[float], memory: float, gradient: float, **base: Any) -> dict[str, Any]:
    """Return the figures of one combination, as they are saved."""
    training = {"Trainer, padded, fp32": [8.0, 8.0], "Trainer, grouped": expert, OURS: [2.0, 2.0]}
    answering = {
        "Trainer.predict, padded, fp32": [6.0],
        "Trainer.predict, bf16": [3.0],
        "Trainer.predict, bf16_full_eval": [1.5],
        OURS: [1.0],
    }
    peaks = {"Trainer, padded, fp32": [300.0], "Trainer, grouped": [200.0], OURS: [memory]}
    notes = {f"share in products, {OURS}": 0.61, "share in products, Trainer, grouped": 0.4}
    rows = [
        {"name": "training", "unit": "samples", "seconds": training, "work": 64, "notes": notes},
        {"name": "answering", "unit": "texts", "seconds": answering, "work": 64},
        {"name": "peak memory of training", "unit": "MB", "seconds": peaks, "kind": "memory"},
        {"name": "gradients", "unit": "", "seconds": {OURS: [gradient]}, "kind": "difference"},
    ]
    about = {"size": "12 x 768", "weights": "real weights", "thinned": False, "tokens": 28, "longest": 46}
    return {"machine": MACHINE, "base": about | base, "rows": [{**row, "texts": "t"} for row in rows]}


def test_a_line_has_the_ratios_to_both_peers_and_the_faster_of_the_expert_answers() -> None:
    """Training 8/2 and, of the pairs 4/2 and 3/2, 1.75, lowest 1.5, highest 2; answering 6/1, 1.5/1; 1/0.4."""
    lines = architectures({"one": {"mpnet, short, 16": saved([4.0, 3.0], 100.0, 3e-7)}})
    (line,) = [line for line in lines if line.startswith("| mpnet")]
    assert line == (
        "| mpnet, 12 x 768 | short, 28 tokens | 16 | 4.00 | 1.75 (1.50 to 2.00) | 6.00 | 1.50"
        " | 3.00 | 2.00 | 61% / 40% | 2.5 | 3e-07 |"
    )
    header = next(line for line in lines if line.startswith("| base"))
    assert header.count("|") == line.count("|")


def test_the_words_above_count_what_reaches_the_goal_and_name_the_lowest() -> None:
    kept = {
        "mpnet, short, 16": saved([4.0, 4.0], 100.0, 3e-7),
        "gpt2, long, 8": saved([2.5, 2.5], 250.0, 2e-6, weights="random weights", thinned=True),
    }
    written = " ".join(" ".join(architectures({"one": kept})).split())
    assert "Measured so far: 1 of 19 base models (short, 16), 1 of 19 base models (long, 8)." in written
    assert "at least 1.3 times as fast as the expert's: 1 of 2 (lowest: 1.25, gpt2, long, 8)" in written
    assert "at least as fast as it: 2 (lowest: 1.50" in written
    assert "no more memory than either Trainer: 1 (lowest: 0.80, gpt2, long, 8)" in written  # 200 MB / 250 MB
    assert "The largest difference of gradients is 2e-06." in written
    assert "| gpt2, 12 x 768, random |" in written
    assert "Where layers were left out" in written


def test_the_page_has_the_section_only_where_figures_are_saved() -> None:
    rows = [{"name": "bulk", "unit": "texts", "texts": "t", "seconds": {"peer": [4.0], "lightune": [2.0]}}]
    kept = {"cpu": {"bulk": {"machine": MACHINE, "rows": rows}}}
    assert "Every architecture" not in page(kept)
    written = page(kept, {"one": {"mpnet, short, 16": saved([4.0, 3.0], 100.0, 3e-7)}})
    assert written.index("## Every architecture") < written.index("| mpnet, 12 x 768 |") < written.index("## Every row")


def test_each_kind_of_processor_has_a_table_of_its_own() -> None:
    """What a ratio depends on most: the processor and its instructions for bf16."""
    first, second = MACHINE | {"bf16_units": "AMX"}, MACHINE | {"bf16": False}
    assert [kind_of(first), kind_of(second)] == ["one, 2 threads, with bf16 (AMX)", "one, 2 threads, without bf16"]
    figures = saved([4.0, 4.0], 100.0, 3e-7)
    kept = {kind_of(one): {"gpt2, long, 8": figures | {"machine": one}} for one in (first, second)}
    lines = architectures(kept)
    assert sum(line.startswith("| gpt2, 12 x 768 | long") for line in lines) == 2
    assert [line.split(";")[0] for line in lines if line.startswith("*one")] == [
        "*one, 2 threads, with bf16 (AMX)",
        "*one, 2 threads, without bf16",
    ]
    assert architectures({"one": {}}) == []


def test_every_architecture_has_a_base_of_its_usual_size() -> None:
    assert {base.architecture for base in BASES.values()} == set(ARCHITECTURES)
    assert lacks_weights("bert-tiny", None)
    assert not lacks_weights("mpnet", None)  # random weights of its size


BASE_SIZED = ("bert", "roberta", "camembert", "electra", "deberta-v2", "mpnet", "albert", "gpt2", "opt")


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    # As published: DistilBERT 6 x 768, the base models 12 x 768, ModernBERT-base 22 x 768, SmolLM2-135M 30 x 576.
    [(name, 12, 768) for name in BASE_SIZED]
    + [("distilbert", 6, 768), ("modernbert", 22, 768), ("llama", 30, 576), ("mistral", 2, 4096)],
)  # fmt: skip
def test_a_random_base_has_the_published_layers_and_width(name: str, layers: int, width: int) -> None:
    config = BASES[name].config(30522)
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (layers, width, 30522)
    assert BASES[name].size.replace(" of 32", "").endswith((f"{layers} x {width}", f"{layers} x {width} shared"))


def test_modern_berts_windows_and_deberta_v3s_positions_are_the_published_ones() -> None:
    modern = BASES["modernbert"].config(100)
    assert modern.layer_types[:4] == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    assert modern.local_attention == 128
    deberta = BASES["deberta-v2"].config(100)
    assert (deberta.position_buckets, deberta.share_att_key, deberta.pos_att_type) == (256, True, ["p2c", "c2p"])


@pytest.mark.parametrize("architecture", ["bert", "opt", "modernbert"])
def test_dropout_is_off_wherever_a_model_has_it(architecture: str, load_lively: Any) -> None:
    """OPT passes a rate to a function, the others have modules: without dropout two training passes are equal."""
    loaded = load_lively(architecture)
    model = loaded.model.train()
    batch = loaded.tokenizer(["a film", "the plot was dull"], padding=True, return_tensors="pt")
    batch = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
    without_dropout(model)
    torch.testing.assert_close(model(**batch).logits, model(**batch).logits, rtol=0, atol=0)


def test_what_is_saved_is_not_measured_again() -> None:
    settings = [("gpt2", "short", 16), ("gpt2", "short", 8), ("gpt2", "long", 16), ("gpt2", "long", 8)]
    assert list(missing({}, ["gpt2"])) == settings
    kept = {named(("gpt2", "short", 16)): {}, "gpt2, long, 8": {}}
    assert list(missing(kept, ["gpt2"])) == settings[1:3]


def test_the_page_is_written_only_for_the_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, other, written = tmp_path / "architectures.json", tmp_path / "other.json", list[str]()
    monkeypatch.setattr(every_architecture, "ARCHITECTURES", usual)
    monkeypatch.setattr(every_architecture, "write_page", lambda: written.append("page"))
    monkeypatch.setattr(every_architecture, "measured", lambda key, given: {"key": list(key)})
    for words, path, pages in (
        ([], usual, 1),
        (["--figures", str(other)], other, 1),
        (["--figures", str(usual)], usual, 2),
    ):
        monkeypatch.setattr("sys.argv", ["every_architecture", "--only", "mpnet", *words])
        every_architecture.main()
        (kept,) = json.loads(path.read_text(encoding="utf-8")).values()
        assert list(kept) == [named(("mpnet", length, batch)) for length, batch in every_architecture.STEPS]
        assert len(written) == pages


def test_every_third_group_of_similar_length_the_longest_first() -> None:
    """Lengths 1 to 12 in groups of two, from the longest: (12, 11), (10, 9), (8, 7), (6, 5), (4, 3), (2, 1)."""
    lengths = [5, 12, 1, 8, 3, 10, 7, 2, 11, 4, 9, 6]
    assert [lengths[row] for row in every_third_group(lengths, 2)] == [10, 9, 4, 3]


def test_long_texts_are_joined_up_to_a_drawn_length() -> None:
    texts, tokens = [f"t{at}" for at in range(100)], [25] * 100
    found, lengths = joined(texts, tokens, 6)
    assert all(200 - 25 < length <= 384 for length in lengths)  # one more would be too long
    assert lengths == [25 * len(text.split()) for text in found]
    assert " ".join(found).split() == texts[: sum(len(text.split()) for text in found)]  # each text once, in order
    assert len(set(lengths)) > 1


def test_the_saved_figures_name_no_folder_of_a_machine() -> None:
    path = Path(__file__).resolve().parent.parent / "docs" / "architectures.json"
    if path.is_file():
        assert "/tmp" not in path.read_text(encoding="utf-8")
