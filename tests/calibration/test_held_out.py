"""Half of a file predicts the other half: bias, variance, and covariance of columns and of repeats.

The chip is drawn here, with numpy alone and none of the package's formulas, and on purpose not quite as the fit has it:
curves of single columns, a cubic INL, noise that differs from column to column. That the prediction holds says that fit
and file are consistent; nothing here was silicon.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import calibrated

from imctrain.calibration.reading.setup import MeasurementSetup

COLUMNS, REPEATS, INPUTS = 16, 4, 1200
FAST, SLOW, COMMON = 0.6, 0.45, 0.35


def measured(seed=3):
    """codes [INPUTS, REPEATS, COLUMNS] and inputs [INPUTS] of an 8-bit converter a column."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.93, 0.93, INPUTS)
    slope = 0.94 + 0.012 * rng.standard_normal(COLUMNS)
    zero = -0.4 + 0.6 * rng.standard_normal(COLUMNS)
    own = 0.1 * np.sin(5 * x[:, None] + rng.uniform(0, 6, COLUMNS))
    mean = slope * (128 * x + 1.2 * (x**3 - x))[:, None] + zero + own
    fast = FAST * rng.uniform(0.9, 1.1, COLUMNS) * rng.standard_normal((INPUTS, REPEATS, COLUMNS))
    slow = SLOW * rng.standard_normal((INPUTS, 1, COLUMNS))
    common = COMMON * rng.standard_normal((INPUTS, REPEATS, 1))
    volts = mean[:, None, :] + fast + slow + common
    return np.floor(volts + 0.5).clip(-128, 127).astype(int), x


def as_table(codes, x):
    """One row a conversion: a pass after the other, each input repeated."""
    _, repeats, columns = codes.shape
    number = np.arange(codes.size)
    return pl.DataFrame(
        {
            "column": number % columns,
            "ideal": np.repeat(x, repeats * columns),
            "code": codes.ravel(),
            "repeat": number // columns % repeats,
        }
    )


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """The calibration of the inputs measured first, and code - prediction of those measured last."""
    codes, x = measured()
    half = INPUTS // 2
    setup = MeasurementSetup(rows=64, levels=16, columns=COLUMNS)
    found, _ = calibrated(tmp_path_factory.mktemp("half"), as_table(codes[:half], x[:half]), setup, replicates=20)
    gain, offset = (np.array([getattr(c, name) for c in found.columns]) for name in ("gain", "offset_lsb"))
    later = x[half:]
    predicted = gain * (128 * later + np.interp(later, found.inl.v, found.inl.lsb))[:, None] + offset
    return found, codes[half:] - predicted[:, None, :]


def test_the_bias_of_every_column_is_predicted(halves):
    _, rest = halves
    # Slow noise makes 600 inputs, and not 2400 conversions, independent; both halves are uncertain.
    error = np.sqrt((SLOW**2 + (FAST**2 + COMMON**2) / REPEATS) / (INPUTS / 2))
    assert np.abs(rest.mean(axis=(0, 1))).max() < 4 * np.sqrt(2) * error


def test_the_variance_is_predicted(halves):
    found, rest = halves
    assert rest.var() == pytest.approx(found.noise.sigma_lsb.value**2 + 1 / 12, rel=0.05)
    assert found.noise.sigma_lsb.value == pytest.approx(np.sqrt(FAST**2 + SLOW**2 + COMMON**2), rel=0.04)


def test_the_covariance_of_columns_in_a_pass_is_predicted(halves):
    found, rest = halves
    centred = rest - rest.mean(axis=(0, 1))
    total = centred.sum(axis=2) ** 2 - (centred**2).sum(axis=2)
    covariance = total.mean() / (COLUMNS * (COLUMNS - 1))
    assert covariance == pytest.approx(found.noise.sigma_common_lsb.value**2, abs=0.025)
    assert found.noise.sigma_common_lsb.low <= COMMON <= found.noise.sigma_common_lsb.high


def test_the_covariance_of_repeats_is_predicted(halves):
    found, rest = halves
    centred = rest - rest.mean(axis=(0, 1))
    total = centred.sum(axis=1) ** 2 - (centred**2).sum(axis=1)
    covariance = total.mean() / (REPEATS * (REPEATS - 1))
    assert covariance == pytest.approx(found.noise.sigma_slow_lsb.value**2, abs=0.03)
    assert found.noise.sigma_slow_lsb.low - 0.02 <= SLOW <= found.noise.sigma_slow_lsb.high + 0.02


def test_the_mean_of_repeats_is_as_uncertain_as_predicted(halves):
    """What the two parts are for: four repeats would lower the variance to a quarter, and do not."""
    found, rest = halves
    parts = found.noise.sigma_slow_lsb.value**2
    fast = found.noise.sigma_lsb.value**2 - parts + 1 / 12
    mean = (rest - rest.mean(axis=(0, 1))).mean(axis=1)
    assert mean.var() == pytest.approx(parts + fast / REPEATS, rel=0.1)
    assert mean.var() > 1.5 * (found.noise.sigma_lsb.value**2 + 1 / 12) / REPEATS
