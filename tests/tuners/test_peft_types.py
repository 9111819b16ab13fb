"""Our tuners in PEFT's closed enum: on every Python they are members like any other."""

from __future__ import annotations

import copy

import pytest
from peft.utils.peft_types import PeftType

from lightune.tuners.peft_types import peft_type


@pytest.mark.parametrize("name", ["bottleneck", "kv_prefix"])
def test_a_tuner_of_ours_is_a_member_of_peft_s_types(name: str) -> None:
    """From Python 3.12 on an attribute is looked up in the class alone, so there it has to be."""
    member = peft_type(name)
    upper = name.upper()
    assert vars(PeftType)[upper] is getattr(PeftType, upper) is PeftType[upper] is PeftType(upper) is member
    assert member in PeftType
    assert isinstance(member, PeftType)
    assert member.name == member.value == upper
    assert copy.deepcopy(member) is member
