"""Noise on: mean and variance of the output follow the formulas, at fixed keys and stated confidence.

Each test draws n independent executions; a mean is accepted within 5 standard errors and a variance within
5 sqrt(2/n) of its value (5 sigma: a wrong formula fails, chance fails once in two million).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import conv_site, dot_site, hardware, integer_operands, levels
from tiers import slow

from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError, MappingSpec, NoiseSpec

DRAWS = 3000


def draw(site, x, w, g=None):
    """Outputs (or (dx, dw) for output gradient g) of DRAWS executions with keys of their own."""
    keys = jax.random.split(jax.random.key(11), DRAWS)
    state = site.init_state()

    def one(key):
        if g is None:
            return site.apply(x, w, state, key)
        _, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), x, w)
        return pullback(g)

    return jax.tree.map(
        lambda a: np.asarray(a, np.float64), jax.jit(lambda k: jax.lax.map(one, k, batch_size=100))(keys)
    )


def check(samples, mean, variance):
    n = len(samples)
    got_mean, got_variance = samples.mean(axis=0), samples.var(axis=0)
    assert np.all(np.abs(got_mean - mean) < 5 * np.sqrt(variance / n)), np.abs(got_mean - mean).max()
    # Outputs are exchangeable, so their pooled variance is the sharp test; each one is held to its own bound too.
    assert abs(got_variance.mean() / variance - 1) < 5 * np.sqrt(2 / samples.size) + 2e-3
    assert np.all(np.abs(got_variance / variance - 1) < 5 * np.sqrt(2 / n))


@pytest.mark.parametrize(
    ("bits", "sigma_array", "sigma_adc", "reference"), [(8, 1.0, 0.0, 1.0), (8, 0.6, 0.8, 0.5), (6, 2.0, 0.7, 1.0)]
)
def test_forward_noise(rng, bits, sigma_array, sigma_adc, reference):
    """var Y = sum_{t,j} (beta_j N L lsb)^2 (sigma^2 + 1/12), sigma in LSB of the converter at hand."""
    x, w = integer_operands(rng, (4, 90), (90, 6))
    noise = NoiseSpec(sigma_array_lsb=sigma_array, sigma_adc_lsb=sigma_adc)
    array, adc = ArraySpec(rows=64), AdcSpec(bits=bits, range=reference)
    site = dot_site(4, 90, 6, hardware(array=array, adc=adc, noise=noise))
    lsb = 2 * reference / 2**bits
    sigma = np.hypot(sigma_array * (2 / 2**8) / lsb, sigma_adc)
    variance = 2 * (1 + 4 + 16 + 64) * (64 * 16 * lsb) ** 2 * (sigma**2 + 1 / 12)
    check(draw(site, jnp.asarray(x), jnp.asarray(w)), x @ w, variance)


@pytest.mark.parametrize("gradient", [slow("bit_serial"), slow("grouped"), "balanced"])
def test_gradient_noise(rng, gradient):
    """Both gradient MVMs: the variance carries sum_p c_p^2, and the mean is the exact product."""
    x, w = integer_operands(rng, (20, 12), (12, 8))
    g = levels(rng, (20, 8))
    noise = NoiseSpec(sigma_array_lsb=0.8)
    site = dot_site(20, 12, 8, hardware(array=ArraySpec(rows=32), noise=noise, mapping=MappingSpec(gradient=gradient)))
    dx, dw = draw(site, jnp.asarray(x), jnp.asarray(w), jnp.asarray(g))
    norm = sum(c * c for c in site.mvms[1].mapping.coefficients)
    variance = norm * 85 * (32 * 16 * 2 / 2**8) ** 2 * (0.8**2 + 1 / 12)
    check(dx, g @ w.T, variance)
    check(dw, x.T @ g, variance)


def test_convolution_noise(rng):
    x, w = integer_operands(rng, (1, 6, 6, 8), (3, 3, 8, 4))
    noise = NoiseSpec(sigma_adc_lsb=1.0)
    hw = hardware(array=ArraySpec(rows=40), noise=noise)
    site = conv_site(x, w, hw, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    ideal = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    variance = 2 * 85 * (40 * 16 * 2 / 2**8) ** 2 * (1 + 1 / 12)
    check(draw(site, jnp.asarray(x), jnp.asarray(w)), np.asarray(ideal), variance)


def test_replication_divides_the_noise(rng):
    """n copies raise the signal n times at the same noise: the output's variance falls by n^2."""
    x, w = integer_operands(rng, (4, 16), (16, 4))
    noise = NoiseSpec(sigma_array_lsb=1.0)
    plain = dot_site(4, 16, 4, hardware(array=ArraySpec(rows=64), noise=noise))
    copied = dot_site(4, 16, 4, hardware(array=ArraySpec(rows=64, replicate=True), noise=noise))
    variance = 85 * (64 * 16 * 2 / 2**8) ** 2 * (1 + 1 / 12)
    check(draw(plain, jnp.asarray(x), jnp.asarray(w)), x @ w, variance)
    check(draw(copied, jnp.asarray(x), jnp.asarray(w)), x @ w, variance / 16)


