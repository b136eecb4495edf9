"""Temporal noise."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from pydantic import Field

from imctrain.calibration.schema.base import Count, Estimate, Fraction, Model


class NoiseParts(NamedTuple):
    """What every conversion draws anew: before the range, LSB at R = 1, and in the converter, its own LSB."""

    array: float
    adc: float


def drawn_anew(array: float, adc: float, slow: float, common: float) -> NoiseParts:
    """What is left of the noise before the range and of the converter's beside the parts that conversions share, LSB.

    Those count as noise before the range, as whatever cannot be told apart does: it does not shrink with R. Where they
    are more than that (estimates), the rest is the converter's. So the total at R = 1 stays what it is.
    """
    shared = slow**2 + common**2
    if not shared:
        return NoiseParts(array, adc)
    left = array**2 - shared
    return NoiseParts(math.sqrt(max(left, 0.0)), math.sqrt(max(adc**2 + min(left, 0.0), 0.0)))


class Noise(Model):
    """Temporal noise, in LSB at R = 1: total before rounding, and its two parts where they could be told apart.

    `sigma_slow_lsb` is the part that a column keeps over the repeats of an MVM, `sigma_common_lsb` the part that all
    columns of a pass share. Both are parts of the total: its variance is the sum of theirs and of what is drawn anew at
    every conversion. None where the measurements do not tell them; 0 where they tell that there is none.
    """

    base_nulls = frozenset({"sigma_array_lsb", "sigma_adc_lsb"})

    sigma_lsb: Estimate
    sigma_array_lsb: Estimate | None = None
    sigma_adc_lsb: Estimate | None = None
    sigma_slow_lsb: Estimate | None = None
    sigma_common_lsb: Estimate | None = None

    @property
    def before_and_after(self) -> tuple[float, float]:
        """Noise before the range and in the converter, LSB; what cannot be told apart counts as before the range."""
        if self.sigma_array_lsb is None or self.sigma_adc_lsb is None:
            return self.sigma_lsb.value, 0.0
        return self.sigma_array_lsb.value, self.sigma_adc_lsb.value

    @property
    def shared(self) -> tuple[float, float]:
        """Slow and common noise, LSB; 0 where the file does not tell."""
        slow, common = self.sigma_slow_lsb, self.sigma_common_lsb
        return slow.value if slow else 0.0, common.value if common else 0.0


class RangeNoise(Model):
    """Total noise at one reference range, in LSB of that range, fitted on its own."""

    range: Annotated[float, Field(gt=0, le=1)]
    sigma_lsb: Estimate
    n: Count
    clipped_fraction: Fraction
