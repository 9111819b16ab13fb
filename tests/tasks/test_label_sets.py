"""Cells with several labels: which columns hold them, how their labels are called, and what each cell is read as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lightune.errors import DataError
from lightune.faults import Fault
from lightune.tasks import find_task
from lightune.tasks.columns import Beside, LabelColumn, Wishes
from lightune.tasks.multi_label import MultiLabel
from lightune.tasks.targets import UNSEEN

SETS = [{"food"}, {"food", "price"}, set(), {"price"}]
WRITTEN = [sorted(labels) for labels in SETS]
# Each way to write SETS, with the reason that is told.
FORMS: dict[str, tuple[list[Any], str]] = {
    "lists": (WRITTEN, "holds lists of labels"),
    "tuples": ([tuple(labels) for labels in WRITTEN], "holds lists of labels"),
    "lists and words": ([["food"], ["food", "price"], [], "price"], "holds lists of labels"),
    "JSON": (['["food"]', '["food", "price"]', "[]", '["price"]'], "holds lists of labels"),
    "Python": (["['food']", "['food', 'price']", "[]", "['price']"], "holds lists of labels"),
    "Python tuples": (["('food',)", "('food', 'price')", "()", "('price',)"], "holds lists of labels"),
    "Python sets": (["{'food'}", "{'price', 'food'}", "set()", "{'price'}"], "holds lists of labels"),
    "NumPy": (["['food']", "['food' 'price']", "[]", "['price']"], "holds lists of labels"),
    "without quotes": (["[food]", "[food, price]", "[]", "[price]"], "holds lists of labels"),
    "bars": (["food", "food|price", "", "price"], 'holds labels joined by "|"'),
    "semicolons": (["food", "food; price", "", "price"], 'holds labels joined by ";"'),
    "commas": (["food", "price,food", " ", "price"], 'holds labels joined by ","'),
    "slashes": (["food", "food / price", "", "price"], 'holds labels joined by "/"'),
    "a mark at the end": (["food;", "food;price;", "", "price;"], 'holds labels joined by ";"'),
    "blank cells as pandas reads them": (["food", "food|price", float("nan"), "price"], 'holds labels joined by "|"'),
}
# Each way to write them as 0 and 1, whose labels have no names.
VECTORS: dict[str, list[Any]] = {
    "numbers": [[1, 0], [1, 1], [0, 0], [0, 1]],
    "fractions": [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]],
    "truths": [[True, False], [True, True], [False, False], [False, True]],
    "words": [["1", "0"], ["1", "1"], ["0", "0"], ["0", "1"]],
    "JSON": ["[1, 0]", "[1, 1]", "[0, 0]", "[0, 1]"],
    "NumPy": ["[1 0]", "[1 1]", "[0 0]", "[0 1]"],
    "NumPy truths": ["[ True False]", "[ True  True]", "[False False]", "[False  True]"],
    "NumPy fractions": ["[1. 0.]", "[1. 1.]", "[0. 0.]", "[0. 1.]"],
}


def column(values: Sequence[Any], names: Sequence[str] = (), parts: tuple[str, ...] = ()) -> LabelColumn:
    values = [Beside(value) for value in values] if parts else list(values)
    return LabelColumn(", ".join(parts) or "labels", "a.csv", values, len(values), names, parts)


def found_in(given: LabelColumn, wishes: Wishes = Wishes()) -> tuple[Any, list[Any]]:  # noqa: B008
    """Return the task and, of each cell, the set of its labels or its fault."""
    task, read = (chosen := find_task(given, wishes)).task, chosen.task.reader(given.class_names)
    cells = [read(value) for value in given.values]
    return chosen, [cell if isinstance(cell, Fault) else set(task.shown(cell).split("|")) - {""} for cell in cells]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_and_read(form: str):
    values, why = FORMS[form]
    chosen, sets = found_in(column(values * 5))
    assert (chosen.task.name, chosen.task.labels) == ("multi_label", ("food", "price"))
    assert chosen.why == f"Task: multi_label; column labels {why}."
    assert sets == SETS * 5


@pytest.mark.parametrize("form", VECTORS)
def test_lists_of_0_and_1_are_one_number_for_each_label(form: str):
    chosen, sets = found_in(column(VECTORS[form] * 5))
    assert chosen.task.labels == ("LABEL_0", "LABEL_1")
    assert chosen.why == "Task: multi_label; column labels holds lists of 0 and 1, one number for each label."
    named = {"food": "LABEL_0", "price": "LABEL_1"}
    assert sets == [{named[label] for label in labels} for labels in SETS] * 5


def test_lists_of_0_and_1_have_the_files_class_names():
    names = ("food", "price", "staff")
    chosen, sets = found_in(column([[1, 0, 1], [0, 0, 0], [1, 1, 0]] * 5, names))
    assert chosen.task.labels == names
    assert sets == [{"food", "staff"}, set(), {"food", "price"}] * 5


@pytest.mark.parametrize("width", [2, 3])
def test_lists_of_class_numbers_are_those_of_the_files_class_names(width: int):
    """As the Hub's Sequence(ClassLabel): [0, 1] is the first label and the second, however many there are."""
    names = ("food", "price", "staff")[:width]
    chosen, sets = found_in(column([[0], [0, 1], [], [1], [1, 0]] * 5, names))
    assert chosen.task.labels == names
    assert sets == [{"food"}, {"food", "price"}, set(), {"price"}, {"food", "price"}] * 5


