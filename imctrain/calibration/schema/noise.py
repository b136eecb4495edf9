"""Temporal noise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from imctrain.calibration.schema.base import Count, Estimate, Fraction, Model


class Noise(Model):
    """Temporal noise, in LSB at R = 1: total before rounding, and its two parts where they could be told apart."""

    base_nulls = frozenset({"sigma_array_lsb", "sigma_adc_lsb"})

    sigma_lsb: Estimate
    sigma_array_lsb: Estimate | None = None
    sigma_adc_lsb: Estimate | None = None


class RangeNoise(Model):
    """Total noise at one reference range, in LSB of that range, fitted on its own."""

    range: Annotated[float, Field(gt=0, le=1)]
    sigma_lsb: Estimate
    n: Count
    clipped_fraction: Fraction
