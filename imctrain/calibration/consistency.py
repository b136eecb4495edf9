"""What the schema cannot say of a calibration: figures that contradict each other."""

from __future__ import annotations

import math

from imctrain.calibration.schema import Calibration

TOLERANCE = 0.05


def inconsistencies(c: Calibration) -> list[str]:
    """Contradictions in a calibration, each with the way out; empty if there are none."""
    found = []
    noise = c.noise
    if (noise.sigma_array_lsb is None) != (noise.sigma_adc_lsb is None):
        found.append("noise: one of sigma_array_lsb and sigma_adc_lsb is null: give both, or neither")
    if noise.sigma_array_lsb is not None and noise.sigma_adc_lsb is not None:
        total = math.hypot(noise.sigma_array_lsb.value, noise.sigma_adc_lsb.value)
        if abs(total - noise.sigma_lsb.value) > TOLERANCE * max(total, noise.sigma_lsb.value) + 0.01:
            found.append(
                f"noise: sigma_array_lsb and sigma_adc_lsb make {total:.3g} LSB, sigma_lsb is "
                f"{noise.sigma_lsb.value:.3g}: the total is the root of the sum of their squares"
            )
    lowest = -1.0 if c.adc.polarity == "bipolar" else 0.0
    outside = [v for v in c.inl.v if not lowest - 1e-6 <= v <= 1.0 + 1e-6]
    if outside:
        found.append(f"inl: knot v = {outside[0]:g} is outside {lowest:g}..1 of a {c.adc.polarity} converter")
    span = 2**c.adc.bits
    worst = max((abs(x) for x in c.inl.lsb), default=0.0)
    if worst > span / 4:
        found.append(f"inl: {worst:g} LSB is more than a quarter of the converter's {span} codes: is it in LSB?")
    for column in c.columns:
        if abs(column.offset_lsb) > span:
            found.append(f"columns: offset {column.offset_lsb:g} LSB of column {column.column} is beyond the converter")
        if abs(column.gain) > 10:
            found.append(f"columns: gain {column.gain:g} of column {column.column}: 1 is nominal")
    return found
