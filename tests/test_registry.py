"""A name finds its object, in the order of registration; a wrong one is answered with the right ones."""

from __future__ import annotations

import pytest

from lightune.errors import RecipeError, did_you_mean, spelt_like
from lightune.methods import make_method
from lightune.registry import Registry


@pytest.fixture
def fruits() -> Registry[str]:
    found: Registry[str] = Registry("fruit")
    for name in ("pear", "apple", "Quince"):
        found.register(name)(name.upper())
    return found


def test_a_registered_object_is_found_and_given_back_unchanged(fruits: Registry[str]):
    fig = object()
    assert Registry("thing").register("fig")(fig) is fig
    assert fruits["apple"] == "APPLE"
    assert "apple" in fruits
    assert "fig" not in fruits


def test_names_keep_the_order_of_registration(fruits: Registry[str]):
    assert list(fruits) == ["pear", "apple", "Quince"]
    assert list(fruits.items()) == [("pear", "PEAR"), ("apple", "APPLE"), ("Quince", "QUINCE")]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("aple", 'Did you mean "apple"? Valid: pear, apple, Quince.'),
        ("quince", 'Did you mean "Quince"? Valid: pear, apple, Quince.'),
        ("xyz", "Valid: pear, apple, Quince."),
        ("", "Valid: pear, apple, Quince."),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest_and_the_valid_ones(fruits: Registry[str], wrong: str, hint: str):
    with pytest.raises(RecipeError) as caught:
        fruits[wrong]
    assert str(caught.value) == f'RECIPE-010 there is no fruit "{wrong}".\n{hint}'
    assert caught.value.exit_code == 2


def test_a_name_is_taken_once(fruits: Registry[str]):
    with pytest.raises(ValueError, match="fruit 'pear' is already registered"):
        fruits.register("pear")("another")
    assert fruits["pear"] == "PEAR"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("P-TUNING", "p_tuning"),
        ("ptuning", "p_tuning"),
        ("prefix-tunning", "Prefix_Tuning"),
        ("lo-ra", "lora"),
        ("_", None),
        ("-x-", None),
    ],
)
def test_case_dashes_and_underscores_do_not_count(wrong: str, meant: str | None):
    valid = ["p_tuning", "Prefix_Tuning", "lora"]
    assert did_you_mean(wrong, valid) == (f'Did you mean "{meant}"?' if meant else "")
    assert spelt_like(wrong, valid) == (None if wrong == "prefix-tunning" else meant)


def test_of_names_that_are_spelt_alike_the_first_is_meant():
    assert did_you_mean("TEXT", ["Text", "text"]) == 'Did you mean "Text"?'


def test_a_truth_value_is_no_number() -> None:
    with pytest.raises(RecipeError, match=r"method\.rank: a number is needed \(given: True\)"):
        make_method("lora", {"rank": True})


def test_all_linear_stands_alone() -> None:
    with pytest.raises(RecipeError, match="all-linear means all of them"):
        make_method("lora", {"target_modules": ["all-linear", "query"]})


def test_an_alias_is_suggested_too() -> None:
    with pytest.raises(RecipeError, match='Did you mean "r"'):
        make_method("lora", {"R": 4})
