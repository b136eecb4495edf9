"""A calibration with dies, their spread and slopes, for tests of what changes from die to die."""

from __future__ import annotations

import numpy as np

from imctrain.calibration import Calibration
from imctrain.calibration.schema import (
    Array,
    Column,
    Dependence,
    Die,
    DieSpread,
    Estimate,
    Noise,
    SignedEstimate,
    Spread,
)

COLUMNS = 32


def exactly(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def slopes(reference: float, lowest: float, highest: float, gain: float, offset: float, sigma: float) -> Dependence:
    parts = (SignedEstimate(value=x, low=x, high=x) for x in (gain, offset, sigma))
    names = ("gain_per_unit", "offset_lsb_per_unit", "sigma_per_unit")
    return Dependence(reference=reference, lowest=lowest, highest=highest, **dict(zip(names, parts, strict=True)))


TEMPERATURE = slopes(25.0, -40.0, 85.0, -4e-4, 0.02, 0.003)
SUPPLY = slopes(0.8, 0.72, 0.88, 0.5, -3.0, -2.0)


def die(name: str, gain: float, offset: float, sigma: float) -> Die:
    return Die(
        die=name, columns=COLUMNS, n=9, gain_mean=gain, gain_std=0.02, offset_mean_lsb=offset, offset_std_lsb=0.4,
        sigma_lsb=exactly(sigma),
    )  # fmt: skip


def chip(**changes: object) -> Calibration:
    """Die A has its columns listed, B has means alone; sigma 0.5 and 0.4 LSB before and after the range."""
    rng = np.random.default_rng(11)
    sigma = 0.6 * np.exp(0.3 * rng.standard_normal(COLUMNS))
    gain, offset = 0.95 + 0.02 * rng.standard_normal(COLUMNS), 0.3 + 0.4 * rng.standard_normal(COLUMNS)
    fields: dict[str, object] = {
        "name": "measured-in-part",
        "provenance": "assumed",
        "array": Array(columns=COLUMNS),
        "noise": Noise(
            sigma_lsb=exactly(float(np.hypot(0.5, 0.4))), sigma_array_lsb=exactly(0.5), sigma_adc_lsb=exactly(0.4)
        ),
        "columns": tuple(
            Column(column=k, gain=gain[k], offset_lsb=offset[k], sigma_lsb=sigma[k], n=10**6) for k in range(COLUMNS)
        ),
        "spread": Spread(gain_std=0.02, offset_std_lsb=0.4),
        "temperature": TEMPERATURE,
        "supply": SUPPLY,
        "dies": (die("A", float(gain.mean()), float(offset.mean()), 0.6), die("B", 1.02, -0.8, 0.8)),
        "die_spread": DieSpread(gain_std=0.03, offset_std_lsb=0.6, sigma_std_lsb=0.1),
    }
    return Calibration(**(fields | changes))
