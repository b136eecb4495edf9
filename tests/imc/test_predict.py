"""What is predicted of an MVM before any data is seen, against what the exact path measures."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import ACTIVATION, UNSIGNED, WEIGHT, dot_site, run

from imctrain.imc.coding.levels import encode_gradient, scale_of_gradient
from imctrain.imc.forecast.predict import predict, slope
from imctrain.imc.forecast.typical import GRADIENT_CREST, gradient_levels, typical_codes
from imctrain.imc.site.encode import encode_integer
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, FormatSpec, Hardware, MappingSpec, NoiseSpec

CLIP = 3.0
"""Below the largest of the samples drawn here, so that it is what sets the gradient's scale."""
FORMATS = FormatSpec(weight_clip="sawb", activation_clip="rms", gradient_clip=CLIP)


def gaussian(*shape: int) -> jax.Array:
    """Samples of a seed of their own for each shape."""
    return jnp.asarray(np.random.default_rng([11, *shape]).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(
    ("info", "formats"),
    [
        (WEIGHT, FORMATS),
        (ACTIVATION, FORMATS),
        (UNSIGNED, FORMATS),
        (WEIGHT, FORMATS.replace(weight_clip_scale=0.5)),
        (UNSIGNED, FORMATS.replace(activation_clip_scale=0.6)),
    ],
)
def test_typical_integer_codes_are_those_of_a_gaussian(info, formats):
    x = gaussian(200_000)
    codes = np.asarray(encode_integer(jnp.maximum(x, 0) if info.nonneg else x, info, formats, jnp.zeros(())).codes)
    typical = typical_codes(info, formats)
    values, counts = np.unique(codes, return_counts=True)
    np.testing.assert_array_equal(values, typical.values)
    # Four standard deviations of a share of 200,000, and as much again for the clip, which the sample sets.
    np.testing.assert_allclose(counts / len(x), typical.probabilities, atol=0.01)
    assert typical.power == pytest.approx(np.mean(codes**2), rel=0.02)


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_typical_gradient_levels_are_those_of_a_gaussian(rounding):
    formats = FORMATS.replace(gradient_rounding=rounding, gradient_clip=4.0)
    g = gaussian(200_000)
    scale, _ = scale_of_gradient(g, formats, jnp.zeros(()))
    levels = encode_gradient(g, scale, formats, jnp.asarray([1, 2], jnp.uint32), odd=False).mean
    typical = gradient_levels(4.0, rounding == "stochastic")
    assert typical.power == pytest.approx(float(jnp.mean(levels**2)), rel=0.02)
    shares = [np.mean(np.asarray(levels) == value) for value in typical.values]
    np.testing.assert_allclose(shares, typical.probabilities, atol=0.005)


def test_gradients_that_nothing_clips_are_taken_to_have_heavy_tails():
    gradient = dataclasses.replace(ACTIVATION, kind="gradient")
    unclipped = typical_codes(gradient, FORMATS.replace(gradient_clip=None))
    # 4^6 is the largest magnitude; stochastic rounding adds its own power.
    assert 1 < unclipped.power / (4.0**6 / GRADIENT_CREST) ** 2 < 1.5


@pytest.mark.parametrize("mean", [0.0, 0.2, 0.5])
def test_the_slope_of_a_rounding_that_a_gaussian_enters(mean):
    z = np.linspace(-9, 9, 400_001)
    density = np.exp(-0.5 * z * z) / np.sum(np.exp(-0.5 * z * z))
    for spread in (0.05, 0.1, 0.2, 0.3, 0.49, 0.51, 0.7, 2.0):
        # For a Gaussian, the mean slope is the covariance of input and output over the variance.
        covariance = np.sum(density * z * np.round(mean + spread * z)) / spread
        assert slope(np.asarray(spread), mean) == pytest.approx(covariance, abs=2e-3)


def measured(site, nonneg, steps=4):
    """{"snr_db_<mvm>", "range_<mvm>", "clipped_<mvm>"} once ranges have settled, on Gaussian operands."""
    (m, k), (_, n) = site.spec.lhs_shape, site.spec.rhs_shape
    x, w, g = gaussian(m, k), gaussian(k, n), gaussian(m, n)
    x = jnp.maximum(x, 0) if nonneg else x
    state = site.init_state()
    for step in range(steps):
        *_, cotangent = run(site, x, w, g, state, jax.random.key(step))
        state, report = site.update(state, cotangent)
    return {key: float(value) for key, value in report.items()}


CASES = [
    (k, hardware, nonneg)
    for k in (24, 1500)
    for nonneg in (False, True)
    for hardware in (
        {"array": ArraySpec(replicate=True), "adc": AdcSpec(range_policy="per_site")},
        {"array": ArraySpec(cell="xnor", replicate=False), "adc": AdcSpec(range_policy="fixed", range=0.25)},
        {
            "array": ArraySpec(cell="xnor", replicate=True),
            "adc": AdcSpec(range_policy="per_site"),
            "mapping": MappingSpec(full_drive=True),
        },
        {
            "array": ArraySpec(replicate=True),
            "adc": AdcSpec(range_policy="two_level"),
            "mapping": MappingSpec(gradient="grouped", gradient_samples=2),
        },
    )
]


@pytest.mark.slow
@pytest.mark.parametrize(("k", "changes", "nonneg"), CASES)
def test_the_predicted_snr_is_what_the_exact_path_measures(k, changes, nonneg):
    hardware = Hardware(noise=NoiseSpec(sigma_array_lsb=0.4, sigma_adc_lsb=0.3), formats=FORMATS, **changes)
    site = dot_site(96, k, 64, hardware, lhs=UNSIGNED if nonneg else ACTIVATION)
    found = measured(site, nonneg)
    for mvm, prediction in predict(site).items():
        snr = found[f"snr_db_{mvm}"]
        # Some 6,000 outputs tell the power of a product that is a tenth of its noise to 1.5 dB.
        assert abs(prediction.snr_db - snr) < 2.0 if prediction.snr_db > -10 else snr < -8, mvm
        # What is needed may lie next to a power of two, and a pass that clips more than 0.1 % takes the next range.
        assert 0.2 < np.mean(prediction.ranges) / found[f"range_{mvm}"] <= 2, mvm
        assert prediction.clipped < 1e-3, mvm


@pytest.mark.slow
def test_noise_aware_clips_are_predicted_with_the_noise_that_they_weigh():
    noise, array = NoiseSpec(sigma_array_lsb=2.0), ArraySpec(replicate=True, cell="xnor")
    formats = FORMATS.replace(noise_aware=True)
    hardware = Hardware(noise=noise, array=array, adc=AdcSpec(range_policy="per_site"), formats=formats)
    site = dot_site(96, 288, 64, hardware, lhs=UNSIGNED)
    aware = predict(site)["forward"].snr_db
    plain = predict(dot_site(96, 288, 64, hardware.replace(formats=FORMATS), lhs=UNSIGNED))
    assert aware == pytest.approx(measured(site, True)["snr_db_forward"], abs=1.5)
    assert aware > plain["forward"].snr_db + 5


@pytest.mark.slow
@pytest.mark.parametrize("reference", [0.02, 0.006])
def test_the_predicted_clipping_is_what_the_exact_path_measures(reference):
    adc = AdcSpec(range_policy="fixed", range=reference)
    hardware = Hardware(array=ArraySpec(replicate=True), adc=adc, noise=NoiseSpec(sigma_adc_lsb=0.5), formats=FORMATS)
    site = dot_site(96, 144, 64, hardware)
    found = measured(site, nonneg=False, steps=1)
    for mvm, prediction in predict(site).items():
        assert prediction.clipped == pytest.approx(found[f"clipped_{mvm}"], abs=0.04)
    assert predict(site)["forward"].clipped > 0.02


def test_a_unipolar_converter_clips_what_is_negative():
    adc = AdcSpec(range_policy="fixed", polarity="unipolar")
    hardware = Hardware(adc=adc, noise=NoiseSpec(sigma_adc_lsb=0.5))
    assert predict(dot_site(96, 144, 64, hardware))["forward"].clipped > 0.1
    # Voltages that cannot be negative lose nothing to the noise that is cut off below code 0.
    automatic = Hardware(adc=adc.replace(polarity="auto"), noise=NoiseSpec(sigma_adc_lsb=0.5))
    assert predict(dot_site(96, 144, 64, automatic, lhs=UNSIGNED))["forward"].clipped < 1e-9


@pytest.mark.slow
def test_without_dither_the_share_of_the_signal_is_that_of_the_rounding():
    # Columns swing 0.2 to 0.4 LSB: the products keep their sign and lose their size.
    array, adc = ArraySpec(cell="xnor", replicate=False), AdcSpec(range_policy="fixed")
    for k in (150, 350):
        site = dot_site(512, k, 64, Hardware(array=array, adc=adc, formats=FORMATS))
        prediction = predict(site)["forward"]
        assert 0.1 < prediction.swing_lsb[0] < 0.45
        x, w = gaussian(512, k), gaussian(k, 64)
        out = np.asarray(site.apply(x, w, site.init_state(), jax.random.key(0)))
        digital = dot_site(512, k, 64, Hardware(path="digital", formats=FORMATS))
        ideal = np.asarray(digital.apply(x, w, digital.init_state(), jax.random.key(0)))
        assert prediction.passed == pytest.approx(np.sum(out * ideal) / np.sum(ideal**2), abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("conversions", [0, 64])
@pytest.mark.parametrize("k", [144, 1500])
def test_the_predicted_offset_is_what_products_are_wrong_by(k, conversions):
    chip = ChipSpec(offset_std_lsb=0.7, sigma_array_lsb=0.5)
    adc = AdcSpec(bits=16, range_policy="fixed", offset_conversions=conversions)
    hardware = Hardware(adc=adc, chip=chip, formats=FORMATS, array=ArraySpec(replicate=True))
    site = dot_site(256, k, 64, hardware)
    x, w, g = gaussian(256, k), gaussian(k, 64), gaussian(256, 64)
    digital = dot_site(256, k, 64, Hardware(path="digital", formats=FORMATS))
    key = jax.random.key(3)
    out, dx, *_ = run(site, x, w, g, key=key)
    ideal, dx_ideal, *_ = run(digital, x, w, g, key=key)
    # Over the rms of the product, codes or not: scales drop out.
    for mvm, error, product, axis in (("forward", out - ideal, ideal, 0), ("input_grad", dx - dx_ideal, dx_ideal, 0)):
        prediction = predict(site)[mvm]
        bias = np.sqrt(np.mean(np.mean(error, axis=axis) ** 2) / np.mean(product**2))
        noise_left = prediction.noise / prediction.product / error.shape[axis]
        assert prediction.force == pytest.approx(np.sqrt(max(bias**2 - noise_left, 0)), rel=0.12), mvm
    chopped = hardware.replace(array=ArraySpec(replicate=True, chop=True))
    for prediction in predict(dot_site(256, k, 64, chopped)).values():
        assert prediction.force == 0
        assert prediction.effective_snr_db < prediction.snr_db


@pytest.mark.slow
def test_what_cannot_leave_code_zero():
    array, adc = ArraySpec(replicate=False), AdcSpec(range_policy="fixed")
    plain = Hardware(array=array, adc=adc, formats=FORMATS)
    tiny = dot_site(8, 4, 6, plain)
    reach = predict(tiny)["forward"].reach_lsb
    assert reach == pytest.approx(4 * 7 / (1152 * 16) / (2 / 256))
    assert reach < 0.5
    x, w = gaussian(8, 4), gaussian(4, 6)
    assert not np.any(tiny.apply(x, w, tiny.init_state(), jax.random.key(0)))
    dithered = plain.replace(noise=NoiseSpec(sigma_adc_lsb=0.1))
    assert predict(dot_site(8, 4, 6, dithered))["forward"].reach_lsb == np.inf
    smaller = predict(dot_site(8, 4, 6, plain.replace(adc=AdcSpec(range_policy="per_site"))))["forward"]
    assert smaller.reach_lsb == pytest.approx(64 * reach)


def test_predictions_may_be_made_while_something_is_traced():
    site = dot_site(96, 144, 64, Hardware(noise=NoiseSpec(sigma_adc_lsb=0.5)))
    expected = predict(site)["forward"].snr_db

    @jax.jit
    def traced(x):
        return x + predict(site)["forward"].snr_db

    assert float(traced(jnp.zeros(()))) == pytest.approx(expected)
