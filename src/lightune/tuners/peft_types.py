"""Registering a tuner with PEFT: its table of types is a closed enum, to which a member is added by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils.peft_types import PeftType, register_peft_method

MOST = 2**20  # tokens of a prefix, or width of a layer: far beyond what anybody trains


@dataclass
class TargetedConfig(PeftConfig):
    """The options of a tuner that wraps modules; a subclass gives its `tuner_name`."""

    tuner_name: ClassVar[str]

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: str | None = None

    def __post_init__(self) -> None:
        """Set PEFT's type, and targets as a set, as LoraConfig does; ValueError for options that PEFT would ignore."""
        super().__post_init__()
        self.peft_type = peft_type(self.tuner_name)
        for name in ("layers_to_transform", "layers_pattern"):
            if isinstance(self.target_modules, str) and getattr(self, name) is not None:
                raise ValueError(f"{name} cannot be used when target_modules is a str. Give a list of names.")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("layers_pattern has no effect without layers_to_transform. Give both, or neither.")
        for name in ("target_modules", "exclude_modules", "modules_to_save"):
            given, may_be_str = getattr(self, name), name != "modules_to_save"
            is_valid = given is None or (isinstance(given, str) and may_be_str) or _are_names(given)
            require(is_valid, name, given, f"None, {'a str, ' * may_be_str}or a list of names")
            if isinstance(given, str):
                require_patterns(name, given)
        self._check_layers()
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), list | tuple):
                setattr(self, name, set(getattr(self, name)))
        for name in ("init_weights", "inference_mode"):
            given = getattr(self, name, False)
            require(isinstance(given, bool), name, given, "true or false")

    def _check_layers(self) -> None:
        layers, pattern = self.layers_to_transform, self.layers_pattern
        numbers = layers if isinstance(layers, list | tuple) else [layers]
        are_numbers = all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in numbers)
        valid = "None, or a layer's number or a list of them, counted from 0"
        require(layers is None or are_numbers, "layers_to_transform", layers, valid)
        is_pattern = pattern is None or isinstance(pattern, str) or _are_names(pattern)
        require(is_pattern, "layers_pattern", pattern, "None, a str, or a list of names")
        require_patterns("layers_pattern", pattern)


def _are_names(given: Any) -> bool:
    return isinstance(given, list | tuple | set) and all(isinstance(name, str) for name in given)


def require(is_valid: bool, option: str, given: Any, valid: str) -> None:
    """Raise ValueError when the value of an option is not valid."""
    if not is_valid:
        raise ValueError(f"{option}: {given!r} is not valid. It must be {valid}.")


def require_number(option: str, given: Any, least: float, most: float) -> None:
    """Raise ValueError when an option is not a number in this range."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    require(is_number and least <= given <= most, option, given, f"a number from {least:g} to {most:g}")


def require_count(option: str, given: Any, or_none: bool = False) -> None:
    """Raise ValueError when an option is not a whole number of 1 or more, within what memory may hold, or None."""
    is_count = isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MOST
    valid = f"{'None, or ' * or_none}a whole number from 1 to {MOST:,}"
    require(is_count or (given is None and or_none), option, given, valid)


def require_patterns(option: str, given: Any) -> None:
    """Raise ValueError where a str, or one of several, is no regular expression."""
    for pattern in given if isinstance(given, list | tuple | set) else [given] if isinstance(given, str) else []:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{option}: {pattern!r} is no regular expression ({error}).") from None


def require_known(option: str, given: Any, known: Iterable[str]) -> None:
    """Raise ValueError when the value of an option is not a known one."""
    is_valid = isinstance(given, str) and given in known
    require(is_valid, option, given, f"one of {', '.join(sorted(known))}")


def register(name: str, config_class: type, model_class: type) -> None:
    """Register a tuner under a name; a second time changes nothing."""
    if peft_type(name) not in PEFT_TYPE_TO_TUNER_MAPPING:
        register_peft_method(name=name, config_cls=config_class, model_cls=model_class)


def peft_type(name: str) -> PeftType:
    """Return the member of PEFT's enum for a name; it is added when there is none."""
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
