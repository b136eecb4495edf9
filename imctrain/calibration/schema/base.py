"""What every section of the calibration file is made of: numbers, intervals, estimates."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[float, float]
"""Lower and upper bound of a confidence interval."""


class Model(BaseModel):
    """A section: no other keys, only finite numbers, and what is not known is left out of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base_nulls: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written as null, rather than left out, when they are not known."""

    @model_serializer(mode="wrap")
    def _without_unknown(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {key: x for key, x in handler(self).items() if x is not None or key in self.base_nulls}


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
