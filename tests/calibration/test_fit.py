"""The fit finds the parameters of known chips, where plain statistics of codes would not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import Chip, calibrated
from tiers import slow

from imctrain.calibration.fit.bootstrap import bootstrap
from imctrain.calibration.fit.chip_fit import fit_chip
from imctrain.calibration.fit.likelihood import cell_scores
from imctrain.calibration.reading.reducer import Reducer


def listed(calibration, what):
    return np.array([getattr(column, what) for column in calibration.columns])


def within(estimate, truth):
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("sigma", [slow(0.15), 0.3, slow(0.5), slow(1.0), slow(3.0)])
def test_noise_gain_and_offset_are_recovered(tmp_path, sigma):
    chip = Chip(columns=8, array=sigma, inl=0.5)
    found, _ = calibrated(tmp_path, chip.measure(150_000), chip.setup)
    assert found.noise.sigma_lsb.value == pytest.approx(sigma, rel=0.05)
    # Four standard errors of a line through a column's conversions, their rounding included.
    offset_error = 4 * np.hypot(sigma, 0.3) / np.sqrt(150_000 / 8)
    assert np.abs(listed(found, "gain") - chip.gain).max() < max(2e-4, 2 * offset_error / 128)
    assert np.abs(listed(found, "offset_lsb") - chip.offset).max() < max(0.02, 1.5 * offset_error)
    knots, values = np.array(found.inl.v), np.array(found.inl.lsb)
    assert np.abs(values - chip.inl_at(knots)).max() < max(0.03, 0.05 * sigma)
    assert found.fit.warnings[0].startswith("one reference range only")
    assert found.noise.sigma_array_lsb is None


@pytest.mark.slow
def test_plain_statistics_are_wrong_where_the_fit_is_right(tmp_path):
    """The deviation of codes at a fixed input is no measure of noise at 0.2 LSB; taking 1/12 off it makes it worse."""
    chip = Chip(columns=8, array=0.2)
    table = chip.measure(120_000, levels=65)
    inner = table.filter(pl.col("code").abs() < 120)
    about = inner.with_columns(pl.col("code") - pl.col("code").mean().over("column", "ideal"))
    plain = about.select(pl.col("code").std()).item()
    assert abs(plain / 0.2 - 1) > 0.2
    assert not abs(np.sqrt(max(plain**2 - 1 / 12, 0)) / 0.2 - 1) < 0.2
    found, _ = calibrated(tmp_path, table, chip.setup)
    assert found.noise.sigma_lsb.value == pytest.approx(0.2, rel=0.02)


@pytest.mark.slow
def test_clipped_codes_do_not_bend_the_gain(tmp_path):
    """Half the conversions clip; a regression on their codes would be off by tens of per cent."""
    chip = Chip(columns=4, array=1.0)
    table = chip.measure(80_000).with_columns((pl.col("ideal")).alias("ideal"), pl.lit(0.5).alias("range"))
    low, high = -128, 127
    code = (table["ideal"] * 256 * pl.Series(chip.gain)[table["column"]]).to_numpy()
    code = code + 2 * pl.Series(chip.offset)[table["column"]].to_numpy()
    noise = np.random.default_rng(5).standard_normal(code.size)
    table = table.with_columns(code=pl.Series(np.clip(np.round(code + noise), low, high).astype(int)))
    assert (table["code"].is_in([low, high])).mean() > 0.45
    found, _ = calibrated(tmp_path, table, chip.setup)
    assert np.abs(listed(found, "gain") - chip.gain).max() < 1e-3
    assert np.abs(listed(found, "offset_lsb") - chip.offset).max() < 0.04
    assert found.fit.clipped_fraction > 0.45
    assert any("clipped" in warning for warning in found.fit.warnings)


@pytest.mark.slow
def test_two_ranges_tell_the_parts_of_the_noise_apart(tmp_path):
    chip = Chip(array=0.8, adc=0.6)
    found, _ = calibrated(tmp_path, chip.measure(150_000, ranges=(1.0, 0.25)), chip.setup)
    noise = found.noise
    assert noise.sigma_array_lsb.value == pytest.approx(0.8, rel=0.02)
    assert noise.sigma_adc_lsb.value == pytest.approx(0.6, rel=0.04)
    assert noise.sigma_lsb.value == pytest.approx(1.0, rel=0.02)
    quarter = next(r for r in found.ranges if r.range == 0.25)
    assert quarter.sigma_lsb.value == pytest.approx(np.hypot(0.8 / 0.25, 0.6), rel=0.02)
    assert not found.fit.warnings


@pytest.mark.slow
@pytest.mark.parametrize(("array", "adc"), [(0.5, 0.0), slow(0.0, 0.5)])
def test_a_part_that_is_not_there_is_found_to_be_small(tmp_path, array, adc):
    chip = Chip(array=array, adc=adc)
    found, _ = calibrated(tmp_path, chip.measure(100_000, ranges=(1.0, 0.5)), chip.setup)
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.03)
    absent = found.noise.sigma_adc_lsb if adc == 0 else found.noise.sigma_array_lsb
    assert absent.low < 0.05
    assert absent.value < 0.15


@pytest.mark.slow
def test_a_few_per_cent_of_bad_rows_change_nothing(tmp_path):
    chip = Chip(array=0.5)
    clean, _ = calibrated(tmp_path, chip.measure(100_000), chip.setup)
    found, _ = calibrated(tmp_path, chip.measure(100_000, bad=0.04), chip.setup)
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.03)
    assert np.abs(listed(found, "gain") - listed(clean, "gain")).max() < 4e-4
    assert found.fit.rejected_rows == pytest.approx(0.04 * 100_000, rel=0.1)
    assert found.fit.tails.bad_row_fraction == pytest.approx(0.04, rel=0.1)
    low, high = found.fit.tails.bad_row_fraction_ci
    assert 0.037 < low < 0.04 < high < 0.043
    assert clean.fit.tails.bad_row_fraction_ci[1] < 1e-3
    assert any("unrelated to their input" in warning for warning in found.fit.warnings)
    assert clean.fit.rejected_rows == 0


@pytest.mark.slow
def test_stuck_rows_are_bad_rows_too(tmp_path):
    chip = Chip(array=0.5)
    table = chip.measure(100_000)
    stuck = pl.Series(np.random.default_rng(1).random(100_000) < 0.03)
    table = table.with_columns(code=pl.when(stuck).then(-128).otherwise(pl.col("code")))
    found, _ = calibrated(tmp_path, table, chip.setup)
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.03)
    assert np.abs(listed(found, "gain") - chip.gain).max() < 1e-3


def test_no_noise_is_reported_as_none(tmp_path):
    chip = Chip(array=0.0)
    found, _ = calibrated(tmp_path, chip.measure(50_000), chip.setup)
    assert found.noise.sigma_lsb.value == 0.0
    assert found.noise.sigma_lsb.high <= 0.05
    assert any("below what codes resolve" in warning for warning in found.fit.warnings)
    assert all(column.sigma_lsb == 0.0 for column in found.columns)


@pytest.mark.slow
def test_heavy_tails_are_reported_and_gaussian_ones_are_not(tmp_path):
    gaussian, _ = calibrated(tmp_path, Chip(array=0.8).measure(100_000), Chip().setup)
    heavy, _ = calibrated(tmp_path, Chip(array=0.8, tails=6).measure(100_000), Chip().setup)
    low, high = gaussian.fit.residual_kurtosis_ci
    assert low - 0.05 < 3 < high + 0.05
    assert heavy.fit.residual_kurtosis_ci[0] > 3.5
    assert heavy.fit.tails.beyond_4_sigma > 10 * heavy.fit.tails.beyond_4_sigma_gaussian
    assert any("heavier tails" in warning for warning in heavy.fit.warnings)
    assert not any("tails" in warning for warning in gaussian.fit.warnings)


@pytest.mark.slow
def test_outlier_and_dead_columns_are_named_and_left_out_of_the_spread(tmp_path):
    chip = Chip(columns=32, array=0.5)
    chip.gain[5], chip.offset[9] = 1.15, 12.0
    table = chip.measure(150_000)
    noisy = (pl.col("column") == 20) & (pl.col("code").abs() < 100)
    extra = pl.Series(np.round(4 * np.random.default_rng(2).standard_normal(150_000)).astype(int))
    table = table.with_columns(code=pl.when(noisy).then(pl.col("code") + extra).otherwise(pl.col("code")))
    table = table.with_columns(code=pl.when(pl.col("column") == 3).then(17).otherwise(pl.col("code")))
    found, _ = calibrated(tmp_path, table, chip.setup)
    assert found.fit.outlier_columns == (5, 9, 20)
    assert found.fit.dead_columns == (3,)
    assert found.columns[3].gain == 0.0
    assert found.columns[3].offset_lsb == 17.0
    assert found.columns[5].gain == pytest.approx(1.15, abs=2e-3)
    assert found.columns[20].sigma_lsb > 3
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.02)
    others = np.delete(chip.gain, [3, 5, 9, 20])
    assert found.spread.gain_std == pytest.approx(others.std(ddof=1), rel=0.05)
    assert any("columns 3 do not follow" in warning for warning in found.fit.warnings)


@pytest.mark.slow
def test_curves_of_single_columns_are_not_taken_for_noise(tmp_path):
    chip = Chip(array=0.4, curves=0.3)
    found, _ = calibrated(tmp_path, chip.measure(150_000), chip.setup)
    assert found.inl.column_rms_lsb.value == pytest.approx(0.3, rel=0.06)
    assert found.noise.sigma_lsb.value == pytest.approx(0.4, rel=0.03)
    plain, _ = calibrated(tmp_path, Chip(array=0.4).measure(150_000), chip.setup)
    assert plain.inl.column_rms_lsb.low == 0.0


@pytest.mark.slow
def test_temperature_and_supply(tmp_path):
    chip = Chip(array=0.5)

    def change(rng, rows):
        t, v = rng.choice([0.0, 25.0, 85.0], rows), rng.choice([0.8, 0.9, 1.0], rows)
        dt, dv = t - 40, v - 0.9
        noise = np.exp(0.004 * dt)
        return {"temperature_c": t, "vdd_v": v}, 1 + 2e-4 * dt, 0.02 * dt + 5.0 * dv, noise

    found, _ = calibrated(tmp_path, chip.measure(200_000, change=change), chip.setup)
    t, v = found.temperature, found.supply
    assert within(t.gain_per_unit, 2e-4) or t.gain_per_unit.value == pytest.approx(2e-4, rel=0.03)
    assert t.offset_lsb_per_unit.value == pytest.approx(0.02, rel=0.03)
    assert t.sigma_per_unit.value == pytest.approx(0.004, rel=0.1)
    assert v.offset_lsb_per_unit.value == pytest.approx(5.0, rel=0.02)
    assert v.gain_per_unit.low < 0 < v.gain_per_unit.high
    at_reference = 0.5 * np.exp(0.004 * (t.reference - 40))
    assert found.noise.sigma_lsb.value == pytest.approx(at_reference, rel=0.03)


@pytest.mark.slow
def test_one_temperature_says_nothing_about_the_dependence(tmp_path):
    table = Chip().measure(30_000).with_columns(temperature_c=pl.lit(25.0))
    found, _ = calibrated(tmp_path, table, Chip().setup)
    assert found.temperature is None
    assert any("temperature_c is 25 throughout" in warning for warning in found.fit.warnings)


@pytest.mark.slow
def test_dies(tmp_path):
    chips = [Chip(seed=seed) for seed in range(4)]
    for shift, chip in zip((0.0, 0.02, -0.03, 0.01), chips, strict=True):
        chip.gain += shift
    tables = [chip.measure(60_000).with_columns(die=pl.lit(f"w{k}")) for k, chip in enumerate(chips)]
    mixed = pl.concat(tables).sample(fraction=1.0, shuffle=True, seed=0)
    found, _ = calibrated(tmp_path, mixed, chips[0].setup, die="w2")
    assert {die.die for die in found.dies} == {"w0", "w1", "w2", "w3"}
    means = {die.die: die.gain_mean for die in found.dies}
    for k, chip in enumerate(chips):
        assert means[f"w{k}"] == pytest.approx(chip.gain.mean(), abs=2e-4)
    assert found.die_spread.gain_std == pytest.approx(np.std([c.gain.mean() for c in chips], ddof=1), rel=0.02)
    for die in found.dies:
        assert die.gain_mean_ci[0] < die.gain_mean < die.gain_mean_ci[1] < die.gain_mean + 5e-4
    # Four dies tell little of a population: from 0.57 to 3.7 times what they spread.
    low, high = found.die_spread.gain_std_ci
    assert low / found.die_spread.gain_std == pytest.approx(0.566, abs=0.001)
    assert high / found.die_spread.gain_std == pytest.approx(3.729, abs=0.001)
    assert np.abs(listed(found, "gain") - chips[2].gain).max() < 1e-3
    # The spread is that of columns within a die.
    pooled = np.sqrt(np.mean([c.gain.var(ddof=1) for c in chips]))
    assert found.spread.gain_std == pytest.approx(pooled, rel=0.03)
    assert any("of 4 dies" in warning for warning in found.fit.warnings)


@pytest.mark.slow
def test_unipolar_offset_binary_and_other_resolutions(tmp_path):
    unipolar = Chip(unipolar=True, bits=6, array=0.3, inl=0.0)
    found, _ = calibrated(tmp_path, unipolar.measure(60_000), unipolar.setup)
    assert found.adc.polarity == "unipolar"
    assert found.noise.sigma_lsb.value == pytest.approx(0.3, rel=0.03)
    assert np.abs(listed(found, "gain") - unipolar.gain).max() < 2e-3
    ten = Chip(bits=10, array=2.0)
    table = ten.measure(60_000).with_columns(code=pl.col("code") + 512)
    setup = type(ten.setup)(bits=10, zero_code=512, columns=16)
    found, _ = calibrated(tmp_path, table, setup)
    assert found.noise.sigma_lsb.value == pytest.approx(2.0, rel=0.03)
    assert np.abs(listed(found, "offset_lsb") - ten.offset).max() < 0.15


@pytest.mark.slow
def test_few_distinct_inputs_give_no_inl_but_everything_else(tmp_path):
    chip = Chip()
    found, _ = calibrated(tmp_path, chip.measure(60_000, levels=5), chip.setup)
    assert found.inl.v == ()
    assert any("no INL was fitted" in warning for warning in found.fit.warnings)
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("levels", [5, slow(None)])
def test_residuals_are_distributed_as_the_fit_expects(tmp_path, levels):
    """Whatever the inputs: with few of them residuals are a comb, not a bell."""
    chip = Chip(columns=2, array=0.6)
    _, evidence = calibrated(tmp_path, chip.measure(60_000, levels=levels), chip.setup)
    found = evidence.residuals
    assert found.gaussian.sum() == pytest.approx(found.counts.sum(), rel=1e-3)
    likely = found.gaussian > 30
    chi2 = np.mean((found.counts - found.gaussian)[likely] ** 2 / found.gaussian[likely])
    assert chi2 < 2.0
    assert np.count_nonzero(found.gaussian < 0.01 * found.gaussian.max()) > 0


@pytest.mark.slow
def test_merging_bins_in_small_memory_keeps_the_answer(tmp_path):
    chip = Chip(columns=4, array=0.25, inl=0.3)
    table = chip.measure(150_000)
    whole, _ = calibrated(tmp_path, table, chip.setup)
    merged, evidence = calibrated(tmp_path, table, chip.setup, max_cells=20_000)
    assert evidence.fit.transfer.histogram.code.size <= 10_000
    assert evidence.fit.transfer.histogram.rows == 150_000
    assert merged.noise.sigma_lsb.value == pytest.approx(whole.noise.sigma_lsb.value, rel=0.02)
    assert np.abs(listed(merged, "gain") - listed(whole, "gain")).max() < 2e-4


@pytest.mark.slow
def test_more_settings_than_memory_holds_are_fitted_to_some_of_the_rows_and_say_so(tmp_path):
    chip = Chip(columns=32, array=0.3)
    found, evidence = calibrated(tmp_path, chip.measure(200_000), chip.setup, max_cells=60_000)
    assert evidence.fit.transfer.histogram.share < 1
    assert sum(column.n for column in found.columns) == evidence.fit.transfer.histogram.rows < 150_000
    assert found.source.rows == 200_000
    assert any("conversions was used, drawn at random" in warning for warning in found.fit.warnings)
    assert found.noise.sigma_lsb.value == pytest.approx(0.3, rel=0.03)
    assert np.abs(listed(found, "gain") - chip.gain).max() < 1e-3


def test_derivatives_of_the_likelihood():
    code = np.arange(-8, 8)
    mean, sigma, bad = np.full(16, 1.3), np.full(16, 0.7), 1e-9
    step = 1e-5

    def loglik(mean, sigma):
        return cell_scores(code, mean, sigma, bad, -8, 7).loglik

    s = cell_scores(code, mean, sigma, bad, -8, 7)
    likely = s.weight > 0.999
    by_mean = (loglik(mean + step, sigma) - loglik(mean - step, sigma)) / (2 * step)
    by_log_sigma = (loglik(mean, sigma * np.exp(step)) - loglik(mean, sigma * np.exp(-step))) / (2 * step)
    second = (loglik(mean + 1e-3, sigma) - 2 * loglik(mean, sigma) + loglik(mean - 1e-3, sigma)) / 1e-6
    np.testing.assert_allclose(s.mean[likely], by_mean[likely], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(s.spread[likely], by_log_sigma[likely], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(s.curvature[likely], -second[likely], rtol=1e-3, atol=1e-4)
    assert np.exp(loglik(mean, sigma)).sum() == pytest.approx(1.0)


@pytest.mark.slow
def test_bootstrap_intervals_are_the_spread_of_repeated_measurements():
    """Standard errors of the bootstrap against forty measurements of one chip."""
    chip = Chip(columns=3, array=0.4, inl=0.2)

    def fitted(seed):
        reducer = Reducer(chip.setup)
        table = chip.measure(6_000, seed=seed).rename({"ideal": "v"}).with_columns(pl.lit(1.0).alias("range"))
        reducer.add(table.with_columns(pl.col("code").cast(pl.Int64)))
        return fit_chip(reducer.finish(), chip.setup, "rows")

    fits = [fitted(seed) for seed in range(40)]
    replicates = bootstrap(fits[0], 200)
    ratio_gain = replicates.gain.std(axis=0).mean() / np.std([f.parameters.gain for f in fits], axis=0).mean()
    ratio_offset = replicates.offset.std(axis=0).mean() / np.std([f.parameters.offset for f in fits], axis=0).mean()
    log_sigma = 0.5 * replicates.noise[:, 0] / fits[0].noise.array
    ratio_sigma = log_sigma.std() / np.std([np.log(f.noise.total) for f in fits])
    for ratio in (ratio_gain, ratio_offset, ratio_sigma):
        assert 0.7 < ratio < 1.45
