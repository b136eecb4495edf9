"""What readings at a known input tell of a column's gain: formula, conversions, both paths and the reference."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import dot_site, hardware, integer_operands, integers, levels, run
from scipy import stats

from imctrain.errors import UserError
from imctrain.imc.chip.columns import column_errors, macro_errors, offset_converter
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.chip.gain_readings import column_multipliers, macro_multipliers
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError

COLUMNS, COUNT = 2000, 64
GAINS = ChipSpec(sigma_array_lsb=0.5, sigma_adc_lsb=0.3, gain_mean=0.9, gain_std=0.04, offset_std_lsb=0.8)


def readings(conv, gain, volts, v, reference, count, seed):
    """Mean of `count` conversions at input v, in LSB of the range, [columns]."""
    dots, total = jnp.full(len(gain), v, jnp.float32), np.zeros(len(gain))
    for key in jax.random.split(jax.random.key(seed), count):
        eps = jax.random.normal(key, (len(gain),))
        fixed = (jnp.asarray(part, jnp.float32) for part in (gain, volts))
        total += np.asarray(conv.clip(conv.round_code(dots, 1.0, reference, eps, *fixed)))
    return total / count


CASES = {
    "as calibrated": (AdcSpec(), GAINS),
    "smaller range": (AdcSpec(gain_input=0.2, gain_range=0.25), GAINS),
    "fewer bits": (AdcSpec(bits=6), GAINS.replace(sigma_array_lsb=2.0)),
    "unipolar": (AdcSpec(polarity="unipolar"), GAINS.replace(offset_mean_lsb=3.0)),
    "INL": (AdcSpec(), GAINS.replace(inl_v=(-1.0, 0.0, 0.5, 1.0), inl_lsb=(0.0, 0.4, 2.0, 0.0))),
}


@pytest.mark.parametrize("case", CASES)
def test_multipliers_are_those_of_readings_of_the_converter_in_use(case):
    """1/multiplier against the gain that conversions of the same columns tell: mean, spread and standard scores."""
    adc, chip = CASES[case]
    adc = adc.replace(gain_conversions=COUNT)
    hw = hardware(adc=adc, chip=chip, array=ArraySpec(columns=COLUMNS))
    gain, offset = macro_errors(1, hw)
    conv = offset_converter(hw)
    assert conv.unipolar == (case == "unipolar")
    lsb = adc.gain_range * conv.lsb_at_full_range
    found = 1.0 / macro_multipliers(1, hw)
    told = (gain, offset * chip.reference_lsb)
    high, low = (readings(conv, *told, v, adc.gain_range, COUNT, n) for n, v in enumerate((adc.gain_input, 0.0)))
    expected = (high - low) * lsb / adc.gain_input
    assert found.std() > 0
    # Columns are the same in both, so that the two differ by independent draws of equal spread.
    rest = found - expected
    assert np.mean(rest) == pytest.approx(0.0, abs=4.5 * np.std(rest) / np.sqrt(COLUMNS))
    assert np.std(found - gain) == pytest.approx(np.std(expected - gain), rel=0.08)
    if case == "INL":
        assert np.mean(found / gain) == pytest.approx(1 + 1.6 / 64, abs=2e-3)


def test_the_error_follows_from_the_noise_and_the_number_of_readings():
    """sqrt(2 (sigma^2 + 1/12) / n) LSB over 64 LSB of input: 4,096 columns tell a standard deviation to 1.1 %."""
    for count in (4, 64):
        hw = hardware(adc=AdcSpec(gain_conversions=count), chip=ChipSpec(sigma_array_lsb=0.6, gain_std=0.05))
        error = np.concatenate([1 / macro_multipliers(m, hw) - macro_errors(m, hw)[0] for m in range(16)])
        assert error.std() == pytest.approx(np.sqrt(2 * (0.36 + 1 / 12) / count) / 64, rel=0.05)
    small = hardware(
        adc=AdcSpec(gain_conversions=64, gain_input=0.1), chip=ChipSpec(sigma_array_lsb=0.6, gain_std=0.05)
    )
    error = np.concatenate([1 / macro_multipliers(m, small) - macro_errors(m, small)[0] for m in range(16)])
    assert error.std() == pytest.approx(np.sqrt(2 * (0.36 + 1 / 12) / 64) / 12.8, rel=0.05)


def test_every_column_keeps_its_draw_which_is_not_that_of_its_offset():
    hw = hardware(adc=AdcSpec(gain_conversions=4, offset_conversions=4), chip=GAINS)
    again = hw.replace(memory_mib=3)
    np.testing.assert_array_equal(macro_multipliers(3, hw), macro_multipliers(3, again))
    assert not np.array_equal(macro_multipliers(3, hw), macro_multipliers(3, hw.replace(chip_seed=1)))
    assert not np.array_equal(macro_multipliers(3, hw), macro_multipliers(2, hw))


def test_a_column_that_does_not_follow_its_input_is_left_alone():
    listed = (ColumnError(0, 0.0, 4.0), ColumnError(1, 0.4, 0.0), ColumnError(2, 2.5, 0.0), ColumnError(3, 0.8, 1.0))
    hw = hardware(adc=AdcSpec(gain_conversions=10**6), chip=ChipSpec(sigma_array_lsb=0.6, columns=listed))
    np.testing.assert_allclose(macro_multipliers(0, hw)[:4], [1, 1, 1, 1 / 0.8], rtol=1e-3)
    assert chip_of(hw.replace(adc=AdcSpec())).multiplier is None
    assert chip_of(hw.replace(chip=ChipSpec(sigma_array_lsb=0.6))).multiplier is None


def test_without_noise_the_exact_path_is_the_reference_to_the_bit():
    """Offsets and gains calibrated, three tiles: the integers of the slow reference, scaled by each column."""
    rng = np.random.default_rng(3)
    m, k, n = 5, 150, 6
    x, w = integer_operands(rng, (m, k), (k, n))
    adc = AdcSpec(gain_conversions=8, offset_conversions=8, polarity="bipolar", range_policy="fixed", range=0.5)
    chip = ChipSpec(gain_mean=0.9, gain_std=0.1, offset_std_lsb=0.7)
    hw = hardware(adc=adc, chip=chip, array=ArraySpec(rows=64, columns=16, macros=3))
    y, *_ = run(dot_site(m, k, n, hw), x, w, levels(rng, (m, n)))
    gain, offset, correction = (part.reshape(3, 4, n) for part in column_errors(0, "forward", 3, 4 * n, hw))
    multiplier = column_multipliers(0, "forward", 3, 4 * n, hw).reshape(3, 4, n)
    assert np.ptp(multiplier) > 0.1
    expected, _ = array_matmul(
        x, w, tiles=even_tiles(k, 64), rows=64, ranges=[0.5], gain=gain, offset=offset, correction=correction,
        multiplier=multiplier,
    )  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-3)


@pytest.mark.slow
def test_a_converter_that_resolves_integers_is_exact_again_after_calibration():
    """Gains of 0.9 to 1.1 and no noise: every reading is back at its integer, and so is the product."""
    rng = np.random.default_rng(4)
    x, w = integer_operands(rng, (5, 60), (60, 6))
    chip = ChipSpec(gain_mean=0.97, gain_std=0.01)
    array = ArraySpec(rows=64, columns=24, macros=2)
    plain, calibrated = (
        run(
            dot_site(5, 60, 6, hardware(adc=AdcSpec(bits=18, gain_conversions=n), chip=chip, array=array)),
            x, w, levels(rng, (5, 6)),
        )[0]
        for n in (0, 1)
    )  # fmt: skip
    assert np.abs(plain - x @ w).max() > 2
    np.testing.assert_array_equal(integers(calibrated), x @ w)


def samples(path, draws, key):
    """Output, d lhs, d rhs of one site whose offsets and gains are calibrated, [draws, ...] each, and its hardware."""
    rng = np.random.default_rng(5)
    x, w = integer_operands(rng, (4, 150), (150, 5))
    g = jnp.asarray(levels(rng, (4, 5)))
    adc = AdcSpec(gain_conversions=16, offset_conversions=16, range=0.5, polarity="bipolar", range_policy="fixed")
    chip = ChipSpec(sigma_array_lsb=0.6, sigma_adc_lsb=0.53, gain_mean=0.75, gain_std=0.06, offset_std_lsb=0.5)
    hw = hardware(chip=chip, adc=adc, array=ArraySpec(rows=64, columns=20, macros=9), path=path)
    site = dot_site(4, 150, 5, hw)
    assert set(site.paths.values()) == {path}
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), jnp.asarray(x), jnp.asarray(w))
        return out, *pullback(g)

    found = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(jax.random.split(jax.random.key(key), draws))
    return [np.asarray(part, np.float64) for part in found], hw, (x, w)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_the_variance_of_an_output_is_multiplied_as_its_columns_are(path):
    """sum over tiles and planes of (beta FS lsb m)^2 (sigma^2 + 1/12): a sample variance is known to 3.7 %."""
    draws = 1500
    (y, *_), hw, _ = samples(path, draws, 1)
    lsb, beta = 0.5 * 2 / 256, np.array([1.0, 2.0, 4.0, -8.0])[:, None]
    m = column_multipliers(0, "forward", 3, 20, hw).reshape(3, 4, 5).astype(np.float64)
    square = (0.6 / 0.5) ** 2 + 0.53**2
    expected = (64 * 16 * lsb) ** 2 * np.sum(beta**2 * m**2 * (square + 1 / 12), axis=(0, 1))
    assert np.mean(m) == pytest.approx(1 / 0.75, rel=0.05)
    np.testing.assert_allclose(y.var(axis=0).mean(axis=0) / expected, 1.0, atol=5 * np.sqrt(2 / (draws * 4)) + 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1, 2])
def test_both_paths_have_one_distribution(index):
    """Forward, input_grad and weight_grad."""
    exact, statistical = (samples(path, 1500, key)[0][index] for key, path in ((2, "exact"), (3, "statistical")))
    std = statistical.std(axis=0)
    np.testing.assert_allclose(exact.mean(axis=0), statistical.mean(axis=0), atol=7.5 * std.max() / np.sqrt(1500))
    assert np.abs(exact.var(axis=0) / statistical.var(axis=0) - 1).max() < 6.5 * np.sqrt(4 / 1500) + 0.02
    rng = np.random.default_rng(6)
    pick = rng.permutation(exact.size)[:4000]
    a, b = (((s - statistical.mean(axis=0)) / std).ravel()[pick] for s in (exact, statistical))
    smear = rng.uniform(-0.25, 0.25, (2, len(pick)))
    assert stats.ks_2samp(a + smear[0], b + smear[1]).pvalue > 1e-4


def test_an_input_that_the_range_cannot_hold_is_refused():
    with pytest.raises(UserError, match=r"adc\.gain_input = 0\.5 is not possible: allowed is at most adc\.gain_range"):
        AdcSpec(gain_range=0.25)


def test_a_reading_at_the_highest_code_tells_nothing():
    """An input at full scale clips a column whose gain is above 1."""
    chip = ChipSpec(sigma_array_lsb=0.6, columns=(ColumnError(0, 1.2, 0.0), ColumnError(1, 0.9, 0.0)))
    hw = hardware(adc=AdcSpec(gain_conversions=10**6, gain_input=1.0), chip=chip)
    np.testing.assert_allclose(macro_multipliers(0, hw)[:2], [1.0, 1 / 0.9], rtol=1e-4)