def test_lists_of_numbers_without_names_are_labels_called_so():
    chosen, sets = found_in(column([[3, 27], [10], ["3"]] * 5))
    assert chosen.task.labels == ("3", "10", "27")
    assert sets == [{"3", "27"}, {"10"}, {"3"}] * 5


@pytest.mark.parametrize("values", [["[27]", "[3, 10]", "[3]"], ["[27]", "[ 3 10]", "[3]"]])
def test_written_lists_of_numbers_are_labels_too(values: list[str]):
    chosen, sets = found_in(column(values * 5))
    assert chosen.task.labels == ("3", "10", "27")
    assert sets == [{"27"}, {"3", "10"}, {"3"}] * 5


def test_several_columns_are_one_label_each():
    cells = [(1, 0), ("1", "1"), (False, "false"), (0.0, 1.0)]
    chosen, sets = found_in(column(cells * 5, parts=("food", "price")))
    assert chosen.task.labels == ("food", "price")
    assert chosen.why == "Task: multi_label; columns food, price hold 0 or 1, one column for each of 2 labels."
    assert sets == SETS * 5


@pytest.mark.parametrize(
    ("values", "wishes"),
    [
        (["good", "bad"], Wishes()),
        (["N/A", "AC/DC", "TCP/IP"], Wishes()),
        (["(A)", "[NEG]", "{x}"], Wishes()),
        (["[1]", "[2]"], Wishes()),
        (["Books, Music", "Sports, Outdoors", "Home"], Wishes()),
        (["01/02/2026", "02/02/2026", "01/01/2026"], Wishes()),
        ([1, 2, 3], Wishes()),
        ([True, False], Wishes()),
        (["food", "food|price", "price"], Wishes(label_kind="class")),
        (["[]", "food", "price"], Wishes()),
    ],
)
def test_what_is_one_label_is_not_claimed(values: list[Any], wishes: Wishes):
    assert MultiLabel.claims(column(values * 5), wishes) == ""
    assert find_task(column(values * 5), wishes).task.name == "classification"


@pytest.mark.parametrize("values", [["3,5", "4,0", "3", "2,5"], ["1,204", "2,310", "1,310"]])
def test_numbers_with_commas_are_not_taken_for_labels(values: list[str]):
    assert MultiLabel.claims(column(values * 5), Wishes()) == ""


def test_a_cell_with_more_commas_than_a_number_has_shows_that_they_part_labels():
    chosen, sets = found_in(column(["3,5", "4,0", "3", "3,5,0"] * 5))
    assert (chosen.task.name, sets) == ("multi_label", [{"3", "5"}, {"0", "4"}, {"3"}, {"0", "3", "5"}] * 5)
    named, same = found_in(column(["3,5", "5", "3"] * 5), Wishes("multi_label"))
    assert (named.task.labels, same[0]) == (("3", "5"), {"3", "5"}), "or the task is named"


def test_a_stated_separator_is_taken_whatever_it_is():
    wishes = Wishes(label_separator=" ")
    chosen, sets = found_in(column(["food price", "food", "", "price"] * 5), wishes)
    assert chosen.why == 'Task: multi_label; column labels holds labels joined by " ".'
    assert sets == [{"food", "price"}, {"food"}, set(), {"price"}] * 5
    assert found_in(column(WRITTEN * 5), wishes)[1] == SETS * 5, "lists need none"


def test_a_few_lists_among_words_are_a_fault():
    with pytest.raises(DataError, match="holds lists") as caught:
        find_task(column(["food", "price"] * 20 + [["food"]]), Wishes())
    assert "--task multi_label" in caught.value.hint


def test_a_single_label_in_each_row_can_be_read_as_several():
    chosen, sets = found_in(column(["good", "bad"] * 5), Wishes("multi_label"))
    assert (chosen.why, chosen.task.labels) == ("", ("bad", "good"))
    assert sets == [{"good"}, {"bad"}] * 5


@pytest.mark.parametrize(
    ("values", "parts", "code", "word"),
    [
        ([[], []], (), "DATA-022", "no label in any row"),
        ([["food"]], (), "DATA-022", '1 label ("food")'),
        ([["a|b"], ["c"]], (), "DATA-037", "a|b"),
        ([[0.25, 0.5], [0.125]], (), "DATA-020", "--task regression"),
        ([0.5, 1.5], (), "DATA-020", "--task regression"),
        ([{"food": 1}], (), "DATA-021", "an object"),
        ([[["food"]], [["price"]]], (), "DATA-021", "a list inside a list"),
        ([[f"text {row} {place}" for place in range(30)] for row in range(60)], (), "DATA-023", "texts or ids"),
        ([(1, 0)], ("a|b", "c"), "DATA-037", "a|b"),
    ],
)
def test_what_cannot_be_several_labels_is_refused(values: list[Any], parts: tuple[str, ...], code: str, word: str):
    with pytest.raises(DataError) as caught:
        find_task(column(values * 2, parts=parts), Wishes("multi_label"))
    assert caught.value.code == code
    assert word in str(caught.value)


