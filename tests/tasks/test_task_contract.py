"""The contract that every task keeps, over the registry; no model is needed.

A task of the package has its example in tests/task_cases.py. It is called so, and not test_contract.py, because pytest
takes two files of one name for one module.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from lightune.errors import RecipeError
from lightune.evaluation.baselines import PROBE, TFIDF
from lightune.evaluation.significance import compare
from lightune.faults import Fault
from lightune.sections import Baseline, Evaluation, TaskRecord
from lightune.tasks import TASKS, Task, find_task, label_columns, task_from_json, task_of_checkpoint
from lightune.tasks.base import CHUNK
from lightune.tasks.columns import Wishes
from lightune.tasks.coverage import has_confidence, require_bound
from task_cases import EXAMPLES, NAMES, OWN, WIDTH, TaskCase

COST = {"runtime": 1.0, "samples_per_second": 1.0, "steps_per_second": 1.0}
STRENGTHS = (0.01, 1.0, 100.0)


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> TaskCase:
    """One task."""
    return TaskCase(request.param)


def parts_of(case: TaskCase) -> list[Any]:
    """Rows that are a part of the texts: halves, every third, any ten, one."""
    draw = np.random.default_rng(2)
    half = case.texts // 2
    rows = [np.arange(half), np.arange(half, case.texts), np.arange(0, case.texts, 3), np.array([1])]
    return [*rows, *(draw.choice(case.texts, 10, replace=False) for _ in range(5))]


def test_every_task_of_the_package_has_an_example():
    lacking = OWN - EXAMPLES.keys()
    assert not lacking, f"give EXAMPLES in tests/task_cases.py a column for: {', '.join(sorted(lacking))}"
    assert EXAMPLES.keys() <= set(TASKS), "an example without a task"


# What it is


def test_it_is_registered_under_its_own_name(case: TaskCase):
    assert TASKS[case.name].name == case.task.name == case.name
    assert type(case.task) is TASKS[case.name]


def test_its_metrics_have_names_of_their_own(case: TaskCase):
    names = [metric.name for metric in case.task.metrics]
    assert names
    assert len(set(names)) == len(names)
    assert all(metric.title and metric.name.isidentifier() for metric in case.task.metrics)
    assert case.task.metric(None) == case.task.metrics[0]
    assert [case.task.metric(name) for name in names] == list(case.task.metrics)


def test_its_metrics_and_details_stand_beside_the_fields_of_a_section(case: TaskCase):
    """Each is written under a key of its own, so that none may be called as a field is, or as another."""
    details = case.task.details(case.logits(), case.targets)
    names = [*(metric.name for metric in case.task.metrics), *details]
    assert len(set(names)) == len(names)
    assert not set(names) & {*Evaluation.model_fields, *Baseline.model_fields}
    found = Evaluation(
        examples=case.texts, metrics=case.task.measure(case.logits(), case.targets), details=details, **COST
    )
    written = json.loads(json.dumps(found.model_dump(mode="json"), allow_nan=False))
    assert Evaluation.model_validate(written) == found


def test_it_names_classes_that_transformers_and_peft_have(case: TaskCase):
    import peft
    import transformers
    from transformers.models.auto import modeling_auto

    names = getattr(modeling_auto, f"MODEL_FOR_{case.task.auto_model}_MAPPING_NAMES")
    assert names["distilbert"].endswith(case.task.head_class)
    assert hasattr(transformers, f"MODEL_FOR_{case.task.auto_model}_MAPPING")
    assert hasattr(transformers, case.task.record().model_class)
    assert case.task.peft_type in set(peft.TaskType)


def test_its_configuration_names_every_output(case: TaskCase):
    import transformers

    config = case.task.config()
    assert config["num_labels"] == case.task.outputs > 0
    assert list(config["id2label"]) == list(range(case.task.outputs))
    assert config["label2id"] == {name: row for row, name in config["id2label"].items()}
    assert transformers.DistilBertConfig(**config).num_labels == case.task.outputs


def test_a_saved_model_says_which_task_it_does(case: TaskCase):
    import transformers

    config = transformers.DistilBertConfig(**case.task.config(), lightune_task=case.task.as_json())
    assert task_of_checkpoint(json.loads(config.to_json_string(use_diff=False)), "here") == case.task


def test_a_model_from_elsewhere_with_its_configuration_is_of_the_task_or_of_none(case: TaskCase):
    import transformers

    written = json.loads(transformers.DistilBertConfig(**case.task.config()).to_json_string(use_diff=False))
    found = TASKS[case.name].of_checkpoint(written)
    if case.name in OWN:
        assert task_of_checkpoint(written, "here") == found is not None
    assert found is None or found.config() == case.task.config()


def test_json_gives_it_back(case: TaskCase):
    written = json.loads(json.dumps(case.task.as_json()))
    assert written["name"] == case.name
    assert task_from_json(written, "here") == case.task


def test_its_record_is_valid_and_keeps_what_it_is(case: TaskCase):
    found = TaskRecord.model_validate_json(case.task.record().model_dump_json())
    assert found == case.task.record()
    assert (found.name, found.labels, found.metrics) == (case.name, list(case.task.labels), list(case.task.metrics))
    assert found.headline == case.task.metrics[0]
    assert (found.hub_tag, found.target_column) == (case.task.hub_tag, case.task.target_column)


# What stands in a file


def test_its_column_is_found(case: TaskCase):
    column = case.example.column
    assert find_task(column, Wishes(case.name)).task == case.task
    if case.example.is_found:
        assert find_task(column, Wishes()).task == case.task
        assert find_task(column, Wishes()).why.startswith(f"Task: {case.name}; column label hold")
    assert case.task.in_words_of(column) == case.task


def test_the_usual_names_of_its_column_are_in_lower_case(case: TaskCase):
    assert label_columns(case.name) == case.task.label_columns
    assert all(name == name.casefold().strip() for name in case.task.label_columns)
    assert set(case.task.label_columns) <= set(label_columns())


def test_the_reader_gives_targets_that_their_room_holds(case: TaskCase):
    read = case.task.reader(())
    for row, cell in enumerate(case.example.column.values):
        assert np.array_equal(case.targets[row], read(cell)), cell
    assert len(case.task.targets(0)) == 0
    for written, as_if in case.example.reads_alike:
        assert np.array_equal(read(written), read(as_if))


def test_the_reader_says_what_is_wrong_with_other_cells(case: TaskCase):
    read = case.task.reader(())
    for cell, code in case.example.faults.items():
        fault = read(cell)
        assert isinstance(fault, Fault), cell
        assert fault.code == code, cell
        assert fault.text


def test_what_is_shown_of_a_target_is_read_as_that_target(case: TaskCase):
    read = case.task.reader(())
    for target in case.targets[: len(case.example.cells)]:
        shown = case.task.shown(target)
        assert isinstance(shown, str)
        assert np.array_equal(read(shown), target), shown


def test_every_text_has_a_stratum(case: TaskCase):
    strata = case.task.strata(case.targets)
    assert strata.shape == (case.texts,)
    assert strata.dtype == np.int64


def test_two_targets_of_a_text_contradict_each_other_or_not(case: TaskCase):
    rows = np.repeat(np.arange(case.texts), case.texts), np.tile(np.arange(case.texts), case.texts)
    apart = case.task.contradict(case.targets[rows[0]], case.targets[rows[1]]).reshape(case.texts, case.texts)
    equal = np.array([[np.array_equal(one, other) for other in case.targets] for one in case.targets])
    assert apart.dtype == bool
    assert not (apart & equal).any(), "equal targets agree"
    assert apart.any(), "else no two texts would ever contradict each other"
    assert (apart == apart.T).all()
    assert case.task.contradict(case.targets[:0], case.targets[:0]).shape == (0,)


def test_the_tally_counts_every_label(case: TaskCase):
    found = case.task.tally(case.targets)
    assert list(found) == (list(case.task.labels) if found else [])
    assert all(isinstance(count, int) and count >= 0 for count in found.values())
    assert json.dumps(found)


def test_the_example_has_no_faults(case: TaskCase):
    faults, warnings = case.task.check({"train": case.split}, Wishes(case.name))
    assert faults == []
    assert all(isinstance(warning, Fault) for warning in warnings)
    assert case.task.drawn(case.targets, "made_up.csv") == []


# Training


@pytest.mark.parametrize("class_weights", ["none", "auto"])
def test_weights_are_a_positive_number_for_each_text_or_refused(case: TaskCase, class_weights: str):
    """Class weights that are asked for are there, or the task says that it has none; they are never left out."""
    wishes = Wishes(case.name, class_weights)
    if class_weights == "auto" and type(case.task).weights is Task.weights:
        with pytest.raises(RecipeError, match="has no classes to weight"):
            case.task.weights(case.targets, wishes)
        return
    found = case.task.weights(case.targets, wishes)
    assert class_weights == "none" or found is not None
    losses = case.task.losses(torch.tensor(case.logits()), case.collated())
    assert found is None or (found.shape == losses.shape and (found > 0).all() and np.isfinite(found).all())


def test_a_batch_has_an_entry_for_each_text(case: TaskCase):
    found = case.collated()
    assert isinstance(found, torch.Tensor)
    assert len(found) == case.texts
    if case.task.reads == "tokens":
        assert found.shape[1] == WIDTH
    part = [3, 1, 2]
    assert torch.equal(case.collated(part), found[part])


def test_the_loss_of_each_text_is_finite_and_can_be_differentiated(case: TaskCase):
    logits = torch.tensor(case.logits(), requires_grad=True)
    losses = case.task.losses(logits, case.collated())
    assert losses.shape in {(case.texts,), (case.texts, case.task.outputs)}
    assert torch.isfinite(losses).all()
    measured = case.task.measure(case.logits(), case.targets)
    if "loss" in measured:
        assert (losses >= 0).all()
        assert measured["loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
    losses.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad.reshape(case.texts, -1).abs().sum(dim=1) > 0).all(), "every text has a say"


def test_the_loss_of_a_text_depends_on_no_other(case: TaskCase):
    losses = case.task.losses(torch.tensor(case.logits()), case.collated())
    for row in (0, case.texts - 1):
        alone = case.task.losses(torch.tensor(case.logits()[[row]]), case.collated([row]))
        assert alone[0].tolist() == pytest.approx(losses[row].tolist(), rel=1e-5)


def test_the_mean_loss_is_the_mean_of_the_losses(case: TaskCase):
    logits, targets = torch.tensor(case.logits()), case.collated()
    mean = case.task.mean_loss(logits, targets)
    assert mean.shape == ()
    assert mean.item() == pytest.approx(case.task.losses(logits, targets).mean().item(), rel=1e-6)


def test_a_step_down_the_gradient_lowers_the_loss(case: TaskCase):
    logits, targets = torch.tensor(case.logits(), requires_grad=True), case.collated()
    before = case.task.mean_loss(logits, targets)
    before.backward()
    after = case.task.mean_loss(logits.detach() - 0.1 * logits.grad, targets)
    assert after.item() < before.item()


# Answers and what they are worth


def test_every_text_gets_an_answer_with_the_cells_that_the_task_names(case: TaskCase):
    answers = case.task.decode(case.logits())
    assert len(answers) == case.texts
    columns = case.task.answer_columns
    assert len(set(columns)) == len(columns) > 0
    assert case.task.target_column not in columns
    for answer in answers:
        cells = answer.cells()
        assert len(cells) == len(columns)
        assert all(isinstance(cell, str) for cell in cells)
        assert cells[0] != "" or not isinstance(case.task.reader(())(""), Fault), "an empty cell is a target too"
        assert isinstance(answer.line(), str)
        assert "\n" not in answer.line()
        assert json.dumps(asdict(answer), allow_nan=False)
        assert json.loads(json.dumps(case.task.answer_object(cells), allow_nan=False))
    assert list(case.task.decode(case.logits()[:0])) == []


def test_the_cells_for_a_file_are_those_of_its_answers(case: TaskCase):
    """Also of more texts than are answered at a time."""
    few = case.logits()
    logits = np.concatenate([few] * (CHUNK // len(few) + 2))
    wanted = [answer.cells() for answer in case.task.decode(logits)]
    assert list(case.task.cells(logits)) == wanted
    assert len(wanted) > CHUNK
    assert list(case.task.cells(logits[:0])) == []


def test_an_answer_depends_on_no_other_text(case: TaskCase):
    answers = case.task.decode(case.logits())
    for row in (0, case.texts - 1):
        assert [answer.cells() for answer in case.task.decode(case.logits()[[row]])] == [answers[row].cells()]


def test_equal_logits_agree(case: TaskCase):
    logits = case.logits()
    assert case.task.agree(logits, logits) is True
    assert isinstance(case.task.agree(logits, case.logits(seed=1)), bool)


def test_every_metric_is_measured_and_no_other(case: TaskCase):
    names = {metric.name for metric in case.task.metrics}
    for rows in [slice(None), *parts_of(case)]:
        for measure in (case.task.measure, case.task.measure_part):
            found = measure(case.logits()[rows], case.targets[rows])
            assert found.keys() == names
            assert all(value is None or (isinstance(value, float) and np.isfinite(value)) for value in found.values())


def test_the_headline_follows_from_the_sums_of_the_counts(case: TaskCase):
    """So that the bootstrap, and a file that streams by, come to the figure that the record has."""
    headline = case.task.metrics[0].name
    for logits in (case.logits(), case.learnt):
        for rows in [slice(None), *parts_of(case)]:
            counts = case.task.counts(logits[rows], case.targets[rows])
            assert counts.ndim == 2
            assert len(counts) == len(case.targets[rows])
            wanted = case.task.measure(logits[rows], case.targets[rows])[headline]
            if wanted is not None:
                found = case.task.headline(counts.sum(axis=0), len(counts))
                assert float(found) == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_the_headline_of_many_sums_at_once_is_that_of_each(case: TaskCase):
    counts = case.task.counts(case.logits(), case.targets)
    drawn = np.random.default_rng(3).integers(0, case.texts, (7, case.texts))
    sums = counts[drawn].sum(axis=1)
    found = case.task.headline(sums, case.texts)
    assert found.shape == (7,)
    assert found.tolist() == pytest.approx([float(case.task.headline(one, case.texts)) for one in sums])


def test_the_cells_of_an_answer_count_as_its_logits_do(case: TaskCase):
    """A file of answers is judged by its cells, in which numbers are rounded."""
    for logits in (case.logits(), case.learnt):
        answers = case.task.decode(logits)
        found = [case.task.count(answer.cells(), target) for answer, target in zip(answers, case.targets, strict=True)]
        wanted = case.task.counts(logits, case.targets)
        np.testing.assert_allclose(np.array(found, float), wanted, rtol=1e-3, atol=1e-4)


def test_what_its_own_loss_leads_to_is_the_best_that_there_is(case: TaskCase):
    metric = case.task.metrics[0]
    found = case.task.measure(case.learnt, case.targets)[metric.name]
    assert case.is_no_worse(case.learnt, case.logits())
    if case.example.best is not None:
        assert found == pytest.approx(case.example.best, abs=0.02)


def test_better_answers_are_better_in_a_comparison(case: TaskCase):
    counts = [case.task.counts(logits, case.targets) for logits in (case.learnt, case.logits())]
    assert compare(case.task, *counts).verdict == "better"
    assert compare(case.task, *reversed(counts)).verdict == "worse"
    assert compare(case.task, counts[0], counts[0]).verdict == "no clear difference"


# Confidence


def test_a_calibrated_task_gives_the_same_labels_and_survives_json(case: TaskCase):
    """Answers are the same for fixed thresholds; what is fitted on probabilities is fitted after the temperature."""
    logits = np.concatenate([case.logits(seed) for seed in range(9)])
    targets = np.concatenate([case.targets] * 9)
    task, notes = case.task.calibrated(lambda: (logits, targets))
    assert all(isinstance(note, str) for note in notes)
    assert task_from_json(json.loads(json.dumps(task.as_json())), "here") == task
    plain, calibrated = ([cells[0] for cells in each.cells(case.logits())] for each in (case.task, task))
    assert calibrated == plain
    assert task.measure(logits, targets) == case.task.measure(logits, targets)
    collated = case.task.collate(targets, WIDTH)
    assert torch.equal(task.losses(torch.tensor(logits), collated), case.task.losses(torch.tensor(logits), collated))


def test_confidences_are_those_of_the_answers(case: TaskCase):
    logits = case.logits()
    found = case.task.confidences(logits)
    answers = [getattr(answer, "confidence", None) for answer in case.task.decode(logits)]
    if found is None:
        assert answers == [None] * case.texts
        assert not has_confidence(case.task)
        with pytest.raises(RecipeError, match=f"the task {case.name} have no confidence"):
            require_bound(case.task, 0.5)
    else:
        assert found.tolist() == answers
        assert ((found >= 0) & (found <= 1)).all()
        require_bound(case.task, 0.5)


def test_right_answers_are_those_written_as_the_target(case: TaskCase):
    for logits in (case.logits(), case.learnt):
        found = case.task.are_right(logits, case.targets)
        shown = [case.task.shown(target) for target in case.targets]
        assert found.tolist() == [cells[0] == true for cells, true in zip(case.task.cells(logits), shown, strict=True)]


def test_its_probabilities_are_those_of_its_answers(case: TaskCase):
    logits = case.logits()
    answers = case.task.decode(logits)
    if not hasattr(answers[0], "probabilities"):
        with pytest.raises(RecipeError, match=f"the task {case.name} has no probabilities"):
            case.task.probabilities(logits)
        return
    found = case.task.probabilities(logits)
    assert found.shape == (case.texts, len(case.task.labels))
    assert found.tolist() == [[answer.probabilities[label] for label in case.task.labels] for answer in answers]
    assert case.task.probabilities(logits[:0]).shape == (0, len(case.task.labels))


# Baselines


def section_of(case: TaskCase, logits: Any, title: str) -> Baseline:
    return Baseline(title=title, metrics=case.task.measure(logits, case.targets))


def test_the_constant_answer_is_the_best_of_its_kind(case: TaskCase):
    found = case.task.constant(case.targets)
    if found is None:
        pytest.skip("it has none")
    assert found.scores.shape == (case.task.outputs,)
    assert found.name not in {PROBE[0], TFIDF[0], "before", ""}
    assert found.title
    assert set(found.without) < {metric.name for metric in case.task.metrics}
    assert case.task.metrics[0].name not in found.without
    assert json.dumps(dict(found.details))
    best = np.tile(found.scores, (case.texts, 1))
    for other in case.logits(texts=60):
        assert case.is_no_worse(best, np.tile(other, (case.texts, 1)))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_linear_model_tells_apart_what_can_be_told_apart(case: TaskCase, is_sparse: bool):
    features = csr_matrix(case.features) if is_sparse else case.features
    found = case.task.linear(features, case.targets, STRENGTHS, scaled=not is_sparse)
    if found is None:
        pytest.skip("it has none")
    scores = found.scores(features)
    assert scores.shape == case.shape()
    assert np.isfinite(scores).all()
    assert found.scores(features[:1]).shape == case.shape(1)
    assert json.dumps(dict(found.details))
    constant = case.task.constant(case.targets)
    others = [case.logits()] + ([] if constant is None else [np.tile(constant.scores, (case.texts, 1))])
    assert all(case.is_no_worse(scores, other) for other in others)
    if case.example.best is not None:
        found_best = case.task.measure(scores, case.targets)[case.task.metrics[0].name]
        assert found_best == pytest.approx(case.example.best, abs=0.05)


@pytest.mark.parametrize("has_bias", [False, True])
def test_an_output_layer_can_start_from_what_it_gives(case: TaskCase, has_bias: bool):
    inputs = case.features.astype(np.float32)
    found = case.task.head_start(inputs, case.targets, has_bias)
    if found is None:
        pytest.skip("it has none")
    assert found.weight.shape == (case.task.outputs, inputs.shape[1])
    assert found.bias.shape == (case.task.outputs,)
    assert np.isfinite(found.weight).all()
    assert np.isfinite(found.bias).all()
    assert has_bias or not found.bias.any()
    assert found.note
    logits = inputs @ found.weight.T + found.bias
    assert case.is_no_worse(logits, case.logits())
    if case.example.best is not None:
        reached = case.task.measure(logits, case.targets)[case.task.metrics[0].name]
        assert reached == pytest.approx(case.example.best, abs=0.1), "a start may be a little shrunk"


def test_what_the_headline_does_not_say_is_told_in_sentences(case: TaskCase):
    seen = {name: case.logits(seed) for seed, name in enumerate((TFIDF[0], PROBE[0]))}
    sections = {name: section_of(case, logits, name) for name, logits in seen.items()}
    for logits in (case.logits(seed=5), case.learnt):
        measured = case.task.measure(logits, case.targets)
        after = Evaluation(
            examples=case.texts, metrics=measured, details=case.task.details(logits, case.targets), **COST
        )
        for best in (TFIDF[0], None):
            said = case.task.cautions(after, sections if best else {}, best)
            assert all(isinstance(sentence, str) and sentence.endswith(".") for sentence in said)
