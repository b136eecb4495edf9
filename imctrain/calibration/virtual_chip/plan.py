"""What is measured of a virtual chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imctrain.calibration.options import require


@dataclass(frozen=True)
class SamplePlan:
    """What to measure.

    Attributes:
        conversions: rows in all. columns: how many columns, from 0; None: all of the array.
        ranges: reference ranges R, in turn at random. levels: distinct inputs, evenly spaced; None: any integer dot.
        dies: how many dies; more than one writes a column `die`.
        temperatures, supplies: conditions, in turn at random; empty: the calibration's reference, not written.
        entrance: "ideal" (v) or "dot" (integer sums).
    """

    conversions: int = 200_000
    columns: int | None = None
    ranges: tuple[float, ...] = (1.0,)
    levels: int | None = None
    dies: int = 1
    temperatures: tuple[float, ...] = ()
    supplies: tuple[float, ...] = ()
    entrance: Literal["ideal", "dot"] = "ideal"

    def __post_init__(self) -> None:
        require(self.conversions >= 1, "--conversions", self.conversions, "1 or more")
        require(self.columns is None or self.columns >= 1, "--columns", self.columns, "1 or more")
        require(all(0 < r <= 1 for r in self.ranges), "--range", self.ranges, "above 0 and at most 1")
        require(self.levels is None or self.levels >= 2, "--inputs", self.levels, "2 or more")
        require(1 <= self.dies <= 1000, "--dies", self.dies, "1 to 1000")
