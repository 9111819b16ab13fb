"""What a finished run advises."""

from __future__ import annotations

from lightune.outcome import advice

TRAINING = {"steps": 20, "epochs": [{}] * 5, "learning_rate": 5e-4}


def test_a_run_that_did_not_lose_gets_no_advice() -> None:
    assert advice(None, TRAINING, 5e-4) == []


def test_a_run_that_lost_is_told_to_what_its_steps_and_a_way_on() -> None:
    (said,) = advice("word counts (TF-IDF)", TRAINING, 5e-4)
    assert said.startswith("Worse than word counts (TF-IDF), a baseline that costs next to nothing")
    assert "after 20 steps" in said
    assert "--epochs 15" in said
    assert "learning rate" not in said


def test_a_rate_below_the_usual_one_is_named() -> None:
    (said,) = advice("the linear probe", {**TRAINING, "learning_rate": 5e-5}, 5e-4)
    assert "5e-05, is below the method's usual 0.0005" in said
