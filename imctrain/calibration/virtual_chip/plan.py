"""What is measured of a virtual chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from imctrain.calibration.arrays import Floats, Ints
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
        order: "random" draws column and input of every row; "passes" converts one input on all columns, then the next,
            each input `repeats` times in a row (a column `repeat` counts them); "sweeps" leads the input up and down
            `sweeps` times, columns in turn.
    """

    conversions: int = 200_000
    columns: int | None = None
    ranges: tuple[float, ...] = (1.0,)
    levels: int | None = None
    dies: int = 1
    temperatures: tuple[float, ...] = ()
    supplies: tuple[float, ...] = ()
    entrance: Literal["ideal", "dot"] = "ideal"
    order: Literal["random", "passes", "sweeps"] = "random"
    repeats: int = 1
    sweeps: int = 1

    def __post_init__(self) -> None:
        require(self.conversions >= 1, "--conversions", self.conversions, "1 or more")
        require(self.columns is None or self.columns >= 1, "--columns", self.columns, "1 or more")
        require(all(0 < r <= 1 for r in self.ranges), "--range", self.ranges, "above 0 and at most 1")
        require(self.levels is None or self.levels >= 2, "--inputs", self.levels, "2 or more")
        require(1 <= self.dies <= 1000, "--dies", self.dies, "1 to 1000")
        require(self.repeats >= 1, "repeats", self.repeats, "1 or more")
        require(self.sweeps >= 1, "sweeps", self.sweeps, "1 or more")
        simple = len(self.ranges) == 1 and self.dies == 1
        require(self.order == "random" or simple, "order", self.order, "random with several ranges or dies")

    def in_order(self, start: int, rows: int, columns: int, lowest_v: float) -> tuple[Ints, Floats, Ints]:
        """(column, input as a share of the range, repeat) of the rows from `start`, for an order that is not random."""
        row = start + np.arange(rows)
        made = row // columns
        if self.order == "passes":
            # Multiples of the golden ratio fill the span evenly, in no order.
            place = (made // self.repeats) * 0.6180339887498949 % 1.0
        else:
            place = 1.0 - np.abs((2.0 * self.sweeps * made * columns / self.conversions) % 2.0 - 1.0)
        if self.levels is not None:
            place = np.round(place * (self.levels - 1)) / (self.levels - 1)
        return row % columns, lowest_v + (1.0 - lowest_v) * place, made % self.repeats
