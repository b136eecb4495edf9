"""Temporal noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from imctrain.calibration.schema.base import Count, Estimate, Fraction, Model


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


class RangeNoise(Model):
    """Total noise at one reference range, in LSB of that range, fitted on its own."""

    range: Annotated[float, Field(gt=0, le=1)]
    sigma_lsb: Estimate
    n: Count
    clipped_fraction: Fraction
