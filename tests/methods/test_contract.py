"""The contract that every method keeps, over the registry and the tiny architectures."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hand_counts import BY_HAND
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import ArtifactError, RecipeError
from lightune.execution.own_attention import OWN
from lightune.methods import METHODS, describe, make_method
from lightune.methods.support import support
from lightune.models.load import fingerprint
from lightune.models.shared_base import copy_on_same_tensors
from method_cases import SEED, SPECS, TEXTS, Case, Load, Spec, frozen, logits_of, trainable
from tiny import ARCHITECTURES

# Rounding of single precision where the start is another sum of the same numbers (PiSSA, DoRA).
START_TOLERANCE = 1e-5

# Attaching


def test_attaching_names_what_it_changed(case: Case) -> None:
    modules = [name for name, _ in case.model.named_modules()]
    assert case.changed
    assert all(any(name == known or known.endswith(f".{name}") for known in modules) for name in case.changed)
    assert case.start, "nothing is trainable"


def test_the_model_answers_as_before_until_it_is_trained_or_says_that_it_does_not(case: Case) -> None:
    largest = float((case.start_logits - case.base_logits).abs().max())
    assert (largest <= START_TOLERANCE) == case.method.starts_unchanged


def test_attaching_to_what_is_adapted_already_is_an_error(case: Case) -> None:
    inner = case.model.get_base_model() if hasattr(case.model, "get_base_model") else case.model
    for model in (case.model, inner):
        for method in (case.method, make_method("head"), make_method("lora")):
            with pytest.raises(RecipeError, match="already has an adapter"):
                method.attach(model, case.loaded.anatomy, SEED)


def test_attaching_to_a_copy_leaves_the_model_as_it_was(case: Case, load_lively: Load) -> None:
    """What a run does first, to find out whether the method fits."""
    loaded = load_lively(case.spec.architecture)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    case.method.attach(copy_on_same_tensors(loaded.model), loaded.anatomy, SEED)
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(logits_of(loaded.model, case.batch), case.base_logits)


def test_attaching_to_nothing_is_an_error(case: Case, load_lively: Load) -> None:
    if "roles" not in case.method.options():
        return
    loaded, method = load_lively(case.spec.architecture), make_method(case.spec.name, {"roles": []})
    with pytest.raises(RecipeError, match="nothing would be adapted"):
        method.attach(loaded.model, loaded.anatomy, SEED)
    case.method.attach(loaded.model, loaded.anatomy, SEED)  # the failure has left no mark


def test_a_padded_batch_answers_as_its_texts_alone(case: Case) -> None:
    alone = [logits_of(case.model, dict(case.loaded.tokenizer([text], return_tensors="pt"))) for text in TEXTS]
    torch.testing.assert_close(logits_of(case.model, case.batch), torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_the_same_seed_attaches_the_same_parameters_and_leaves_the_global_generator_alone(
    case: Case, load_lively: Load
) -> None:
    before = torch.get_rng_state()
    again = trainable(case.afresh(load_lively))
    assert torch.equal(before, torch.get_rng_state())
    assert again.keys() == case.start.keys()
    assert all(torch.equal(again[name], case.start[name]) for name in again)


def test_as_many_parameters_are_trained_as_the_formula_says(case: Case) -> None:
    count = sum(value.numel() for value in trainable(case.model).values())
    assert count == case.formula
    assert count == BY_HAND.get(str(case.spec), count)


# Training


def test_frozen_weights_stay_bit_identical(case: Case) -> None:
    after = frozen(case.model)
    assert after.keys() == case.frozen_before.keys()
    assert all(torch.equal(after[name], case.frozen_before[name]) for name in after)


def test_every_trainable_tensor_gets_a_gradient_within_three_steps_and_moves(case: Case) -> None:
    assert [name for name, largest in case.largest_gradient.items() if largest == 0.0] == []
    after = trainable(case.model)
    assert [name for name in case.start if torch.equal(case.start[name], after[name])] == []


def test_training_changes_the_answers(case: Case) -> None:
    assert float((logits_of(case.model, case.batch) - case.base_logits).abs().max()) > 1e-3


# Saving


def test_a_checkpoint_put_into_a_fresh_model_gives_the_same_logits(case: Case, load_lively: Load) -> None:
    wanted, fresh = logits_of(case.model, case.batch), case.afresh(load_lively)
    assert not torch.equal(logits_of(fresh, case.batch), wanted)
    case.method.load_state(fresh, {name: value.clone() for name, value in case.method.state(case.model).items()})
    assert torch.equal(logits_of(fresh, case.batch), wanted)


def test_a_saved_adapter_put_into_a_fresh_model_of_another_seed_gives_the_same_logits(
    case: Case, load_lively: Load
) -> None:
    wanted, fresh = logits_of(case.model, case.batch), case.afresh(load_lively, SEED + 1, saved=True)
    tensors = {name: value.clone() for name, value in case.method.state_to_save(case.model).items()}
    case.method.saved_as().load_state(fresh, tensors)
    torch.testing.assert_close(logits_of(fresh, case.batch), wanted, rtol=1e-5, atol=1e-5)


def test_a_state_that_lacks_a_tensor_is_refused(case: Case, load_lively: Load) -> None:
    """One of each kind: lora_A, lora_B, the head's weight, ..."""
    fresh = case.afresh(load_lively)
    whole = case.method.state(fresh)
    for name in {".".join(name.split(".")[-2:]): name for name in whole}.values():
        with pytest.raises(ArtifactError, match="missing tensor") as caught:
            case.method.load_state(fresh, {key: value for key, value in whole.items() if key != name})
        assert name in caught.value.message


