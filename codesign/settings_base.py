"""What all settings share: strict, frozen sections and the kinds of numbers in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


class Section(BaseModel):
    """A section of a design's settings: no unknown keys, no conversions, never changed."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )
