"""The base class of the record's sections, and figures by the names of their metrics.

Metrics are in mappings, so that every task fills the same sections. A section also writes each metric under its own
key, as in version 1: `after.accuracy` is `after.metrics.accuracy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of the record. A measurement that could not be taken is None, with its reason in `notes`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    def beside(self) -> dict[str, Any]:
        """Return derived values that are written and accessible beside the fields, and are not read back."""
        return {}

    def __getattr__(self, name: str) -> Any:
        """Return the derived value of this name."""
        # Derived values use the fields: asked for a field that is not set yet, this would call itself endlessly.
        beside = {} if name.startswith("_") or name in type(self).model_fields else self.beside()
        if name in beside:
            return beside[name]
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {**written, **{name: value for name, value in self.beside().items() if name not in written}}

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Read the fields; every other given key has to be a derived value."""
        if not isinstance(given, Mapping):
            return handler(given)
        found = handler({name: value for name, value in given.items() if name in cls.model_fields})
        strange = sorted(map(str, set(given) - set(cls.model_fields) - set(found.beside())))
        if strange:
            raise PydanticCustomError("extra_forbidden", "unknown: {names}", {"names": ", ".join(strange)})
        return found


class Metric(Section):
    """A metric of predictions: its key, its title in a table, its unit, and whether higher is better.

    The unit "share" is a part of a whole, whose differences are shown in percentage points; others are shown
    unchanged.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True


class Measured(Section):
    """Figures of a set of predictions by the metrics' names, and details such as a confusion matrix, as JSON values.

    A metric that cannot be computed is None; one that is not defined there is left out.
    """

    metrics: dict[str, float | None]
    details: dict[str, Any] = Field(default_factory=dict)

    def beside(self) -> dict[str, Any]:
        """Return each metric and each detail under its own name."""
        return {**self.metrics, **self.details}