def test_a_state_with_a_tensor_too_many_is_refused(case: Case, load_lively: Load) -> None:
    fresh = case.afresh(load_lively)
    with pytest.raises(ArtifactError, match="unexpected tensor stowaway"):
        case.method.load_state(fresh, {**case.method.state(fresh), "stowaway": torch.zeros(1)})


def test_a_state_with_a_misshapen_tensor_is_refused(case: Case, load_lively: Load) -> None:
    """Also where torch would broadcast it: one row instead of all."""
    fresh = case.afresh(load_lively)
    state = case.method.state(fresh)
    name = next(name for name, value in state.items() if value.dim() == 2 and len(value) > 1)
    with pytest.raises(ArtifactError, match="not \\(") as caught:
        case.method.load_state(fresh, {**state, name: state[name][:1].clone()})
    assert name in caught.value.message


# Merging and taking off


def test_a_merged_model_is_a_stock_model_with_the_same_logits(case: Case, load_lively: Load, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    wanted = logits_of(case.model, case.batch)
    merged = case.method.merged(copy.deepcopy(case.model))
    if merged is None:
        assert not case.method.mergeable
        return
    assert case.method.mergeable
    assert type(merged) is type(load_lively(case.spec.architecture).model)
    torch.testing.assert_close(logits_of(merged, case.batch), wanted, rtol=1e-5, atol=1e-5)
    merged.save_pretrained(tmp_path)
    stock, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert (list(report["missing_keys"]), list(report["unexpected_keys"])) == ([], [])
    torch.testing.assert_close(logits_of(stock, case.batch), wanted, rtol=1e-5, atol=1e-5)


def test_a_reversible_adapter_switched_off_leaves_the_untouched_model(case: Case) -> None:
    if not case.method.reversible:
        return
    trained = logits_of(case.model, case.batch)
    with case.model.disable_adapter():
        found = logits_of(case.model, case.batch)
    # With a prefix attached, these models' attention is lightune's, which adds up in another order.
    near = torch.allclose(found, case.base_logits, rtol=1e-5, atol=1e-6) if case.spec.architecture in OWN else False
    assert near or torch.equal(found, case.base_logits)
    assert torch.equal(logits_of(case.model, case.batch), trained)


# A fresh process

RELOAD = """
import json, sys
import torch
from pathlib import Path
from lightune.artifact import load_adapter
texts, found = json.loads(sys.argv[2]), {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    adapted = load_adapter(folder)
    with torch.no_grad():
        batch = adapted.loaded.tokenizer(texts, padding=True, return_tensors="pt")
        found[folder.name] = adapted.model(**batch).logits.tolist()
print(json.dumps(found))
"""


def save_stirred(spec: Spec, load_tiny: Load, folder: Path) -> torch.Tensor:
    """Attach a method, move every trained tensor a little, save, and return the logits."""
    loaded, method = load_tiny(spec.architecture), make_method(spec.name, spec.options)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for value in trainable(model).values():
            value.add_(torch.randn(value.shape, generator=draw) * 0.1)
    config = ArtifactConfig(2, str(loaded.source.folder), None, fingerprint(loaded.source), spec.name, method.options(),
                            loaded.task, 64, ["text"], "label", 1)  # fmt: skip
    logits = logits_of(model, dict(loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")))
    save_adapter(model, method, config, folder)
    return logits


def reload_all(specs: list[Spec], load_tiny: Load, place: Path) -> None:
    """Save them, and let one fresh process compute their logits."""
    wanted = {
        f"{number:03d}": save_stirred(spec, load_tiny, place / f"{number:03d}") for number, spec in enumerate(specs)
    }
    command = [sys.executable, "-c", RELOAD, str(place), json.dumps(TEXTS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    again = json.loads(found.stdout.splitlines()[-1])
    assert again.keys() == wanted.keys() != set()
    for name, logits in wanted.items():
        torch.testing.assert_close(torch.tensor(again[name]), logits, rtol=1e-5, atol=1e-5, msg=str(specs[int(name)]))


def works(spec: Spec) -> bool:
    return not support().get(spec.name, {}).get(spec.architecture)


def test_a_fresh_process_reloads_every_method(load_tiny: Load, tmp_path: Path) -> None:
    specs = [spec for spec in SPECS if spec.architecture in ("distilbert", "llama") and works(spec)]
    reload_all(specs, load_tiny, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", list(METHODS))
def test_a_fresh_process_reloads_a_method_on_every_architecture(load_tiny: Load, tmp_path: Path, name: str) -> None:
    reload_all([spec for spec in SPECS if spec.name == name and works(spec)], load_tiny, tmp_path)


# The table


def test_the_table_names_every_method_and_every_architecture() -> None:
    assert list(support()) == list(METHODS)
    assert all(sorted(row) == sorted(ARCHITECTURES) for row in support().values())


# Options


@pytest.mark.parametrize("name", list(METHODS))
def test_options_survive_json(name: str) -> None:
    method = make_method(name)
    assert make_method(name, json.loads(json.dumps(method.options()))) == method


@pytest.mark.parametrize("name", list(METHODS))
def test_an_option_that_does_not_exist_is_answered_with_those_that_do(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method(name, {"no_such_option": 1})
    assert f"method.no_such_option: {name} has no such option" in caught.value.message
    valid = make_method(name).options()
    assert all(f"{option} (default" in caught.value.message for option in valid)
    assert valid or "It has no options." in caught.value.message


@pytest.mark.parametrize("row", describe(), ids=lambda row: row["name"])
def test_a_method_says_what_it_is_and_where_it_comes_from(row: dict[str, Any]) -> None:
    assert row["summary"].strip()
    assert "arXiv:" in row["paper"]
    assert 0 < row["default_learning_rate"] < 1
    json.dumps(row)


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("lroa")
    assert 'Did you mean "lora"?' in caught.value.hint
    assert all(name in caught.value.hint for name in METHODS)
