"""The statistical path has the exact path's distribution wherever it is allowed to stand in for it.

For a grid of noise, contraction, operand statistics and mappings both paths draw n independent executions with
independent keys: their means agree within 5 standard errors plus the dither bound, variances within 5 sigma, skews
within 5 sigma, and a Kolmogorov-Smirnov test of the errors, smeared by one LSB, does not reject at 1e-4.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import ACTIVATION, UNSIGNED, conv_site, dot_site, hardware, integer_operands, levels, run
from scipy import stats
from tiers import slow

from imctrain.errors import UserError
from imctrain.imc.engines.dither import bias_bound, least_sigma
from imctrain.imc.engines.validity import validity
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, MappingSpec, NoiseSpec

DRAWS = 1500


def draws(make, hw, operands, g, key):
    site = make(hw)
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), *operands)
        return out, *pullback(g)

    keys = jax.random.split(jax.random.key(key), DRAWS)
    samples = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys)
    return site, [np.asarray(s, np.float64).reshape(DRAWS, -1) for s in samples]


def compare(site, exact, statistical, bias_lsb):
    for plan, a, b in zip(site.mvms, exact, statistical, strict=True):
        variance = float(plan.output_noise_power(jnp.full(plan.passes, plan.hardware.adc.range, jnp.float32)))
        planes = np.abs(plan.coding.weights).sum() * np.abs(plan.mapping.coefficients).sum()
        bias = bias_lsb * plan.converter.lsb_at_full_range * plan.hardware.adc.range * planes * plan.full_scales.sum()
        scale = np.sqrt(variance / DRAWS)
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * np.sqrt(2) * scale + bias)
        pooled = a.var(axis=0).mean() / b.var(axis=0).mean()
        # Sheppard's correction: the variance of a rounded Gaussian strays from sigma^2 + 1/12 by its first harmonic.
        sigma = float(plan.converter.sigma_lsb(plan.hardware.adc.range))
        stray = np.pi * bias_lsb * (4 * sigma**2 + 1 / np.pi**2) / (sigma**2 + 1 / 12)
        assert abs(pooled - 1) < 5 * np.sqrt(4 / a.size) + stray
        za, zb = ((s - s.mean(axis=0)) / s.std(axis=0) for s in (a, b))
        assert abs(stats.skew(za.ravel()) - stats.skew(zb.ravel())) < 5 * np.sqrt(12 / a.size)
        # One output with fixed operands takes few values (the heaviest plane of the heaviest pass moves in whole LSBs).
        # Over outputs of different operands that averages out, and the error's distribution is what must agree.
        error_a, error_b = ((s - b.mean(axis=0)) / np.sqrt(variance) for s in (a, b))
        pick = np.random.default_rng(0).permutation(a.size)[:6000]
        heaviest = float(plan.converter.lsb_at_full_range * plan.hardware.adc.range * plan.full_scales.max())
        heaviest *= max(plan.mapping.coefficients) * np.abs(plan.coding.weights).max()
        smear = np.random.default_rng(1).uniform(-0.5, 0.5, (2, len(pick))) * heaviest / np.sqrt(variance)
        assert stats.ks_2samp(error_a.ravel()[pick] + smear[0], error_b.ravel()[pick] + smear[1]).pvalue > 1e-4


GRID = [
    # sigma_array, sigma_adc, K, rows, mapping, range, unsigned inputs, sparse
    (0.55, 0.0, 20, 64, "balanced", 1.0, False, False),
    (0.45, 0.3, 150, 64, "grouped", 1.0, True, False),
    (1.0, 0.5, 64, 64, "bit_serial", 0.5, True, True),
    (2.0, 0.0, 300, 128, "balanced", 1.0, False, True),
]


@pytest.mark.parametrize(
    ("array_lsb", "adc_lsb", "k", "rows", "mapping", "reference", "unsigned", "sparse"),
    [*GRID[:1], *(slow(*case) for case in GRID[1:])],
)
def test_matmul_distribution(array_lsb, adc_lsb, k, rows, mapping, reference, unsigned, sparse):
    rng = np.random.default_rng(k)
    x, w = integer_operands(rng, (6, k), (k, 5), low=0 if unsigned else -7)
    if unsigned:
        x.flat[0] = 15
    if sparse:
        x = x * (rng.random(x.shape) < 0.2)
        x.flat[0] = 15 if unsigned else 7
    hw = hardware(
        array=ArraySpec(rows=rows),
        adc=AdcSpec(range=reference, polarity="bipolar"),
        mapping=MappingSpec(gradient=mapping),
        noise=NoiseSpec(sigma_array_lsb=array_lsb, sigma_adc_lsb=adc_lsb),
    )
    operands = (jnp.asarray(x, jnp.float32), jnp.asarray(w))
    g = jnp.asarray(levels(rng, (6, 5)))

    def make(hw):
        return dot_site(6, k, 5, hw, lhs=UNSIGNED) if unsigned else dot_site(6, k, 5, hw)

    site, exact = draws(make, hw, operands, g, 1)
    statistical_site, statistical = draws(make, hw.replace(path="statistical"), operands, g, 2)
    assert set(statistical_site.paths.values()) == {"statistical"}
    sigma = np.hypot(array_lsb / reference, adc_lsb)
    compare(site, exact, statistical, bias_bound(sigma))


@pytest.mark.parametrize("centred", [slow(False), slow(True)])
def test_convolution_distribution_with_mismatch_and_inl(centred):
    """Gain, offset and the INL's line are folded; strided and grouped; several channel tiles. Centred: activations are
    driven and stored around their middle, and what that leaves out is added."""
    rng = np.random.default_rng(1)
    x, w = integer_operands(rng, (2, 6, 6, 8), (3, 3, 4, 4), low=0 if centred else -7)
    if centred:
        x.flat[0], w[..., ::2] = 15, -w[..., ::2]
    knots = (-1.0, 0.0, 1.0)
    chip = ChipSpec(sigma_array_lsb=1.0, gain_std=0.05, offset_std_lsb=1.0, inl_v=knots, inl_lsb=(-0.6, 0.2, 1.0))
    array = ArraySpec(rows=27, columns=16, cell="xnor" if centred else "and")
    hw = hardware(array=array, chip=chip, mapping=MappingSpec(full_drive=centred))
    g = jnp.asarray(levels(rng, (2, 3, 3, 4)))

    def make(hw):
        kind = UNSIGNED if centred else ACTIVATION
        return conv_site(x, w, hw, (2, 2), ((1, 1), (1, 1)), (1, 1), (1, 1), 2, lhs=kind)

    operands = (jnp.asarray(x), jnp.asarray(w))
    site, exact = draws(make, hw, operands, g, 3)
    _, statistical = draws(make, hw.replace(path="statistical"), operands, g, 4)
    compare(site, exact, statistical, bias_bound(1.0))


@pytest.mark.slow
def test_a_unipolar_converter_near_zero_is_seen_to_clip():
    """Noise below code 0 is cut off: the mean shifts, which the probe's clipped fraction gives away."""
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (32, 40), (40, 6), low=0)
    x[rng.random(x.shape) < 0.9] = 0
    hw = hardware(array=ArraySpec(rows=1152), noise=NoiseSpec(sigma_array_lsb=1.0), path="auto")
    site = dot_site(32, 40, 6, hw, lhs=UNSIGNED)
    assert site.mvms[0].converter.unipolar
    state = site.init_state()
    shares = []
    for step in range(2):
        *_, telemetry = run(site, x, w, levels(rng, (32, 6)), state, jax.random.key(step))
        state, report = site.update(state, telemetry)
        shares.append(float(report["statistical_forward"]))
    assert shares == [0.0, 0.0]
    assert float(report["clipped_forward"]) > 0.1