def test_lists_of_more_numbers_than_the_file_has_class_names_are_refused():
    with pytest.raises(DataError, match="lists of 3 numbers, and the file names 2 classes"):
        find_task(column([[0, 0, 1], [1, 1, 0]] * 5, ("no", "yes")), Wishes())


TASK = MultiLabel(("food", "price", "staff"))


@pytest.mark.parametrize(
    ("cell", "code", "text", "remedy"),
    [
        (None, "DATA-013", "labels are missing", "an empty list"),
        (["food", None], "DATA-013", "label is missing", "Fix the row"),
        (["food", ["price"]], "DATA-013", "a list inside a list of labels", "a word or a whole number"),
        ([{"food": 1}], "DATA-013", "an object inside a list of labels", "a word or a whole number"),
        ({"food": 1}, "DATA-013", "an object, not labels", "as a list"),
        ("{'food': 1}", "DATA-013", "an object, not labels", "as a list"),
        ("['food', 'price'", "DATA-013", "a list that is not closed", "as a list"),
        (b"food", "DATA-013", "of type bytes", "as a list"),
        (["food", "prices"], UNSEEN, 'label "prices" is not among the training labels', 'Did you mean "price"?'),
        ("food|Staff", UNSEEN, '"Staff"', 'Did you mean "staff"?'),
        ([1, 0], "DATA-013", "there are 2 numbers for 3 labels (food, price, staff)", "one 0 or 1 for each label"),
        ([1, 2, 0], "DATA-013", 'price is "2", neither 0 nor 1', "Write 1 where the label applies"),
        ("[1, 2, 0]", "DATA-013", 'price is "2", neither 0 nor 1', "Write 1 where the label applies"),
        (Beside((1, "", 0)), "DATA-013", "price is missing", "Write 0 where the label does not apply"),
        (Beside((1, 0, "yes")), "DATA-013", 'staff is "yes", neither 0 nor 1', "Write 1 where the label applies"),
        (Beside((1, 0, 0.5)), "DATA-013", 'staff is "0.5"', "Write 1 where the label applies"),
        (Beside((1, 0, [1])), "DATA-013", "staff is", "Write 1 where the label applies"),
    ],
)
def test_a_cell_that_holds_no_labels_is_a_fault_with_a_remedy(cell: Any, code: str, text: str, remedy: str):
    found = TASK.reader(())(cell)
    assert isinstance(found, Fault)
    assert found.code == code
    assert text in found.text
    assert remedy in found.hint


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (["staff", "food", "food"], {"food", "staff"}),
        ("staff | food", {"food", "staff"}),
        ("[staff]", {"staff"}),
        ("['staff' 'food']", {"food", "staff"}),
        ('["it\'s"]', None),
        ([0, 1, 1], {"price", "staff"}),
        (Beside(("TRUE", "0", 1)), {"food", "staff"}),
        ("", set()),
        ("[]", set()),
        ([], set()),
    ],
)
def test_a_cell_of_another_file_may_be_written_otherwise(cell: Any, labels: set[str] | None):
    found = TASK.reader(())(cell)
    if labels is None:
        assert "it's" in found.text
        return
    assert set(TASK.shown(found).split("|")) - {""} == labels


def test_labels_joined_as_in_a_file_of_answers_are_read_whatever_joins_them_in_training():
    task = MultiLabel(("food", "price", "staff"), separator=";")
    for cell in ("food;staff", "food|staff", "food; staff;", "['food', 'staff']"):
        assert task.reader(())(cell).tolist() == [1, 0, 1]


def test_labels_called_0_and_1_are_names():
    task = MultiLabel(("0", "1", "2"))
    assert task.reader(())([0, 1, 1]).tolist() == [1, 1, 0]
    assert task.reader(())(Beside((0, 1, 1))).tolist() == [0, 1, 1]


def test_a_stated_separator_parts_the_cells_of_other_files_where_training_had_lists():
    column = LabelColumn("labels", "a.jsonl", [["food"], ["food", "price"], []] * 4, 12)
    read = MultiLabel.of(column, Wishes("multi_label", label_separator=";")).reader(())
    assert read("price; food").tolist() == read("food|price").tolist() == [1, 1]
    own = LabelColumn("labels", "a.jsonl", [["food;price"], ["food"]] * 4, 8)
    assert MultiLabel.of(own, Wishes("multi_label", label_separator=";")).separator == "|", "it stands in a label"
