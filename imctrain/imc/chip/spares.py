"""Dead columns of a chip's macros, and the spare ones that take their place (`calibration.dead_columns`).

Macro 0 of the die whose columns are listed has its measured dead columns; all others are drawn by `chip_seed`. A macro
has `array.columns` columns, of which `array.spare_columns` hold no operand unless they stand in for a dead one.
"""

from __future__ import annotations

import functools

import numpy as np

from imctrain.calibration.dead_columns import DeadColumns, drawn_dead, in_use
from imctrain.settings import Hardware


@functools.cache
def macro_dead(macro: int, hardware: Hardware) -> np.ndarray:
    """Whether each column of one macro is dead, [columns]."""
    return _dead(macro, hardware)[0]


def macro_constants(macro: int, hardware: Hardware) -> np.ndarray:
    """What each column of one macro reads if it is dead, and was not measured: LSB at R = 1, float64 [columns]."""
    return _dead(macro, hardware)[1]


@functools.cache
def _dead(macro: int, hardware: Hardware) -> tuple[np.ndarray, np.ndarray]:
    chip, columns = hardware.chip, hardware.array.columns
    if not hardware.has_dead_columns:
        return np.zeros(columns, bool), np.zeros(columns)
    of = DeadColumns(chip.dead_share, chip.dead_offsets_lsb, chip.dead_columns)
    dead, constants = drawn_dead(of, chip.column_draw, hardware.chip_seed, macro, columns)
    for error in chip.columns if macro == 0 else ():
        if error.column < columns:
            dead[error.column] = error.column in chip.dead_columns
    return dead, constants


@functools.cache
def columns_in_use(macro: int, hardware: Hardware) -> np.ndarray:
    """Physical column behind each column of a macro that operands are written to, int [usable columns]."""
    return in_use(macro_dead(macro, hardware), hardware.array.spare_columns)


def dead_columns_told(hardware: Hardware) -> str | None:
    """How many columns of the chip are dead, and what spare ones change, in a line; None without either."""
    array, chip = hardware.array, hardware.chip
    if not hardware.has_dead_columns and not array.spare_columns:
        return None
    macros = range(array.macros)
    dead = sum(int(macro_dead(macro, hardware).sum()) for macro in macros)
    left = sum(int(macro_dead(macro, hardware)[columns_in_use(macro, hardware)].sum()) for macro in macros)
    found = f"{dead} of the {array.macros * array.columns} columns of {array.macros} macros are dead"
    if chip.dead_share:
        found += f" ({100 * chip.dead_share:.2g} % of the measured ones are)"
    if not array.spare_columns:
        return f"{found}, and hold operands: array.spare_columns keeps some of a macro to take their place"
    kept = (
        f"{array.spare_columns} of {array.columns} columns of a macro are spare, {array.usable_columns} hold operands"
    )
    return f"{found}; {kept}, {left} dead ones among them"