def test_bound_has_the_published_values():
    assert round(bias_bound(0.5), 4) == 0.0023
    assert round(bias_bound(0.35), 3) == 0.028
    assert bias_bound(0.0) == 0.5
    assert abs(bias_bound(least_sigma(0.03)) - 0.03) < 1e-6


def test_bound_holds_for_real_rounding():
    """The largest bias of round(a + n) over a, by integration, is below the bound and close to it."""
    for sigma in (0.2, 0.35, 0.5):
        a = np.linspace(-0.5, 0.5, 101)
        codes = np.arange(-6, 7)
        upper = stats.norm.cdf((codes + 0.5 - a[:, None]) / sigma)
        lower = stats.norm.cdf((codes - 0.5 - a[:, None]) / sigma)
        bias = np.abs((codes * (upper - lower)).sum(axis=1) - a).max()
        assert 0.9 * bias_bound(sigma) * 0.5 < bias <= bias_bound(sigma) + 1e-9


@pytest.mark.parametrize(
    ("chip", "adc", "answer"),
    [
        (ChipSpec(sigma_array_lsb=0.53), AdcSpec(), "always"),
        (ChipSpec(sigma_array_lsb=0.51), AdcSpec(), "never"),
        (ChipSpec(), AdcSpec(), "never"),
        (ChipSpec(sigma_array_lsb=0.2), AdcSpec(range_policy="per_site"), "depends"),
        (ChipSpec(sigma_adc_lsb=0.2), AdcSpec(range_policy="per_site"), "never"),
        (ChipSpec(sigma_array_lsb=1, inl_v=(-1.0, 0.0, 1.0), inl_lsb=(1.0, -1.0, 1.0)), AdcSpec(), "never"),
        # Readings are rounded to integers: what counts is the noise in units of an integer (144 to an LSB).
        (ChipSpec(sigma_array_lsb=1), AdcSpec(bits=16), "always"),
        (ChipSpec(sigma_array_lsb=0.5 / 144), AdcSpec(bits=16), "never"),
        (
            ChipSpec(sigma_array_lsb=0.5 / 144),
            AdcSpec(bits=18, round_to_integers=False),
            "always",
        ),
    ],
)
def test_validity(chip, adc, answer):
    site = dot_site(4, 8, 3, hardware(chip=chip, adc=adc))
    found, why = validity(site.mvms[1])
    assert found == answer
    assert bool(why) == (answer != "always")