@pytest.mark.slow
def test_report_predicts_the_noise(rng):
    """The SNR in a report is the measured one: signal power of the output over its error's variance."""
    x, w = integer_operands(rng, (32, 64), (64, 16))
    hw = hardware(array=ArraySpec(rows=64), noise=NoiseSpec(sigma_array_lsb=1.0))
    site = dot_site(32, 64, 16, hw)
    samples = draw(site, jnp.asarray(x), jnp.asarray(w))
    measured = 10 * np.log10(np.mean((x @ w) ** 2) / samples.var(axis=0).mean())
    state = site.init_state()
    _, pullback = jax.vjp(lambda s: site.apply(x, w, s, jax.random.key(0)), state)
    _, report = site.update(state, pullback(jnp.ones((32, 16), jnp.float32))[0])
    assert abs(float(report["snr_db_forward"]) - measured) < 0.5


def test_noise_is_fresh_for_every_conversion():
    """Equal rows of the input get different noise, and no two outputs are correlated."""
    x = np.full((6, 30), 3.0, np.float32)
    w = np.full((30, 5), 2.0, np.float32)
    x[:, 0], w[0] = 7.0, 7.0
    samples = draw(dot_site(6, 30, 5, hardware(noise=NoiseSpec(sigma_array_lsb=1.0))), jnp.asarray(x), jnp.asarray(w))
    correlation = np.corrcoef(samples.reshape(DRAWS, -1).T) - np.eye(30)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(DRAWS)


@pytest.mark.slow
def test_forward_and_gradients_share_no_noise():
    """With operands that make all three products alike, their errors are still uncorrelated."""
    n = 8
    x = np.diag(np.full(n, 7.0)).astype(np.float32)
    g = np.diag(np.full(n, 4096.0)).astype(np.float32)
    site = dot_site(n, n, n, hardware(array=ArraySpec(rows=8), noise=NoiseSpec(sigma_array_lsb=1.0)))
    dx, dw = draw(site, jnp.asarray(x), jnp.asarray(x), jnp.asarray(g))
    y = draw(site, jnp.asarray(x), jnp.asarray(x))
    columns = np.concatenate([a.reshape(DRAWS, -1)[:, :16] for a in (y, dx, dw)], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(48)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(DRAWS)


def test_fixed_pattern_is_fixed_and_has_its_mean(rng):
    """Offsets reach Y as sum_{t,j} beta_j N L offset; two keys see the same pattern."""
    x, w = integer_operands(rng, (3, 20), (20, 2))
    columns = tuple(ColumnError(c, offset_lsb=0.3 * (c + 1)) for c in range(8))
    chip = ChipSpec(sigma_array_lsb=0.7, columns=columns)
    array = ArraySpec(rows=32, columns=8, macros=1)
    samples = draw(dot_site(3, 20, 2, hardware(array=array, chip=chip)), jnp.asarray(x), jnp.asarray(w))
    unit = 32 * 16 * 2 / 2**8
    offsets = np.array([0.3 * (c + 1) for c in range(8)]).reshape(4, 2)
    shift = unit * np.array([1, 2, 4, -8]) @ offsets
    check(samples, x @ w + shift, 85 * unit**2 * (0.7**2 + 1 / 12))


def test_backward_passes_of_one_forward_pass_have_their_own_noise(rng):
    """jacrev maps cotangents over one forward pass: equal cotangents must still see different noise."""
    x, w = integer_operands(rng, (3, 20), (20, 4))
    site = dot_site(3, 20, 4, hardware(noise=NoiseSpec(sigma_array_lsb=1.0)))
    state = site.init_state()

    def gradients(key):
        _, pullback = jax.vjp(lambda a: site.apply(a, w, state, key), x)
        return jax.vmap(pullback)(jnp.ones((2, 3, 4), jnp.float32))[0]

    first, second = np.asarray(jax.jit(gradients)(jax.random.key(0)))
    assert np.mean(first == second) < 0.1
