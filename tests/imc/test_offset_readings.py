"""What readings at zero input tell of a column's offset: the formulas against conversions of the real converter."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import dot_site, hardware, run
from scipy import stats
from tiers import slow

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.adc import Converter
from imctrain.imc.chip.columns import macro_corrections, macro_errors, offset_converter
from imctrain.imc.chip.offset_readings import WIDE, lasting_error, mean_error, reading_moments
from imctrain.imc.engines import dither
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ImcConfig

COLUMNS, COUNT = 2000, 64


def conversions(conv: Converter, offsets, reference: float, count: int, seed: int = 0):
    """Mean of `count` conversions at zero input, LSB of the range: [columns]."""
    columns = len(offsets)
    lsb = reference * conv.lsb_at_full_range
    total = np.zeros(columns)
    for key in jax.random.split(jax.random.key(seed), count):
        eps = jax.random.normal(key, (columns,))
        volts = jnp.asarray(offsets * lsb, jnp.float32)
        total += np.asarray(conv.clip(conv.round_code(jnp.zeros(columns), 1.0, reference, eps, offset=volts)))
    return total / count


def by_code(a, sigma, lowest, highest):
    """Mean and variance of a reading, every code with its probability, in the plainest way."""
    codes = np.arange(lowest, highest + 1)
    edges = np.concatenate([[-np.inf], codes[:-1] + 0.5, [np.inf]])
    share = np.diff(stats.norm.cdf((edges - a) / sigma))
    mean = share @ codes
    return mean, share @ (codes - mean) ** 2


@pytest.mark.parametrize("sigma", [0.05, 0.25, 0.6, 3.0, WIDE, 1.5 * WIDE])
@pytest.mark.parametrize(("lowest", "highest"), [(-128, 127), (0, 255), (-4, 3)])
def test_moments_of_a_reading_are_those_of_its_codes(sigma, lowest, highest):
    a = np.concatenate([np.linspace(-1.5, 1.5, 31), [-140.0, -127.7, 3.4, 126.9, 200.0]])
    found = reading_moments(a, sigma, lowest, highest)
    expected = np.array([by_code(x, sigma, lowest, highest) for x in a]).T
    # Beyond WIDE rounding is uniform noise, which at the edge of the codes is not all of it; it tells where the noise
    # is wider than all the codes (-4 to 3), which no hardware has.
    absolute = 1e-9 if sigma <= WIDE else 2e-3
    relative = 1e-9 if sigma <= WIDE else 2e-3 if highest > 3 else 3e-2
    np.testing.assert_allclose(found.mean, expected[0], atol=absolute, rtol=0)
    np.testing.assert_allclose(found.variance, expected[1], rtol=relative, atol=1e-9)


def test_away_from_the_edges_they_are_those_of_dithered_rounding():
    for sigma in (0.2, 0.25, 0.5):
        a = np.linspace(-0.5, 0.5, 21)
        found = reading_moments(a, sigma, -128, 127)
        np.testing.assert_allclose(found.mean - a, [dither.bias(x, sigma) for x in a], atol=1e-9)
        np.testing.assert_allclose(found.variance, [dither.variance(x, sigma) for x in a], atol=1e-9)


def test_without_noise_a_reading_is_the_nearest_code():
    found = reading_moments(np.array([-0.5, 0.49, 0.5, 1.5, -7.2, 9.0]), 0.0, -4, 3)
    assert found.mean.tolist() == [0, 0, 0, 2, -4, 3]
    assert not found.variance.any()


def test_what_readings_leave_is_the_series_and_a_twelfth_without_noise():
    a = np.random.default_rng(1).uniform(-0.5, 0.5, 200_000)
    for sigma in (0.1, 0.25, 0.5):
        found = reading_moments(a, sigma, -128, 127)
        assert np.mean((found.mean - a) ** 2) == pytest.approx(lasting_error(sigma), rel=0.02)
        error = np.mean((found.mean - a) ** 2 + found.variance / COUNT)
        assert error == pytest.approx(mean_error(sigma, COUNT), rel=0.02)
    assert np.sqrt(lasting_error(0.25)) == pytest.approx(0.0656, abs=1e-4)
    assert lasting_error(0.0) == pytest.approx(1 / 12, rel=1e-3)
    assert mean_error(0.0, 10) == pytest.approx(1 / 12, rel=1e-3)
    assert mean_error(1.0, 64) == pytest.approx((1 + 1 / 12) / 64)


@pytest.mark.parametrize("sigma", [0.25, 0.6])
def test_the_formula_is_what_the_converter_does(sigma):
    """S + (sigma^2 + 1/12 - S) / n over random offsets, from conversions of the simulator's own converter."""
    adc, chip = AdcSpec(), ChipSpec(sigma_adc_lsb=sigma)
    conv = offset_converter(hardware(adc=adc, chip=chip))
    offsets = np.random.default_rng(2).uniform(-3, 3, COLUMNS)
    error = conversions(conv, offsets, 1.0, COUNT) - offsets
    # A mean square of 2000 errors is known to 3 to 4 %.
    assert np.mean(error**2) == pytest.approx(mean_error(sigma, COUNT), rel=0.12)