def test_statistical_refuses_where_it_does_not_hold():
    with pytest.raises(UserError, match=r"site dot, forward: the statistical path does not hold: noise of 0\.10 LSB"):
        dot_site(4, 8, 3, hardware(noise=NoiseSpec(sigma_array_lsb=0.1), path="statistical"))


@pytest.mark.slow
def test_auto_changes_path_with_range_and_clipping():
    """Below the bound at R = 1, above it once the range has shrunk; back to exact when conversions clip."""
    adc = AdcSpec(range_policy="per_site")
    hw = hardware(noise=NoiseSpec(sigma_array_lsb=0.2), adc=adc, path="auto")
    site = dot_site(16, 64, 8, hw)
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (16, 64), (64, 8))
    g = levels(rng, (16, 8))
    state = site.init_state()
    shares = []
    for step in range(4):
        *_, telemetry = run(site, x, w, g, state, jax.random.key(step))
        state, report = site.update(state, telemetry)
        shares.append(float(report["statistical_forward"]))
    assert shares[0] == 0
    assert shares[-1] == 1
    state = dataclasses.replace(state, clipped=jax.tree.map(lambda c: jnp.full_like(c, 0.5), state.clipped))
    *_, telemetry = run(site, x, w, g, state)
    _, report = site.update(state, telemetry)
    assert float(report["statistical_forward"]) == 0


@pytest.mark.slow
def test_probe_measures_what_the_exact_path_measures():
    """Range policies see the same column voltages on both paths."""
    rng = np.random.default_rng(2)
    x, w = integer_operands(rng, (64, 100), (100, 12))
    g = levels(rng, (64, 12))
    hw = hardware(noise=NoiseSpec(sigma_array_lsb=0.55), array=ArraySpec(rows=128))
    reports = []
    for path in ("exact", "statistical"):
        site = dot_site(64, 100, 12, hw.replace(path=path))
        *_, telemetry = run(site, x, w, g)
        reports.append(telemetry.telemetry.mvms)
    for mvm in ("forward", "input_grad", "weight_grad"):
        for key in ("v_mean", "v_power"):
            a, b = (np.asarray(getattr(r[mvm], key)) for r in reports)
            np.testing.assert_allclose(a, b, rtol=0.05, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
def test_probe_of_a_convolution(groups):
    """It samples vectors and columns of one tile, those with a fixed pattern of their own included."""
    rng = np.random.default_rng(3)
    x, w = integer_operands(rng, (8, 10, 10, 32), (3, 3, 32 // groups, 160))
    g = levels(rng, (8, 5, 5, 160)) * (rng.random((8, 5, 5, 160)) < 0.5)
    chip = ChipSpec(sigma_array_lsb=0.55, gain_std=0.05, offset_std_lsb=3.0)
    hw = hardware(chip=chip, array=ArraySpec(rows=144))
    reports = []
    for path in ("exact", "statistical"):
        hardware_here = hw.replace(path=path)
        site = conv_site(x, w, hardware_here, (2, 2), ((1, 1), (1, 1)), (1, 1), (1, 1), groups)
        *_, telemetry = run(site, x, w, g)
        reports.append(telemetry.telemetry.mvms)
    for mvm in ("forward", "input_grad", "weight_grad"):
        power, probed = (np.asarray(r[mvm].v_power) for r in reports)
        np.testing.assert_allclose(probed, power, rtol=0.2)
        mean, probed = (np.asarray(r[mvm].v_mean) for r in reports)
        np.testing.assert_allclose(probed, mean, atol=0.2 * np.sqrt(power.max()))
