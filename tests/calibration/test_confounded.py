"""What was changed together cannot be told apart: the file says so, and has no number for it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import Chip, calibrated

from imctrain.calibration.variation import lacks_spread

GAIN_SLOPE, OFFSET_SLOPE = 2e-4, 0.01
"""Of every chip here: relative, and LSB, a degree. Supply changes nothing, nor does the noise."""


def die(seed, temperatures=None, supplies=None, supply_of=None, rows=12_000, noise=1.0):
    """A chip of 8 columns, and its conversions at conditions drawn from lists; `supply_of` a temperature, in V."""
    chip = Chip(columns=8, array=0.6, gain_std=0.02, offset_std=0.3, seed=seed)

    def change(rng, rows):
        t = rng.choice(np.array(temperatures or [25.0]), rows)
        extra = {"temperature_c": t} if temperatures else {}
        if supplies:
            extra["vdd_v"] = rng.choice(np.array(supplies), rows)
        if supply_of:
            extra["vdd_v"] = supply_of(t)
        return extra, 1 + GAIN_SLOPE * (t - 25), OFFSET_SLOPE * (t - 25), noise

    return chip, chip.measure(rows, change=change)


def fitted(tmp_path, *dies):
    tables = [table.with_columns(die=pl.lit("ABC"[k])) for k, (_, table) in enumerate(dies)]
    table = pl.concat(tables) if len(tables) > 1 else dies[0][1]
    return calibrated(tmp_path, table, dies[0][0].setup, replicates=40)[0]


def notes(calibration, words="changed together"):
    return [note for note in calibration.fit.warnings if words in note]


def within_dies(dies, what):
    """The standard deviation of columns within dies, from the truth."""
    return np.sqrt(np.mean([getattr(chip, what).var(ddof=1) for chip, _ in dies]))


@pytest.mark.parametrize("temperatures", [(25.0, 85.0), (0.0, 25.0, 85.0)])
def test_dies_at_a_temperature_each_have_their_columns_and_neither_slopes_nor_a_spread(tmp_path, temperatures):
    dies = [die(k, [t]) for k, t in enumerate(temperatures)]
    found = fitted(tmp_path, *dies)
    assert found.temperature is None
    assert found.die_spread is None
    (note,) = notes(found)
    assert note.startswith(f"die and temperature were changed together (temperature_c {temperatures[0]:g} to 85)")
    assert "measure one die at two temperatures" in note
    assert found.spread.gain_std == pytest.approx(within_dies(dies, "gain"), rel=0.03)
    assert found.spread.offset_std_lsb == pytest.approx(within_dies(dies, "offset"), rel=0.12)
    low, high = found.spread.gain_std_ci
    assert 0.005 < low < high < 0.04
    for (chip, _), t, measured in zip(dies, temperatures, found.dies, strict=True):
        # Figures are those at the die's own temperature.
        assert measured.gain_mean == pytest.approx(chip.gain.mean() * (1 + GAIN_SLOPE * (t - 25)), abs=6e-4)
        assert measured.offset_mean_lsb == pytest.approx(chip.offset.mean() + OFFSET_SLOPE * (t - 25), abs=0.04)
        assert measured.gain_mean_ci[1] - measured.gain_mean_ci[0] < 2e-3
    for column in found.columns:
        assert column.gain_ci[1] - column.gain_ci[0] < 5e-3
    assert "its dies were not measured alike" in lacks_spread(found, 3)


def test_errors_that_columns_share_do_not_take_their_spread_away(tmp_path):
    """Two degrees within each die tell slopes, of which the dies' means 60 degrees away have large errors."""
    dies = [die(0, [24.0, 26.0], rows=3_000), die(1, [84.0, 86.0], rows=3_000)]
    found = fitted(tmp_path, *dies)
    assert found.temperature.gain_per_unit.low < GAIN_SLOPE < found.temperature.gain_per_unit.high
    assert found.dies[0].offset_mean_ci_lsb[1] - found.dies[0].offset_mean_ci_lsb[0] > 0.5
    assert found.spread.offset_std_lsb == pytest.approx(within_dies(dies, "offset"), rel=0.25)


def test_temperature_has_what_supply_did_with_it(tmp_path):
    chip = die(0, [-40.0, 25.0, 85.0], supply_of=lambda t: np.round(0.8 + 0.001 * t, 3))
    found = fitted(tmp_path, chip)
    assert found.supply is None
    t = found.temperature
    assert t.gain_per_unit.value == pytest.approx(GAIN_SLOPE, rel=0.05)
    assert t.offset_lsb_per_unit.value == pytest.approx(OFFSET_SLOPE, rel=0.1)
    assert abs(t.sigma_per_unit.value) < 1e-3
    (note,) = notes(found)
    assert note.startswith("temperature and supply were changed together (vdd_v 0.76 to 0.88)")
    assert "`temperature` has what both do" in note


