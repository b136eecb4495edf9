"""What every section of the calibration file is made of: numbers, intervals, estimates."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, ClassVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
OUTSIDE, ROUNDED = 0.01, 1e-5
"""How far beyond its interval a value may lie, since files hold six digits: shares of the interval and of the value."""


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"low <= high does not hold for the interval {bounds[0]}, {bounds[1]}")
    return bounds


Interval = Annotated[tuple[float, float], AfterValidator(_rising)]
"""Lower and upper bound of a confidence interval."""


def in_interval(value: float, bounds: tuple[float, float] | None) -> bool:
    """Whether a value lies within the bounds that are given for it, but for the rounding of the three."""
    if bounds is None:
        return True
    hair = OUTSIDE * (bounds[1] - bounds[0]) + ROUNDED * max(map(abs, (value, *bounds)))
    return bounds[0] - hair <= value <= bounds[1] + hair


class Model(BaseModel):
    """A section: no other keys, only finite numbers, and what is not known is left out of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base_nulls: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written as null, rather than left out, when they are not known."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_other_kind(cls, value: object, info: ValidationInfo) -> object:
        """Numbers are numbers: true counts as 1 and "8" as 8 otherwise, which nobody means."""
        found = _other_kind(value, info.field_name in _texts_of(cls))
        if found is not None:
            raise ValueError(f"{found} is no number: write it without quotes, and not as true or false")
        return value

    @model_serializer(mode="wrap")
    def _without_unknown(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {key: x for key, x in handler(self).items() if x is not None or key in self.base_nulls}


@cache
def _texts_of(model: type[Model]) -> frozenset[str]:
    """Fields that hold texts, or sections, which look at their own."""
    return frozenset(name for name, field in model.model_fields.items() if not _is_numeric(field.annotation))


def _is_numeric(annotation: object) -> bool:
    """Whether a field holds numbers alone, single or in lists."""
    inner = [part for part in get_args(annotation) if part not in (type(None), Ellipsis)]
    if get_origin(annotation) is Annotated:
        inner = inner[:1]
    return all(map(_is_numeric, inner)) if inner else annotation in (int, float)


def _other_kind(value: object, text: bool) -> str | None:
    """What in a value is no number, as JSON writes it; None where nothing is, or where the field holds `text`."""
    if isinstance(value, list | tuple) and not text:
        return next((found for item in value if (found := _other_kind(item, text)) is not None), None)
    return json.dumps(value) if not text and isinstance(value, bool | str) else None


class Estimate(Model):
    """A value with the bounds of its confidence interval."""

    value: NonNegative
    low: NonNegative
    high: NonNegative

    @model_validator(mode="after")
    def _ordered(self) -> Estimate:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low <= value <= high does not hold for {self.low}, {self.value}, {self.high}")
        return self


class SignedEstimate(Model):
    """A value of either sign with the bounds of its confidence interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> SignedEstimate:
        if self.low > self.high or not in_interval(self.value, (self.low, self.high)):
            raise ValueError(f"low <= value <= high does not hold for {self.low}, {self.value}, {self.high}")
        return self
