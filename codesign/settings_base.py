"""What all settings share: strict, frozen sections and the kinds of numbers in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from codesign.core.shown import Brief, brief

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=10.0)]
"""Of Adam, which moves a weight by about the rate at each step."""
ClockPeriod = Annotated[float, Field(ge=0.5, le=1000.0)]
"""In ns: 1 MHz to 2 GHz, beyond what any part does."""
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False, le=1e12)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False, le=1e12)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
CountOrNone = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(Brief, BaseModel):
    """A section of a design's settings: no unknown keys, no conversions, never changed; it shows what is no default."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )

    def facts(self) -> Mapping[str, str]:
        """What is no default, by its dotted path."""
        return dict(self._changed()) or {"": "all defaults"}

    def _changed(self) -> Iterator[tuple[str, str]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                yield from ((f"{name}.{inner}", text) for inner, text in value._changed())
            elif value != field.get_default(call_default_factory=True):
                yield name, brief(value)

    def __str__(self) -> str:
        """One line, as `repr`."""
        return repr(self)
