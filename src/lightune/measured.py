"""What a section of the record is, and figures by the names of their metrics.

Metrics stand in mappings, so that every task fills the same sections. Beside them a section writes each metric under a
key of its own, as version 1 had it: `after.accuracy` is `after.metrics.accuracy`.
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
        """Return what is written and can be asked for beside the fields; it follows from them, and is not read."""
        return {}

    def __getattr__(self, name: str) -> Any:
        """Return what stands beside the fields under this name."""
        # What stands beside follows from the fields: asked for a field that is not there yet, it would ask for itself.
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
        """Read the fields; whatever else is given has to be what stands beside them."""
        if not isinstance(given, Mapping):
            return handler(given)
        found = handler({name: value for name, value in given.items() if name in cls.model_fields})
        strange = sorted(map(str, set(given) - set(cls.model_fields) - set(found.beside())))
        if strange:
            raise PydanticCustomError("extra_forbidden", "unknown: {names}", {"names": ", ".join(strange)})
        return found


class Metric(Section):
    """A figure by which answers are judged: its key, its title in a table, its unit, and which way is better.

    The unit "share" is a part of a whole, whose differences are shown in percentage points; others are shown as they
    are.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True


class Measured(Section):
    """Figures of a set of answers by the metrics' names, and details such as a confusion matrix, as JSON values.

    A metric that cannot be computed is None, one that makes no sense there is left out.
    """

    metrics: dict[str, float | None]
    details: dict[str, Any] = Field(default_factory=dict)

    def beside(self) -> dict[str, Any]:
        """Return each metric and each detail under its own name."""
        return {**self.metrics, **self.details}
