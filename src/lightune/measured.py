"""The base class of the record's sections, and figures by the names of their metrics.

Metrics are in mappings, so that every task fills the same sections. A section also writes each metric under its own
key, as in version 1: `after.accuracy` is `after.metrics.accuracy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, to_jsonable_python

PURE = "1"  # the unit of figures that have none, such as a correlation
SMALLEST, LARGEST = 0.0005, 1e6  # beyond them three decimals show nothing, or too much


class Section(BaseModel):
    """A part of the record. A measurement that could not be taken is None, with its reason in `notes`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    def beside(self) -> dict[str, Any]:
        """Return derived values that are written and accessible beside the fields; when read they have to agree."""
        return {}

    def __getattr__(self, name: str) -> Any:
        """Return the derived value of this name."""
        # Derived values use the fields: asked for a field that is not set yet, this would call itself endlessly.
        beside = {} if name.startswith("_") or name in type(self).model_fields else self.beside()
        if name in beside:
            return beside[name]
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __dir__(self) -> list[str]:
        """List the derived values too."""
        return [*super().__dir__(), *self.beside()]

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {**written, **{name: value for name, value in self.beside().items() if name not in written}}

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Read the fields; every other given key has to be a derived value, and equal to it."""
        if not isinstance(given, Mapping):
            return handler(given)
        found = handler({name: value for name, value in given.items() if name in cls.model_fields})
        derived = found.beside()
        others = {name: value for name, value in given.items() if name not in cls.model_fields}
        strange = sorted(map(str, set(others) - set(derived)))
        if strange:
            raise PydanticCustomError("extra_forbidden", "unknown: {names}", {"names": ", ".join(strange)})
        for name, value in others.items():
            if not _is_same(value, derived[name]):
                shown = {"name": name, "given": shortened(value), "derived": shortened(derived[name])}
                raise PydanticCustomError("disagrees", "{name} is {given}, but the other fields give {derived}", shown)
        return found


def _is_same(given: Any, derived: Any) -> bool:
    """Say whether two values are equal once they are JSON, which has no tuples and no NaN."""
    if given == derived:  # most are, and a large matrix is not converted for it
        return True
    return bool(to_jsonable_python(given, inf_nan_mode="null") == to_jsonable_python(derived, inf_nan_mode="null"))


def unit_name(unit: str) -> str:
    """Return a unit as it follows a figure; nothing for a pure number."""
    return "" if unit == PURE else unit


def written(value: float, unit: str = "") -> str:
    """Return a figure with three decimals: 0.834, 1,204.500.

    Figures without a unit of their own are in that of the data: tiny and huge ones get four significant digits.
    """
    rounded = round(value, 3) + 0.0  # never -0.000
    if not unit and value and (abs(value) < SMALLEST or abs(value) >= LARGEST):
        return f"{value:.4g}"
    return f"{rounded:,.3f}"


class Metric(Section):
    """A metric of predictions: its key, its title in a table, its unit, and whether higher is better.

    The unit "share" is a part of a whole, whose differences are shown in percentage points; others are shown
    unchanged. "1" is that of a pure number, and "" stands for the unit of the data. `hub_name` is the Hugging Face
    Hub's name of it, for the model card; "" where it has none. `by_group` is a sentence that a table of the metric by
    group needs; "" where the figures explain themselves.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    hub_name: str = ""
    by_group: str = ""

    def shown(self, value: float) -> str:
        """Return a value of the metric as it is shown."""
        return written(value, self.unit)


class Measured(Section):
    """Figures of a set of predictions by the metrics' names, and details such as a confusion matrix, as JSON values.

    A metric that cannot be computed is None; one that is not defined there is left out. `details_of_version_1` names
    the details that version 1 had as keys of the section; only they are also written there, because details are large.
    """

    details_of_version_1: ClassVar[tuple[str, ...]] = ()

    metrics: dict[str, float | None]
    details: dict[str, Any] = Field(default_factory=dict)

    def beside(self) -> dict[str, Any]:
        """Return each metric, and each detail that version 1 had, under its own name."""
        return self.metrics | {name: self.details[name] for name in self.details_of_version_1 if name in self.details}

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        """Refuse a detail that has the name of a metric: only one of them could be written under it."""
        both = sorted(set(self.metrics) & set(self.details))
        if both:
            raise ValueError(f"{', '.join(both)}: a metric and a detail cannot have the same name; rename the detail")
        return self