CASES = {
    "as calibrated": (AdcSpec(), ChipSpec(sigma_array_lsb=0.2, sigma_adc_lsb=0.15)),
    "smaller range": (AdcSpec(offset_range=0.25), ChipSpec(sigma_array_lsb=0.2, sigma_adc_lsb=0.15)),
    "fewer bits": (AdcSpec(bits=6), ChipSpec(sigma_array_lsb=0.8, sigma_adc_lsb=0.15)),
    "more bits": (AdcSpec(bits=10), ChipSpec(sigma_array_lsb=0.2, sigma_adc_lsb=0.15)),
    "full scale on the last code": (AdcSpec(bits=4, full_scale_on_last_code=True), ChipSpec(sigma_array_lsb=6.0)),
    "unipolar": (AdcSpec(polarity="unipolar"), ChipSpec(sigma_array_lsb=0.3)),
    "clipping": (AdcSpec(offset_range=2.0**-7), ChipSpec(sigma_array_lsb=0.2)),
    "unipolar reference": (AdcSpec(), ChipSpec(sigma_array_lsb=0.5, reference_polarity="unipolar")),
    "INL": (AdcSpec(), ChipSpec(sigma_array_lsb=0.3, inl_v=(-1.0, 0.0, 1.0), inl_lsb=(0.0, 3.3, 0.0), gain_std=0.1)),
}