@pytest.mark.slow
def test_dies_at_a_supply_each_keep_their_slopes_with_temperature(tmp_path):
    found = fitted(tmp_path, die(0, [0.0, 85.0], [0.8]), die(1, [0.0, 85.0], [0.9]))
    assert found.temperature.gain_per_unit.value == pytest.approx(GAIN_SLOPE, rel=0.05)
    assert found.supply is None
    assert found.die_spread is None
    (note,) = notes(found)
    assert note.startswith("die and supply were changed together (vdd_v 0.8 to 0.9)")


@pytest.mark.slow
def test_both_conditions_with_the_die_are_one_note(tmp_path):
    found = fitted(tmp_path, die(0, [0.0], [0.8]), die(1, [85.0], [0.9]))
    assert (found.temperature, found.supply, found.die_spread) == (None, None, None)
    (note,) = notes(found)
    assert note.startswith("die, temperature and supply were changed together")
    assert note.endswith("measure one die at two temperatures, then at two supplies")


@pytest.mark.slow
def test_supplies_that_follow_temperature_and_differ_from_die_to_die_leave_no_spread_of_dies(tmp_path):
    dies = [die(k, [-40.0, 25.0, 85.0], supply_of=lambda t, k=k: 0.8 + 0.1 * k + 0.001 * t) for k in range(2)]
    found = fitted(tmp_path, *dies)
    assert found.temperature.gain_per_unit.value == pytest.approx(GAIN_SLOPE, rel=0.05)
    assert (found.supply, found.die_spread) == (None, None)
    (note,) = notes(found)
    assert "no die_spread" in note


@pytest.mark.slow
def test_columns_at_a_temperature_each_are_told(tmp_path):
    chip, table = die(0)
    found = fitted(tmp_path, (chip, table.with_columns(temperature_c=20.0 + 10.0 * pl.col("column"))))
    assert found.temperature is None
    (note,) = notes(found)
    assert note.startswith("column and temperature were changed together (temperature_c 20 to 90)")
    assert np.abs(np.array([c.gain for c in found.columns]) - chip.gain).max() < 2e-3


@pytest.mark.slow
def test_dies_a_degree_apart_are_compared(tmp_path):
    dies = [die(0, [24.0]), die(1, [26.0])]
    found = fitted(tmp_path, *dies)
    assert found.temperature is None
    means = [chip.gain.mean() for chip, _ in dies]
    assert found.die_spread.gain_std == pytest.approx(np.std(means, ddof=1), abs=5e-4)
    assert "compared as if it were one" in notes(found)[0]


@pytest.mark.slow
def test_one_die_at_many_temperatures_tells_the_slopes_of_all(tmp_path):
    dies = [die(0, [25.0]), die(1, [0.0, 25.0, 85.0])]
    found = fitted(tmp_path, *dies)
    assert found.temperature.gain_per_unit.value == pytest.approx(GAIN_SLOPE, rel=0.1)
    assert found.die_spread is not None
    assert not notes(found)


@pytest.mark.slow
def test_a_slope_of_which_nothing_is_known_is_0_and_told(tmp_path):
    """Supply follows temperature to 15 mV, and few conversions were made: the noise could double, and gain not."""

    def nearly(t):
        return 0.8 + 0.001 * t + 0.015 * np.random.default_rng(3).standard_normal(t.size)

    found = fitted(tmp_path, die(0, [-40.0, 25.0, 85.0], supply_of=nearly, rows=600))
    told = found.supply.sigma_per_unit
    assert told.value == 0.0
    assert told.low < 0 < told.high
    (note,) = [note for note in notes(found, "is known so little") if "supply" in note]
    assert note.startswith("the change of noise with supply is known so little that it is given as 0")


def test_a_noisier_die_at_other_temperatures_is_no_slope_of_the_noise(tmp_path):
    dies = [die(0, [25.0]), die(1, [25.0, 85.0], noise=1.5)]
    found = fitted(tmp_path, *dies)
    assert abs(found.temperature.sigma_per_unit.value) < 5e-4
    assert found.temperature.sigma_per_unit.low < 0 < found.temperature.sigma_per_unit.high
    sigma = {measured.die: measured.sigma_lsb.value for measured in found.dies}
    assert sigma["A"] == pytest.approx(0.6, rel=0.02)
    assert sigma["B"] == pytest.approx(0.9, rel=0.02)
    assert np.mean([column.sigma_lsb for column in found.columns]) == pytest.approx(0.6, rel=0.02)
