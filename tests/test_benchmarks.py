"""What the benchmarks count: arms in turn, ratios of pairs, the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from benchmarks import accuracy, measuring
from benchmarks.__main__ import ARCHITECTURES, FIGURES, PAGE, PLOT, ROWS, figures, page
from benchmarks.bulk import differences, exported, padded, products, run_onnx, whole_machine
from benchmarks.measuring import Row, in_own_process, in_turn, load_texts
from benchmarks.overview import lines_of, overview, plot

MACHINE = {
    "processor": "one",
    "threads": 2,
    "bf16": False,
    "measured": "2026-01-02",
    "python": "3",
    "torch": "2",
    "transformers": "5",
    "peft": "0",
}


def test_arms_run_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def arm(name: str, seconds: float | None) -> float | None:
        order.append(name)
        return seconds and seconds * len(order)

    found = in_turn({"a": lambda: arm("a", 1.0), "b": lambda: arm("b", None)}, rounds=2)
    assert order == ["a", "b"] * 3
    assert found["a"] == [3.0, 5.0]  # its own clock: the third and the fifth call
    assert len(found["b"]) == 2
    assert all(0 <= seconds < 1 for seconds in found["b"])


def test_a_ratio_is_the_median_of_pairs_not_of_arms() -> None:
    row = Row("x", "texts", "t", {"slow": [2.0, 30.0, 8.0], "fast": [1.0, 10.0, 2.0]}, work=20)
    assert row.ratio("fast", "slow")[0] == 3.0  # of 2, 3 and 4; the medians alone would say 4
    assert row.speed("fast") == 10.0
    assert Row("x", "MB", "t", {"a": [5.0, 7.0, 6.0]}, kind="memory").speed("a") == 6.0


def test_the_page_has_a_table_for_each_row_and_says_what_the_figures_depend_on() -> None:
    row = {"name": "bulk", "unit": "texts", "texts": "reviews", "seconds": {"peer": [4.0, 4.0], "lightune": [2.0, 1.0]}}
    found = {**row, "work": 8.0, "notes": {"share": 0.5}, "kind": "speed"}
    written = page(
        {
            "cpu": {ROWS[0]: {"machine": MACHINE, "rows": [found]}},
            "cuda": {ROWS[0]: {"machine": MACHINE | {"gpu": "a card"}, "rows": [found]}},
        }
    )
    assert written.index("## Bulk\n") < written.index("## Bulk (GPU)\n")
    assert "| peer | 2 | 1 |" in written
    assert "| lightune | 5.33 | 3.00 (2.00 to 4.00) |" in written
    assert "Share: 0.5." in written
    assert "*one, 2 threads, without bf16;" in written
    assert "*a card, one, 2 threads" in written


def test_the_first_table_pools_the_pairs_of_all_methods_against_each_peer() -> None:
    """Peer over ours: 4/2, 9/3 of one method, 8/2, 10/2 of the other: 2, 3, 4, 5, quartiles 2.75 and 4.25."""
    name, ours = "training, minilm, {}, padded", "lightune, precision auto"
    rows = [
        {"peer": [4.0, 9.0], "peer, again": [1.0, 1.0], ours: [2.0, 3.0]},
        {"peer": [8.0, 10.0], "peer, again": [1.0, 1.0], ours: [2.0, 2.0]},
    ]
    found = [{"name": name.format(at), "unit": "samples", "texts": "t", "seconds": row} for at, row in enumerate(rows)]
    same = {"name": "gradients, minilm", "unit": "", "texts": "t", "seconds": {"a": [1.0]}, "kind": "difference"}
    kept = {
        "cpu": {ROWS[0]: {"machine": MACHINE, "rows": found}, ROWS[1]: {"machine": MACHINE, "rows": [same]}},
        "cuda": {ROWS[0]: {"machine": MACHINE | {"gpu": "a card"}, "rows": found[:1]}},
    }
    (line,) = lines_of(kept)
    assert (line.work, line.peer, line.model) == ("training", "peer", "minilm")
    assert line.ratio(("cpu", "`auto`")) == (3.5, 2.75, 4.25)
    written = "\n".join(overview(kept))
    assert "CPU: one, 2 threads, without bf16; GPU: a card." in written
    assert "| training | peer | minilm | **3.5** (2.8 to 4.2) | **2.5** (2.0 to 3.0) |" in written
    assert page(kept).index("| training | peer |") < page(kept).index("## Training, minilm, 0")
    drawn = ElementTree.fromstring(plot(kept))
    assert len(drawn.findall(".//{*}circle")) == 4  # two in the legend, two medians


def test_page_and_plot_are_those_of_the_saved_figures() -> None:
    kept = {device: figures(path) for device, path in FIGURES.items()}
    assert PAGE.read_text(encoding="utf-8") == page(kept, figures(ARCHITECTURES)), "run: python -m benchmarks --page"
    assert PLOT.read_text(encoding="utf-8") == plot(kept), "run: python -m benchmarks --page"


@pytest.mark.parametrize(
    ("flags", "units"),
    [
        ({"avx512f", "avx512_bf16"}, "AVX512-bf16"),
        ({"avx512_bf16", "amx_bf16"}, "AMX"),
        ({"asimd", "bf16"}, "ARM bf16"),
        ({"avx2"}, ""),
    ],
)
def test_an_expert_uses_bf16_where_the_processor_lists_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], units: str
) -> None:
    monkeypatch.setattr(measuring, "_flags", lambda: flags)
    measuring.computes_bf16.cache_clear()
    try:
        assert measuring.bf16_units() == units
        assert measuring.computes_bf16() == bool(units)
    finally:
        measuring.computes_bf16.cache_clear()


def test_texts_come_from_a_file_or_from_the_embedded_reviews(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("text,label\ngood,pos\nbad,neg\n", encoding="utf-8")
    source, texts, labels = load_texts(path, 4)
    assert (source, sorted(texts), sorted(labels)) == ("few.csv", ["bad", "bad", "good", "good"], [0, 0, 1, 1])
    source, texts, labels = load_texts(None, 3)
    assert source == "embedded reviews"
    assert len(texts) == len(labels) == 3


def test_differences_count_labels_and_the_largest_logit() -> None:
    found = differences("x", np.array([[1.0, 2.0], [0.5, 0.25]]), np.array([[1.0, 2.5], [0.25, 0.5]]))
    assert list(found.values()) == [0.5, 1, 0.25]  # the second row's label is another, by 0.5 against 0.25
    assert all(name.endswith(", x") for name in found)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_a_thread_bound_to_one_core_starts_others_on_all_of_them() -> None:
    own = os.sched_getaffinity(0)
    one = {min(own)}
    os.sched_setaffinity(0, one)
    try:
        with whole_machine():
            assert os.sched_getaffinity(0) == own
        assert os.sched_getaffinity(0) == one
    finally:
        os.sched_setaffinity(0, own)


def test_an_export_leaves_dropout_off_and_answers_as_the_model(load_lively: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    loaded = load_lively("bert")
    model, texts = loaded.model.eval(), ["a film", "the plot was dull", "this was a very very warm book"]
    wanted = padded(model, loaded, texts)
    sessions = exported(loaded, tmp_path)
    assert not any(module.training for module in model.modules())
    assert list(sessions) == ["ONNX Runtime", "ONNX Runtime, int8"]
    np.testing.assert_allclose(run_onnx(sessions["ONNX Runtime"], loaded, texts), wanted, atol=1e-5)


def test_the_products_are_those_of_a_pass(load_lively: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_lively("bert")
    texts = ["a film", "soup"]  # 4 and 3 tokens
    run = products(loaded.model.eval(), loaded, texts)
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(torch, "mm", lambda left, right: seen.append((*left.shape, right.shape[1])))
    run()
    layers, width = loaded.model.config.num_hidden_layers, loaded.model.config.hidden_size
    assert seen.count((7, width, width)) == 4 * (layers - 1) + 2  # the last layer: keys and values alone
    assert seen[-1] == (2, width, 2)


def test_a_difference_of_seeds_has_students_interval() -> None:
    """Differences of 1, 2 and 3 points: mean 2, half width 4.303 / sqrt(3)."""
    assert accuracy.difference([0.51, 0.72, 0.63], [0.50, 0.70, 0.60]) == "+2.0 (95%: -0.5 to +4.5)"
    assert accuracy.difference([0.51], [0.50]) == "+1.0"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="no cores to choose from")
@pytest.mark.parametrize("is_bound", [True, False])
def test_what_is_started_undoes_the_binding_of_openmp_and_no_other(
    monkeypatch: pytest.MonkeyPatch, is_bound: bool
) -> None:
    """A process bound by OMP_PROC_BIND starts one that uses all cores; one that its user bound to a core does not."""
    if is_bound:
        monkeypatch.setenv("OMP_PROC_BIND", "true")
    else:
        monkeypatch.delenv("OMP_PROC_BIND", raising=False)
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        found = in_own_process([sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"])
    finally:
        os.sched_setaffinity(0, usual)
    assert (int(found.stdout) > 1) == is_bound
