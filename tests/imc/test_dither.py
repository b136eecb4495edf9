"""Where dithering ends: the exact path at the statistical path's limit, ties, rounding to integers, clipping."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import ACTIVATION, UNSIGNED, dot_site, hardware, integer_operands, levels, run
from scipy import stats
from tiers import slow

from imctrain.imc.chip.adc import Converter, rounded_integer_variance
from imctrain.imc.engines.dither import bias, bias_bound, least_sigma, slope, variance
from imctrain.settings import AdcSpec, ArraySpec, MappingSpec, NoiseSpec, StatisticalSpec

LIMIT = least_sigma(StatisticalSpec().bias_limit)


def moments(a, sigma):
    """Mean and variance of round(a + n), by integration."""
    codes = np.arange(-8, 9)
    share = stats.norm.cdf((codes + 0.5 - a) / sigma) - stats.norm.cdf((codes - 0.5 - a) / sigma)
    mean = np.sum(codes * share)
    return mean, np.sum(codes**2 * share) - mean**2


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.35, 0.5, 0.8])
def test_bias_variance_and_slope_are_those_of_a_rounded_gaussian(sigma):
    for a in np.linspace(-0.5, 0.5, 41):
        mean, spread = moments(a, sigma)
        assert abs(bias(a, sigma) - (mean - a)) < 1e-9
        assert abs(variance(a, sigma) - spread) < 1e-9
    step = 1e-4
    assert slope(sigma) == pytest.approx((moments(step, sigma)[0] - moments(-step, sigma)[0]) / (2 * step), abs=1e-6)
    assert float(rounded_integer_variance(jnp.float32(sigma))) == pytest.approx(
        moments(0, sigma)[1], rel=2e-3, abs=1e-7
    )


def test_the_default_limit_keeps_small_signals_and_the_variance():
    assert pytest.approx(0.52, abs=0.002) == LIMIT
    assert 0.99 < slope(LIMIT) < 1
    at = [variance(a, LIMIT) / (LIMIT**2 + 1 / 12) for a in np.linspace(0, 1, 101)]
    assert max(abs(ratio - 1) for ratio in at) < 0.02
    # What 0.03 let pass: a signal that comes out 18 % too small, a variance 26 % off.
    assert slope(least_sigma(0.03)) < 0.83
    assert variance(0.0, least_sigma(0.03)) / (least_sigma(0.03) ** 2 + 1 / 12) < 0.75


K, M, N = 64, 64, 8
DRAWS = 300


def operands(kind):
    """Integer codes of a Gaussian, a zero, a half-code and a sparse operand: each has its own column voltages."""
    rng = np.random.default_rng(5)
    x, w = integer_operands(rng, (M, K), (K, N))
    if kind == "gaussian":
        x = np.clip(np.round(2.5 * rng.normal(size=x.shape)), -7, 7).astype(np.float32)
    elif kind == "zero":
        x = np.zeros_like(x)
    elif kind == "sparse":
        x = x * (rng.random(x.shape) < 0.1)
    elif kind == "half code":
        # Every column of every vector is driven to half a code: 16 rows of code 7 ... of 1152 x 16 units in 256 codes.
        x, w = np.zeros_like(x), np.ones_like(w)
        x[:, :12] = 6.0
    x[0, 0], w[0, 0] = 7, 7
    return x, w


@pytest.mark.parametrize("samples", [1, slow(8)])
@pytest.mark.parametrize("kind", ["gaussian", "zero", "half code", "sparse"])
def test_the_exact_path_at_the_limit_is_linear_with_the_variance_of_the_formula(kind, samples):
    """Slope within 1 %, variance within 2 %, and repeats average as they should, beyond what 300 draws leave open."""
    x, w = operands(kind)
    site = dot_site(M, K, N, hardware(noise=NoiseSpec(sigma_array_lsb=LIMIT), adc=AdcSpec(polarity="bipolar")))
    plan = site.mvms[0]
    state = site.init_state()

    def once(key):
        keys = jax.random.split(key, samples)
        return jnp.mean(jax.vmap(lambda k: site.apply(jnp.asarray(x), jnp.asarray(w), state, k))(keys), axis=0)

    keys = jax.random.split(jax.random.key(3), DRAWS)
    drawn = np.asarray(jax.jit(lambda k: jax.lax.map(once, k, batch_size=10))(keys), np.float64)[:, 1:]
    ideal = (x @ w)[1:].astype(np.float64)
    predicted = float(plan.output_noise_power(jnp.ones(1))) / samples
    spread = drawn.var(axis=0, ddof=1).mean() / predicted
    assert abs(spread - 1) < 0.02 + 5 * np.sqrt(2 / (DRAWS * ideal.size))
    if kind in ("gaussian", "sparse"):
        found = np.sum(drawn.mean(axis=0) * ideal) / np.sum(ideal**2)
        open_ = 5 * np.sqrt(predicted / DRAWS / np.sum(ideal**2))
        assert 0.99 - open_ < found < 1.01 + open_
    else:
        planes = sum(abs(beta) for beta in plan.coding.weights)
        bound = bias_bound(LIMIT) * plan.converter.lsb_at_full_range * float(plan.full_scales[0]) * planes
        assert np.abs(drawn.mean(axis=0) - ideal).max() < bound + 5 * np.sqrt(predicted / DRAWS)


@pytest.mark.parametrize("rows", [128, 252, 256, 1152])
@pytest.mark.parametrize(("steps", "unipolar"), [(255, True), (256, True), (255, False), (256, False)])
def test_ties_of_a_noiseless_converter_go_to_the_even_code(rows, steps, unipolar):
    """Half way between two codes stays half way, whether the LSB is a power of two or 1/255 of the range."""
    conv = Converter(bits=8, unipolar=unipolar, steps=steps, sigma_array=0, sigma_adc=0)
    unit, span = rows * 16, 1 if unipolar else 2
    dots = np.arange(rows * 15 + 1)
    for reference in (Fraction(1), Fraction(15, 16), Fraction(1, 8)):
        expected = [round(Fraction(int(d)) * steps / (reference * span * unit)) for d in dots]
        codes = conv.round_code(jnp.asarray(dots, jnp.float32), jnp.float32(unit), jnp.float32(reference), None)
        np.testing.assert_array_equal(np.asarray(codes), expected)


@pytest.mark.parametrize(("rows", "reference"), [(255, 15 / 16), slow(510, 15 / 32)])
@pytest.mark.parametrize("switch", [True, False])
def test_rounding_to_integers_is_judged_at_the_range_in_use_and_has_a_switch(rows, reference, switch):
    """One LSB is 0.93 units on either array: readings are integers, or, switched off, codes times 0.93 as published
    simulators have them."""
    rng = np.random.default_rng(2)
    x, w = integer_operands(rng, (16, 200), (200, 5), low=0)
    x.flat[0] = 15
    adc = AdcSpec(bits=12, polarity="unipolar", full_scale_on_last_code=True, range=reference, round_to_integers=switch)
    site = dot_site(16, 200, 5, hardware(array=ArraySpec(rows=rows), adc=adc), lhs=UNSIGNED)
    y, *_ = run(site, x, w, levels(rng, (16, 5)))
    unit = rows * 16
    lsb = reference / 4095 * unit
    assert lsb < 1
    expected = np.zeros((16, 5))
    for j, beta in enumerate((1, 2, 4, -8)):
        dots = x @ ((w.astype(int) >> j) & 1)
        value = lsb * np.clip(np.round(dots * 4095 / (reference * unit)), 0, 4095)
        expected += beta * (np.round(value) if switch else value)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-3)
    assert np.array_equal(np.round(y), x @ w) == switch
    assert site.mvms[0].snaps == ("always" if switch else "never")


@pytest.mark.slow
def test_a_range_policy_rounds_to_integers_only_where_its_range_resolves_them():
    adc = AdcSpec(range_policy="two_level", low_range=2.0**-8)
    site = dot_site(4, 40, 3, hardware(adc=adc))
    assert site.mvms[0].snaps == "depends"
    rng = np.random.default_rng(0)
    x, w = np.zeros((4, 40), np.float32), np.zeros((40, 3), np.float32)
    x[:, :6], w[:6] = 1, 1
    x[0, 0], w[0, 0] = 7, 7
    state = site.init_state()
    coarse, *_ = run(site, x, w, levels(rng, (4, 3)), state)
    state = dataclasses.replace(state, needed_range=dict(state.needed_range) | {"forward": jnp.full(1, 2.0**-9)})
    fine, *_ = run(site, x, w, levels(rng, (4, 3)), state)
    np.testing.assert_allclose(fine[1:], (x @ w)[1:], atol=1e-4)  # one LSB is 0.56 units
    assert np.all(coarse[1:] == 0)  # 144 units


@pytest.mark.slow
@pytest.mark.parametrize("path", ["statistical", "auto"])
def test_no_call_takes_the_statistical_path_where_conversions_clip(path):
    """A unipolar converter near zero cuts off half the noise. The first call gives what the exact path gives."""
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (64, 64), (64, 16), low=0)
    x = x * (rng.random(x.shape) < 0.03)
    x.flat[0] = 15
    noise = NoiseSpec(sigma_adc_lsb=0.6)
    outputs = {}
    for chosen in ("exact", path):
        site = dot_site(64, 64, 16, hardware(noise=noise, path=chosen), lhs=UNSIGNED)
        y, *_, telemetry = run(site, x, w, levels(rng, (64, 16)))
        outputs[chosen] = y
        _, report = site.update(site.init_state(), telemetry)
    assert float(report["statistical_forward"]) == 0
    assert float(report["clipped_forward"]) > 0.1
    np.testing.assert_array_equal(outputs[path], outputs["exact"])


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["grouped", "balanced"])
def test_a_call_that_clips_nothing_is_statistical_from_the_first_on(mapping):
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (64, 64), (64, 16))
    hw = hardware(noise=NoiseSpec(sigma_adc_lsb=0.6), mapping=MappingSpec(gradient=mapping), path="auto")
    site = dot_site(64, 64, 16, hw, lhs=ACTIVATION)
    *_, telemetry = run(site, x, w, levels(rng, (64, 16)))
    _, report = site.update(site.init_state(), telemetry)
    assert {float(report[f"statistical_{mvm}"]) for mvm in ("forward", "input_grad", "weight_grad")} == {1.0}
