"""A figure with its bounds and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Provenance = Literal["measured", "published", "derived", "assumed"]
STRENGTH: tuple[Provenance, ...] = ("measured", "published", "derived", "assumed")
"""Strongest first. measured: on the chip itself, by whoever wrote the file. published: printed in a publication.
derived: calculated from published figures. assumed: neither, with a reason."""


def weakest(*provenances: Provenance) -> Provenance:
    """Of several: what is made of them is no better than the worst of them."""
    return max(provenances, key=STRENGTH.index)


@dataclass(frozen=True)
class Quantity:
    """A value in SI units between its bounds.

    Bounds of a sum add: the errors of its terms are taken as fully correlated, which is the cautious choice, since
    most of them come from one process and one supply.

    Raises:
        ValueError: low <= value <= high does not hold, or the value is negative or not finite.
    """

    value: float
    low: float
    high: float
    provenance: Provenance

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.value <= self.high and math.isfinite(self.value)):
            raise ValueError(f"0 <= low <= value <= high does not hold for {self.low}, {self.value}, {self.high}")

    @classmethod
    def exact(cls, value: float, provenance: Provenance) -> Quantity:
        """A value whose bounds are not known: they are the value."""
        return cls(value, value, value, provenance)

    def __mul__(self, count: float) -> Quantity:
        """Of so many; a count is exact and not negative."""
        return Quantity(self.value * count, self.low * count, self.high * count, self.provenance)

    __rmul__ = __mul__

    def times(self, count: float) -> Quantity:
        """The same as `*`."""
        return self * count

    def __add__(self, other: Quantity | Literal[0]) -> Quantity:
        """The sum; 0 is allowed, for `sum`."""
        if not isinstance(other, Quantity):
            return self
        provenance = weakest(self.provenance, other.provenance)
        return Quantity(self.value + other.value, self.low + other.low, self.high + other.high, provenance)

    __radd__ = __add__

    def product(self, other: Quantity) -> Quantity:
        """The product of two."""
        provenance = weakest(self.provenance, other.provenance)
        return Quantity(self.value * other.value, self.low * other.low, self.high * other.high, provenance)

    def under(self, numerator: float) -> Quantity:
        """numerator / self: the bounds change places, and one of 0 gives none. ZeroDivisionError for a value of 0."""
        high = numerator / self.low if self.low else math.inf
        return Quantity(numerator / self.value, numerator / self.high, high, self.provenance)

    def no_better_than(self, provenance: Provenance) -> Quantity:
        """The same figure, its provenance weakened."""
        return Quantity(self.value, self.low, self.high, weakest(self.provenance, provenance))
