"""Making PEFT know a tuner: its table of types is a closed enum, to which a member is added by hand."""

from __future__ import annotations

from typing import Any

from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils.peft_types import PeftType, register_peft_method


def register(name: str, config_class: type, model_class: type) -> None:
    """Register a tuner under a name; a second time changes nothing."""
    if peft_type(name) not in PEFT_TYPE_TO_TUNER_MAPPING:
        register_peft_method(name=name, config_cls=config_class, model_cls=model_class)


def peft_type(name: str) -> PeftType:
    """Return the member of PEFT's enum for a name, which is made when there is none."""
    value = name.upper()
    if value not in PeftType._value2member_map_:
        member: Any = str.__new__(PeftType, value)
        member._name_ = member._value_ = value
        PeftType._member_names_.append(value)
        PeftType._member_map_[value] = member
        PeftType._value2member_map_[value] = member
    return PeftType(value)
