"""What a fit must not be accepted with."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.faults.bits import BitFaults
from imctrain.calibration.fit.chip_fit import SWAPPED, ChipFit
from imctrain.calibration.judging.faults import bits_in_words
from imctrain.calibration.reading.histogram import Histogram
from imctrain.errors import UserError

LEAST_R2 = 0.5
GAIN_LIMITS = (0.5, 1.25)
"""Parasitic capacitance takes much of a swing away, and next to nothing adds to it."""
NEAR_ONE, TOLD_APART = 0.03, 0.05
"""Logarithms of gains: how near to another meaning of the range, and how far from the one that was given."""


def refuse_counts(h: Histogram, rows: str, single_column: bool) -> None:
    """Raises UserError, naming `rows`, for conversions that nothing can be fitted to."""
    if np.ptp(h.code) == 0:
        raise UserError(f"{rows}: every code is {h.code[0]}: is the converter on, and is `code` its output?")
    if np.ptp(h.u) == 0:
        raise UserError(f"{rows}: every input is the same: sweep `ideal` (or `dot`) over the converter's range")
    if np.unique(h.column).size == 1 and not single_column:
        raise UserError(
            f"{rows}: all are of column {h.column[0]}, so that the spread between columns cannot be known: measure "
            "more columns, or accept that with --single-column"
        )


def refuse_fit(fit: ChipFit, rows: str) -> None:
    """Raises UserError, naming `rows`, for a fit that cannot be that of a chip."""
    gain = float(np.median(fit.parameters.gain[fit.usable]))
    if gain < 0:
        raise UserError(f"{rows}: code falls as the input rises: change the sign of one of the two; {SWAPPED}")
    if not GAIN_LIMITS[0] <= gain <= GAIN_LIMITS[1]:
        raise UserError(
            f"{rows}: the columns' gain is {gain:.3g} of nominal, which no converter has: give the chip's own --rows "
            "and --levels (for dot), --bits, --polarity, --zero-code and --range, and --full-scale for inputs in volts"
        )


def refuse_volts(fit: ChipFit, rows: str, guess: str = "") -> None:
    """Raises UserError, naming `rows`, where codes follow the input as if the largest range were R = 1.

    A range in volts looks so: all ranges are then too small by one factor, which goes into the gain.

    Args:
        guess: the header that was taken for the range and may be something else.
    """
    largest = float(fit.transfer.histogram.range.max())
    gain = float(np.median(fit.parameters.gain[fit.usable]))
    if abs(np.log(largest)) < TOLD_APART or gain <= 0.0 or abs(np.log(gain / largest)) > NEAR_ONE:
        return
    if abs(np.log(gain)) < TOLD_APART:
        return
    constant = "the constant range" if np.ptp(fit.transfer.histogram.range) == 0 else "the largest range,"
    other = f", or --ignore {guess!r} if that column is no range" if guess else ""
    raise UserError(
        f"{rows}: {constant} {largest:g} looks like volts: codes follow the input with {gain:.3g} of the nominal gain, "
        f"as if it were R = 1; give --unit range=V --full-scale {largest:g}, or --unit range=FS where R is {largest:g} "
        f"of full scale{other}"
    )


def refuse_residuals(r2: float, rows: str) -> None:
    """Raises UserError, naming `rows`, where the fit explains next to nothing."""
    if r2 < LEAST_R2:
        raise UserError(f"{rows}: the input explains {max(r2, 0):.0%} of the codes' variance: {SWAPPED}")


def refuse_bits(bits: BitFaults, rows: str) -> None:
    """Raises UserError, naming `rows`, where bits of the code are stuck, swapped or inverted in all columns."""
    if bits.of_all:
        raise UserError(f"{rows}: nothing can be fitted: {bits_in_words(bits, refused=True)[0]}")
