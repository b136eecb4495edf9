"""Columns that do not follow their input: their share, which they are on macros that nobody measured, and spares.

A dead column of the file has gain 0 and its constant code as offset. On other macros, and on other dies, each column is
dead with the share of the measured ones that are, and reads the constant of one of them, either drawn by a seed, the
macro and the die; its noise stays that of a column. A share has the error of few columns: one of 64 is 0.3 to 8 %
(Wilson, 95 %).

Spare columns are the last ones of a macro. Each dead column, in order, is replaced by the first spare that lives and is
not taken yet; where no spare is left, dead columns stay where they are. All of this is this project's decision.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.schema import Calibration
from imctrain.calibration.variation import column_purpose

_DEAD = 12
"""Purpose of seeds, apart from those of `variation` and of `imc.chip`."""


class DeadColumns(NamedTuple):
    """Of a chip.

    Attributes:
        share: of its columns. offsets_lsb: constants that dead columns read, LSB at R = 1. listed: of the calibrated
            die, by number.
    """

    share: float = 0.0
    offsets_lsb: tuple[float, ...] = ()
    listed: tuple[int, ...] = ()


def dead_columns_of(c: Calibration) -> DeadColumns:
    """Of the columns that the file lists: those that it names, and those without gain."""
    named = set(c.fit.dead_columns or ())
    dead = [column for column in c.columns if column.column in named or column.gain <= 0]
    if not dead:
        return DeadColumns()
    listed = tuple(sorted(column.column for column in dead))
    return DeadColumns(len(dead) / len(c.columns), tuple(column.offset_lsb for column in dead), listed)


def drawn_dead(
    of: DeadColumns, draw: int, seed: int, macro: int, columns: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which columns of a macro are dead, all drawn, and what each reads if it is (LSB at R = 1), [columns] each.

    Args:
        draw: tells dies apart, as in `variation.Population`.
    """
    if not of.share:
        return np.zeros(columns, bool), np.zeros(columns)
    rng = np.random.default_rng([seed, macro, _DEAD, *column_purpose(draw)])
    dead = rng.random(columns) < of.share
    return dead, np.asarray(of.offsets_lsb, np.float64)[rng.integers(0, len(of.offsets_lsb), columns)]


def in_use(dead: NDArray[np.bool_], spares: int) -> NDArray[np.int64]:
    """Physical column behind each column that operands are written to, [columns - spares].

    Args:
        dead: of all columns of a macro. spares: how many of them, the last ones, are kept for dead ones.
    """
    usable = len(dead) - spares
    physical = np.arange(usable)
    living = usable + np.flatnonzero(~dead[usable:])
    broken = np.flatnonzero(dead[:usable])[: len(living)]
    physical[broken] = living[: len(broken)]
    return physical