@pytest.mark.parametrize("case", CASES)
def test_corrections_are_distributed_as_readings_of_the_converter_in_use(case):
    """Mean and spread of what is left of the offsets, the model's against conversions of the same columns."""
    adc, chip = CASES[case]
    adc = adc.replace(offset_conversions=COUNT)
    chip = chip.replace(offset_std_lsb=1.0, offset_mean_lsb=-0.4)
    hw = hardware(adc=adc, chip=chip, array=ArraySpec(columns=COLUMNS))
    gain, offset = macro_errors(1, hw)
    inl = np.interp(0.0, chip.inl_v, chip.inl_lsb) if chip.inl_v else 0.0
    volts = (offset + gain * inl) * chip.reference_lsb
    conv = dataclasses.replace(offset_converter(hw), inl=((), ()))
    assert conv.unipolar == (case == "unipolar")
    lsb = adc.offset_range * conv.lsb_at_full_range
    left = volts - macro_corrections(1, hw) * chip.reference_lsb
    expected = volts - conversions(conv, volts / lsb, adc.offset_range, COUNT) * lsb
    # The two differ by independent draws; columns are the same, so that what stays for ever is in both.
    assert np.sqrt(np.mean(left**2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.06)
    assert np.mean(left) == pytest.approx(np.mean(expected), abs=4 * np.std(left - expected) / np.sqrt(COLUMNS) + 1e-9)
    by_column = reading_moments(
        volts / lsb, np.hypot(conv.sigma_array / lsb, conv.sigma_adc), conv.lowest, conv.highest
    )
    standard = (left - (volts - by_column.mean * lsb)) / np.sqrt(np.maximum(by_column.variance / COUNT, 1e-18)) / lsb
    moving = by_column.variance > 1e-6
    assert np.std(standard[moving]) == pytest.approx(1.0, abs=0.1)


def test_offsets_beyond_the_range_of_their_readings_stay():
    """R = 1/64 holds 2 LSB either way: that is what it takes of an offset of 5 LSB, one code less above zero."""
    adc = AdcSpec(offset_conversions=COUNT, offset_range=1 / 64)
    for offset, taken in ((5.0, 127 / 64), (-5.0, -2.0)):
        hw = hardware(adc=adc, chip=ChipSpec(sigma_array_lsb=0.1, offset_mean_lsb=offset))
        np.testing.assert_allclose(macro_corrections(2, hw), taken)


def test_a_unipolar_converter_does_not_see_negative_offsets():
    adc = AdcSpec(offset_conversions=10**6, polarity="unipolar")
    hw = hardware(adc=adc, chip=ChipSpec(sigma_array_lsb=0.1, offset_mean_lsb=-3.0))
    np.testing.assert_allclose(macro_corrections(0, hw), 0.0, atol=1e-6)
    # At an offset of zero, clipping leaves the upper half of the noise.
    hw = hardware(adc=adc, chip=ChipSpec(sigma_array_lsb=1.0, offset_std_lsb=1e-9))
    sigma_codes = 2.0  # a unipolar LSB is half a bipolar one
    mean = by_code(0.0, sigma_codes, 0, 255)[0]
    np.testing.assert_allclose(macro_corrections(0, hw), mean / 2, atol=0.01)
    # With `auto` they are read by the bipolar converter, and found.
    auto = adc.replace(polarity="auto")
    hw = hardware(adc=auto, chip=ChipSpec(sigma_array_lsb=0.6, offset_mean_lsb=-3.0))
    np.testing.assert_allclose(macro_corrections(0, hw), -3.0, atol=0.01)


def test_every_column_keeps_its_draw():
    chip = ChipSpec(sigma_array_lsb=0.6, offset_std_lsb=1.0)
    hw = hardware(adc=AdcSpec(offset_conversions=4), chip=chip)
    again = hardware(adc=AdcSpec(offset_conversions=4), chip=chip, memory_mib=3)
    np.testing.assert_array_equal(macro_corrections(3, hw), macro_corrections(3, again))
    assert not np.array_equal(macro_corrections(3, hw), macro_corrections(3, hw.replace(chip_seed=1)))


def test_claim_two_offsets_are_better_calibrated_than_not():
    """0.25 LSB of noise, offsets of 0.1 LSB: 64 readings leave 0.057 LSB at R = 1 and 0.026 at R = 1/8."""
    calibration = load_calibration("feasible-assumed")
    left = {}
    for reference in (1.0, 0.125):
        imc = ImcConfig.model_validate({"adc": {"offset_conversions": 64, "offset_range": reference}})
        hw = build_hardware(imc, calibration)
        errors = np.concatenate([macro_errors(m, hw)[1] - macro_corrections(m, hw) for m in range(16)])
        left[reference] = np.sqrt(np.mean(errors**2))
    assert left[1.0] == pytest.approx(0.057, abs=0.002)
    # Noise of 0.2 LSB before the range, and 0.15 + rounding of a converter whose LSB is an eighth.
    assert left[0.125] == pytest.approx(np.sqrt((0.2**2 + (0.15**2 + 1 / 12) / 64) / 64), rel=0.03)


@pytest.mark.parametrize("changes", [{"offset_range": 0.0}, {"offset_range": 1.5}, {"offset_conversions": -1}])
def test_what_no_reading_can_be_is_refused(changes):
    with pytest.raises(UserError, match=rf"adc\.{next(iter(changes))} = .* is not possible: allowed is"):
        AdcSpec(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", slow("statistical")])
def test_the_inl_at_zero_is_taken_out_where_it_is_all_the_mismatch(path):
    """An INL of 3 LSB at every voltage is an offset of all columns: of each plane's sum 3 LSB times its weight."""
    inl = ChipSpec(sigma_array_lsb=0.6, inl_v=(-1.0, 1.0), inl_lsb=(3.0, 3.0))
    x, w = np.zeros((512, 144), np.float32), np.ones((144, 4), np.float32)
    x[0, 0] = w[0, 0] = 7
    means = []
    for count in (0, 10**6):
        adc = AdcSpec(offset_conversions=count, polarity="bipolar")
        site = dot_site(512, 144, 4, hardware(chip=inl, adc=adc, path=path))
        out = run(site, x, w, np.zeros((512, 4), np.float32))[0]
        means.append(out[1:].mean())
    full_scale = 1152 * 16 / 128
    # Planes weigh 1 + 2 + 4 - 8 = -1; noise of 0.66 LSB, 9.2 of it in a product, over 2044 outputs: 0.14 LSB.
    assert means[0] == pytest.approx(-3.0 * full_scale, abs=0.6 * full_scale)
    assert means[1] == pytest.approx(0.0, abs=0.6 * full_scale)
