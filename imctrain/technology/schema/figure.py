"""One figure: a number, numbers at several supplies, or a law with its parameters; always with its source."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from imctrain.technology.laws import law, law_names
from imctrain.technology.quantity import Provenance
from imctrain.technology.scaling import Dimension
from imctrain.technology.schema.base import Model, Node, NonNegative, Supply

SI = {
    "energy": {"J": 1.0, "nJ": 1e-9, "pJ": 1e-12, "fJ": 1e-15, "aJ": 1e-18},
    "time": {"s": 1.0, "us": 1e-6, "ns": 1e-9, "ps": 1e-12},
    "rate": {"1/s": 1.0},
    "area": {"m2": 1.0, "mm2": 1e-6, "um2": 1e-12},
    "power": {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "nW": 1e-9},
}
"""Units of every kind of figure, in SI."""


def _ordered(low: float | None, value: float, high: float | None) -> None:
    lowest, highest = value if low is None else low, value if high is None else high
    if not lowest <= value <= highest:
        raise ValueError(f"low <= value <= high does not hold for {lowest:g}, {value:g}, {highest:g}")


class Point(Model):
    """The figure at one supply."""

    supply_v: Supply
    """V."""
    value: NonNegative
    """In the figure's unit."""
    low: NonNegative | None = None
    """Lower bound, in the same unit."""
    high: NonNegative | None = None
    """Upper bound, in the same unit."""

    @model_validator(mode="after")
    def _bounds(self) -> Point:
        _ordered(self.low, self.value, self.high)
        return self


class Figure(Model):
    """Exactly one of `value`, `values` and `law`."""

    DIMENSION: ClassVar[Dimension] = "energy"

    value: NonNegative | None = None
    """The figure, in `unit`."""
    values: tuple[Point, ...] = ()
    """The figure at several supplies, in `unit`."""
    law: str | None = None
    """The name of a law (docs/technology.md); its result is in SI units."""
    parameters: dict[str, NonNegative] = Field(default_factory=dict)
    """Of the law, in SI units; those left out are the law's own."""
    low: NonNegative | None = None
    """Lower bound: in `unit`, or for a law a factor."""
    high: NonNegative | None = None
    """Upper bound: in `unit`, or for a law a factor."""
    node_nm: Node | None = None
    """Node that the number is of; the technology's by default. It is scaled from there."""
    supply_v: Supply | None = None
    """Supply that `value` is of, V; the technology's by default. It is scaled from there."""
    provenance: Provenance
    """measured, published, derived or assumed."""
    source: Annotated[str, Field(min_length=8)]
    """Where it comes from, or the reason for it."""
    checked: bool
    """Whether what `source` names was opened and says so; a publication that was not is named with what quotes it."""

    @model_validator(mode="after")
    def _one_kind(self) -> Figure:
        given = [key for key in ("value", "values", "law") if getattr(self, key) not in (None, ())]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"a figure has one of value, values and law, found {found}")
        if self.law is None:
            self._numbers()
        else:
            self._law(self.law)
        return self

    def _numbers(self) -> None:
        if self.parameters:
            raise ValueError("parameters are those of a law: take them away, or name the law")
        if getattr(self, "unit", None) is None:
            raise ValueError(f"unit is missing: one of {', '.join(SI[self.DIMENSION])}")
        if self.value is not None:
            _ordered(self.low, self.value, self.high)
            return
        if not (self.low is None and self.high is None and self.supply_v is None):
            raise ValueError("with values, low, high and supply_v stand in each of them")
        supplies = [point.supply_v for point in self.values]
        if len(set(supplies)) != len(supplies):
            raise ValueError("a supply is listed twice in values")

    def _law(self, name: str) -> None:
        if name not in law_names():
            raise ValueError(f"law {name!r} is not known: one of {', '.join(law_names())}")
        found = law(name)
        if found.dimension != self.DIMENSION:
            raise ValueError(f"law {name!r} gives {found.dimension}, this figure is {self.DIMENSION}")
        unknown = sorted(set(self.parameters) - set(found.parameters))
        if unknown:
            raise ValueError(f"law {name!r} has no parameter {unknown[0]!r}: one of {', '.join(found.parameters)}")
        for key in ("unit", "node_nm", "supply_v"):
            if getattr(self, key, None) is not None:
                raise ValueError(f"{key} is that of a number: a law gives SI units at the design's node and supply")
        _ordered(self.low, 1.0, self.high)

    @property
    def scale(self) -> float:
        """SI units in a unit of the file; 1 for a law."""
        unit = getattr(self, "unit", None)
        return 1.0 if unit is None else SI[self.DIMENSION][unit]


class Energy(Figure):
    """An energy."""

    unit: Literal["J", "nJ", "pJ", "fJ", "aJ"] | None = None


class Time(Figure):
    """A time."""

    DIMENSION: ClassVar[Dimension] = "time"
    unit: Literal["s", "us", "ns", "ps"] | None = None


class Rate(Figure):
    """Operations a second."""

    DIMENSION: ClassVar[Dimension] = "rate"
    unit: Literal["1/s"] | None = None


class Area(Figure):
    """An area."""

    DIMENSION: ClassVar[Dimension] = "area"
    unit: Literal["m2", "mm2", "um2"] | None = None


class Power(Figure):
    """A power."""

    DIMENSION: ClassVar[Dimension] = "power"
    unit: Literal["W", "mW", "uW", "nW"] | None = None
