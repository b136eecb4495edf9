"""Noise that conversions of a virtual chip share: held by a column, or common to the columns of a pass."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.schema import Calibration
from imctrain.calibration.virtual_chip.plan import SamplePlan

BLOCK_PASSES = 4096
_SLOW, _COMMON = 79, 80
"""Purposes of seeds; 77 and 78 are those of `faults`."""


def shared_noise(
    c: Calibration, seed: int, rng: np.random.Generator, plan: SamplePlan, start: int, column: Ints
) -> Floats | float:
    """Slow and common noise of the calibration in the rows from `start`, LSB at R = 1.

    In passes a column keeps its slow noise through the repeats of an input; in random order every conversion is an MVM
    of its own, and shares neither.

    Args:
        seed: of the chip. column: of each row.
    """
    slow, common = c.noise.shared
    if plan.order == "random":
        return np.hypot(slow, common) * rng.standard_normal(column.size) if slow or common else 0.0
    columns = plan.columns or c.array.columns
    number = (start + np.arange(column.size)) // columns
    total: Floats | float = 0.0
    if slow > 0:
        held = number // (plan.repeats if plan.order == "passes" else 1)
        total = slow * held_draws([seed, _SLOW], held, column, columns)
    if common > 0:
        total = total + common * pass_draws([seed, _COMMON], number)
    return total


def held_draws(seed: list[int], held: Ints, unit: Ints, units: int) -> Floats:
    """Standard normal draws of units, one for each value of `held`, [rows].

    Args:
        held: of each row, what a draw lasts for. unit: of each row, below `units`.
    """
    blocks, at = np.unique(held, return_inverse=True)
    drawn = [np.random.default_rng([*seed, block]).standard_normal(units) for block in blocks]
    return np.asarray(np.stack(drawn)[at, unit])


def pass_draws(seed: list[int], number: Ints) -> Floats:
    """Standard normal draws, one for each pass, [rows]. number: of the pass of each row."""
    blocks, at = np.unique(number // BLOCK_PASSES, return_inverse=True)
    drawn = [np.random.default_rng([*seed, block]).standard_normal(BLOCK_PASSES) for block in blocks]
    return np.asarray(np.stack(drawn)[at, number % BLOCK_PASSES])
