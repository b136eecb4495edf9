"""Differential non-linearity of the converter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import model_validator

from imctrain.calibration.arrays import Floats
from imctrain.calibration.schema.base import Count, Estimate, Fraction, Model, NonNegative


def all_thresholds(first_code: int, listed: Sequence[float], lowest: int, highest: int) -> Floats:
    """Voltages in codes from which on the codes above the lowest are given, rising, float64 [highest - lowest].

    Args:
        first_code, listed: of a table (`Dnl.thresholds`); what it does not list is nominal.
        lowest, highest: codes of the converter.
    """
    codes = np.arange(lowest + 1, highest + 1)
    found = codes - 0.5
    own = first_code + np.arange(len(listed))
    inside = (own >= codes[0]) & (own <= codes[-1])
    found[own[inside] - codes[0]] = np.asarray(listed, np.float64)[inside]
    return np.sort(found)


class Dnl(Model):
    """Widths of the converter's codes, in its own LSB, pooled over columns, with the fitted INL removed.

    Code `first_code + k` is given for voltages (in codes, offset and gain and INL applied) between thresholds T_k and
    T_(k+1), with

        T_0 = first_code - 1/2 + start_lsb,    T_(k+1) = T_k + width[k]

    and codes that the table does not list have nominal thresholds, code - 1/2; width 1 is nominal and 0 is a missing
    code. The table is the converter's: at another reference range R it is the same in codes, R times that in volts.
    Rounding then has variance sum w^3 / (12 sum w), LSB^2, over code widths w, for inputs that are evenly spread.

    `low` and `high` bound the widths. `rms_lsb` is the standard deviation of widths (the prior that data chose).
    `chi_squared` with `freedom` degrees of freedom, and its `p_value`, are of the test against no DNL at all.
    `missing_codes` never occur, or next to never, where they should have.
    """

    first_code: int
    start_lsb: float = 0.0
    width: tuple[NonNegative, ...]
    low: tuple[NonNegative, ...] | None = None
    high: tuple[NonNegative, ...] | None = None
    rms_lsb: Estimate | None = None
    chi_squared: NonNegative | None = None
    freedom: Count | None = None
    p_value: Fraction | None = None
    missing_codes: tuple[int, ...] | None = None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Lower edge of every listed code, and the upper one of the last, in codes: len(width) + 1 values."""
        at = self.first_code - 0.5 + self.start_lsb
        found = [at]
        for width in self.width:
            at += width
            found.append(at)
        return tuple(found)

    @property
    def rounding_variance(self) -> float:
        """Of rounding to these codes, LSB^2: 1/12 where all are one LSB wide."""
        total = sum(self.width)
        return sum(width**3 for width in self.width) / (12.0 * total) if total > 0 else 1.0 / 12.0

    @model_validator(mode="after")
    def _bounded(self) -> Dnl:
        if not self.width:
            raise ValueError("width lists no code: leave dnl out")
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is not None and len(bound) != len(self.width):
                raise ValueError(f"width has {len(self.width)} codes but {name} has {len(bound)} values")
        return self
