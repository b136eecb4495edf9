"""The figures of a calibration as words, for the terminal, the datasheet and comparisons."""

from __future__ import annotations

from imctrain.calibration.schema import Calibration, Dependence, Estimate, SignedEstimate
from imctrain.calibration.schema.typical import column_mean
from imctrain.calibration.summary.figure import Figure


def figures(c: Calibration) -> list[Figure]:
    """The figures that every calibration has, in the order of a datasheet."""
    found = [
        _estimate("noise before rounding, total", c.noise.sigma_lsb),
        _estimate("  before the reference range", c.noise.sigma_array_lsb),
        _estimate("  in the converter", c.noise.sigma_adc_lsb),
    ]
    for label, part in (("slow", c.noise.sigma_slow_lsb), ("common to columns", c.noise.sigma_common_lsb)):
        if part is not None:
            found.append(_estimate(f"  {label}", part))
    if c.columns:
        mean = column_mean(c)
        found.append(Figure("gain, mean of columns", "", mean.gain, digits=4))
        found.append(Figure("offset, mean of columns", "LSB", mean.offset_lsb))
    gain, spread = c.spread.gain_std_ci, c.spread
    percent = None if gain is None else (100.0 * gain[0], 100.0 * gain[1])
    found.append(Figure("gain, spread of columns", "%", 100.0 * spread.gain_std, percent))
    found.append(Figure("offset, spread of columns", "LSB", spread.offset_std_lsb, spread.offset_std_ci_lsb))
    found.append(Figure("INL, largest", "LSB", max((abs(x) for x in c.inl.lsb), default=0.0)))
    if c.inl.column_rms_lsb is not None:
        found.append(_estimate("INL of single columns, rms", c.inl.column_rms_lsb))
    if c.dnl is not None:
        if c.dnl.rms_lsb is not None:
            found.append(_estimate("DNL, rms of widths", c.dnl.rms_lsb))
        found.append(Figure("DNL, largest", "LSB", max(abs(width - 1.0) for width in c.dnl.width)))
    found.append(Figure("kurtosis of the noise", "", c.fit.residual_kurtosis, c.fit.residual_kurtosis_ci, digits=2))
    for name, unit, dependence in (("temperature", "K", c.temperature), ("supply", "V", c.supply)):
        if dependence is not None:
            found += _dependence(name, unit, dependence)
    if c.die_spread is not None:
        dies = c.die_spread
        percent = None if dies.gain_std_ci is None else (100.0 * dies.gain_std_ci[0], 100.0 * dies.gain_std_ci[1])
        found.append(Figure("gain, spread of dies", "%", 100.0 * dies.gain_std, percent))
        found.append(Figure("offset, spread of dies", "LSB", dies.offset_std_lsb, dies.offset_std_ci_lsb))
    return found


def _estimate(label: str, estimate: Estimate | None) -> Figure:
    if estimate is None:
        return Figure(label, "LSB", None)
    return Figure(label, "LSB", estimate.value, (estimate.low, estimate.high))


def _dependence(name: str, unit: str, d: Dependence) -> list[Figure]:
    def scaled(label: str, unit: str, x: SignedEstimate, factor: float) -> Figure:
        return Figure(label, unit, factor * x.value, (factor * x.low, factor * x.high), digits=4)

    return [
        scaled(f"gain against {name}", f"%/{unit}", d.gain_per_unit, 100.0),
        scaled(f"offset against {name}", f"LSB/{unit}", d.offset_lsb_per_unit, 1.0),
        scaled(f"noise against {name}", f"%/{unit}", d.sigma_per_unit, 100.0),
    ]
