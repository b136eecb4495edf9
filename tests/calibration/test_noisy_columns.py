"""Noise of single columns that are noisier than the rest, of few rows, and of inputs that never meet a threshold."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import Chip, calibrated


def measured(sigmas, rows, seed=0, levels=None):
    """A chip whose columns have these sigmas, in LSB."""
    chip = Chip(columns=len(sigmas), array=0.0, seed=seed)
    rng = np.random.default_rng([seed, 7])
    share = rng.uniform(-1, 1, rows) if levels is None else rng.choice(np.linspace(-1, 1, levels), rows)
    v, column = np.round(share, 6), rng.integers(0, len(sigmas), rows)
    volts = chip.gain[column] * v * 128 + chip.offset[column] + np.asarray(sigmas)[column] * rng.standard_normal(rows)
    code = np.clip(np.round(volts), -128, 127).astype(int)
    return chip, pl.DataFrame({"column": column, "ideal": v, "code": code})


@pytest.mark.parametrize("noisy", [1.1, 1.5, 4.0])
def test_a_noisier_column_has_its_own_noise_with_its_own_interval(tmp_path, noisy):
    sigmas = [0.6] * 9 + [noisy]
    chip, table = measured(sigmas, 30_000)
    found, _ = calibrated(tmp_path, table, chip.setup)
    last = found.columns[-1]
    assert last.sigma_lsb == pytest.approx(noisy, rel=0.05)
    low, high = last.sigma_ci_lsb
    # A Gaussian's sigma from n values is known to sigma / sqrt(2 n); 95 % is 1.96 of it to either side.
    assert (high - low) / noisy == pytest.approx(2 * 1.96 / np.sqrt(2 * 3000), rel=0.35)
    assert found.noise.sigma_lsb.value == pytest.approx(0.6, rel=0.02)
    # Its gain and offset are as uncertain as its noise makes them, not as that of the others would.
    others = np.mean([c.offset_ci_lsb[1] - c.offset_ci_lsb[0] for c in found.columns[:-1]])
    assert (last.offset_ci_lsb[1] - last.offset_ci_lsb[0]) / others == pytest.approx(noisy / 0.65, rel=0.35)


def test_intervals_of_unequal_columns_cover(tmp_path):
    sigmas = np.exp(np.random.default_rng(5).normal(np.log(0.8), 0.6, 40))
    chip, table = measured(sigmas, 80_000, seed=3)
    found, _ = calibrated(tmp_path, table, chip.setup)
    covered = [c.sigma_ci_lsb[0] <= sigma <= c.sigma_ci_lsb[1] for c, sigma in zip(found.columns, sigmas, strict=True)]
    # 33 of 40 or more, where each covers with 95 %: chance leaves it once in 700 times.
    assert np.mean(covered) > 0.8
    offset = [
        c.offset_ci_lsb[0] <= true <= c.offset_ci_lsb[1] for c, true in zip(found.columns, chip.offset, strict=True)
    ]
    assert np.mean(offset) > 0.8


@pytest.mark.parametrize("rows", [60, 100])
def test_few_rows_do_not_pretend_to_be_noisier(tmp_path, rows):
    """A curve that a penalty flattens has not taken the freedom of its knots."""
    ratios = []
    for seed in range(8):
        chip, table = measured([0.6] * 4, rows, seed)
        found, _ = calibrated(tmp_path, table, chip.setup)
        ratios.append(found.noise.sigma_lsb.value / 0.6)
    # A sigma of 60 values is known to 9 %, with rounding to 12 %: the mean of eight to 4 %.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)


def test_codes_that_never_change_do_not_say_that_all_is_known(tmp_path):
    """Five inputs and little noise: where no input is near a threshold, a column's figures are open within a code."""
    chip, table = measured([0.05] * 12, 12_000, levels=5)
    found, _ = calibrated(tmp_path, table, chip.setup)
    for column, gain, offset in zip(found.columns, chip.gain, chip.offset, strict=True):
        assert column.gain_ci[1] > column.gain_ci[0]
        assert column.offset_ci_lsb[1] > column.offset_ci_lsb[0]
        assert abs(column.offset_lsb - offset) < 1.0
        assert abs(column.gain - gain) < 0.02
    # Some of these columns meet no threshold.
    codes = table.group_by("column", "ideal").agg(pl.col("code").n_unique())
    silent = set(codes["column"]) - set(codes.filter(pl.col("code") > 1)["column"])
    assert silent
    for column in silent:
        low, high = found.columns[column].offset_ci_lsb
        assert 0.5 <= high - low <= 1.0
        low, high = found.columns[column].sigma_ci_lsb
        assert low < 0.05 < high
