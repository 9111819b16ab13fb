"""Making PEFT know a tuner: its table of types is a closed enum, to which a member is added by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils.peft_types import PeftType, register_peft_method


@dataclass
class TargetedConfig(PeftConfig):
    """The options of a tuner that wraps modules; a subclass gives its `tuner_name`."""

    tuner_name: ClassVar[str]

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | None = None
    layers_pattern: str | None = None

    def __post_init__(self) -> None:
        """Take PEFT's type, and targets as a set, as PEFT's own configurations do."""
        super().__post_init__()
        self.peft_type = peft_type(self.tuner_name)
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)  # type: ignore[assignment]


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
        # From Python 3.12 on members are attributes of the class, and only `type` may set one from outside.
        type.__setattr__(PeftType, value, member)
        PeftType._member_names_.append(value)
        PeftType._member_map_[value] = member
        PeftType._value2member_map_[value] = member
    return PeftType(value)
