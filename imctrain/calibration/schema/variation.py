"""What changes with temperature and supply, and from die to die."""

from __future__ import annotations

from imctrain.calibration.schema.base import Count, Estimate, Interval, Model, NonNegative, SignedEstimate


class Dependence(Model):
    """Change with temperature (unit: degree Celsius) or supply (unit: volt) about a reference.

    At `reference + x` the transfer is gain * (1 + x * gain_per_unit), offset_lsb + x * offset_lsb_per_unit, and the
    noise sigma * exp(x * sigma_per_unit).
    """

    reference: float
    lowest: float
    highest: float
    gain_per_unit: SignedEstimate
    offset_lsb_per_unit: SignedEstimate
    sigma_per_unit: SignedEstimate


class Die(Model):
    """One die of several: means and standard deviations over its columns."""

    die: str
    columns: Count
    n: Count
    gain_mean: float
    gain_std: NonNegative
    offset_mean_lsb: float
    offset_std_lsb: NonNegative
    sigma_lsb: Estimate
    gain_mean_ci: Interval | None = None
    offset_mean_ci_lsb: Interval | None = None


class DieSpread(Model):
    """Standard deviations of the dies' means; intervals are those of a Gaussian population of dies."""

    gain_std: NonNegative
    offset_std_lsb: NonNegative
    sigma_std_lsb: NonNegative
    gain_std_ci: Interval | None = None
    offset_std_ci_lsb: Interval | None = None
    sigma_std_ci_lsb: Interval | None = None
