"""Gradient MVMs done several times: integers stay exact, noise falls as the mean's does, and so does rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, WIDE, dot_site, hardware, integer_operands, levels, run
from tiers import slow

from imctrain.errors import UserError
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.levels import encode_gradient
from imctrain.records.ledger import passes_label
from imctrain.settings import ArraySpec, FormatSpec, MappingSpec, NoiseSpec

DRAWS = 400


def test_shares_that_round_up_are_within_one_sample():
    """Of n encodings of a value a fraction p of the way to the upper level, n p round up, give or take one."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=20000) * 100, jnp.float32)
    one, seed = jnp.ones((), jnp.float32), noise.seed_of(jax.random.key(7))
    encoded = encode_gradient(x, one, FormatSpec(), seed, odd=True, samples=5)
    several = [encoded.sample(i) for i in range(5)]
    assert float(encoded.scale) == 1.0
    m = np.abs(np.asarray(x))
    low = np.where(m < 1, 0.0, 4.0 ** np.floor(np.log2(np.maximum(m, 1)) / 2))
    gap = np.where(m < 1, 1.0, 3 * low)
    share = (np.abs(np.stack(several)) - low).mean(axis=0) / gap
    assert np.abs(share - (m - low) / gap).max() < 0.2 + 1e-5
    assert set(np.abs(np.unique(np.stack(several)))) <= {0.0, *(4.0**k for k in range(7))}
    # Unbiased: 5 standard errors of a mean of 20,000.
    error = np.mean(several, axis=0) - np.asarray(x)
    assert abs((error / gap).mean()) < 5 * (error / gap).std() / np.sqrt(x.size)
    single = np.asarray(encode_gradient(x, one, FormatSpec(), seed, odd=True).mean) - np.asarray(x)
    assert (error**2).mean() < (single**2).mean() / 15
    np.testing.assert_allclose(encoded.mean, np.mean(several, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(several[0], single + np.asarray(x))


def operands():
    rng = np.random.default_rng(1)
    x, w = integer_operands(rng, (12, 20), (20, 5), low=0)
    x.flat[0] = 15
    return x, w, levels(rng, (12, 5))


def with_samples(samples, **kwargs):
    return hardware(mapping=MappingSpec(gradient_samples=samples), array=ArraySpec(rows=64), **kwargs)


@pytest.mark.parametrize("preserve", [False, slow(True)])
def test_integers_are_exact_without_noise(preserve):
    x, w, g = operands()
    formats = FormatSpec(weight_clip="max", activation_clip="max", gradient_rounding="nearest", preserve_sums=preserve)
    site = dot_site(12, 20, 5, with_samples(3, adc=WIDE, formats=formats), lhs=UNSIGNED)
    _, dx, dw, _ = run(site, x, w, g)
    np.testing.assert_allclose(dx, g @ w.T, rtol=1e-6, atol=2e-3)
    np.testing.assert_allclose(dw, x.T @ g, rtol=1e-6, atol=2e-3)


@pytest.mark.slow
def test_digital_products_of_the_mean_levels_are_the_mean_of_the_array_s():
    """Stochastic rounding with the same draws: one digital product against three on an array without noise."""
    x, w, g = operands()
    g = g + np.random.default_rng(2).normal(size=g.shape).astype(np.float32)
    formats = FormatSpec(weight_clip="max", activation_clip="max")
    sites = [
        dot_site(12, 20, 5, with_samples(3, adc=WIDE, formats=formats, path=path), lhs=UNSIGNED)
        for path in ("exact", "digital")
    ]
    (_, *array, _), (_, *digital, _) = (run(site, x, w, g) for site in sites)
    for a, b in zip(array, digital, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-2)
        assert np.abs(a - np.round(a)).max() > 0.2  # thirds, which no single sample has


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_noise_falls_as_that_of_a_mean(path):
    """Variance of both gradients over 400 executions, and the SNR reported; the forward MVM is done once."""
    x, w, g = operands()
    variances, snr = [], []
    for samples in (1, 4):
        site = dot_site(12, 20, 5, with_samples(samples, noise=NoiseSpec(sigma_array_lsb=1.0), path=path), lhs=UNSIGNED)
        state = site.init_state()

        def one(key, site=site, state=state):
            out, pullback = jax.vjp(lambda a, b, s: site.apply(a, b, s, key), jnp.asarray(x), jnp.asarray(w), state)
            return out, *pullback(jnp.asarray(g))

        keys = jax.random.split(jax.random.key(samples), DRAWS)
        *drawn, grads = jax.jit(lambda k, one=one: jax.lax.map(one, k, batch_size=50))(keys)
        variances.append([np.asarray(d, np.float64).var(axis=0).mean() for d in drawn])
        _, report = site.update(state, jax.tree.map(lambda leaf: leaf[0], grads))
        snr.append([10 ** (float(report[f"snr_db_{mvm}"]) / 10) for mvm in ("forward", "input_grad", "weight_grad")])
    forward, d_x, d_w = np.asarray(variances[0]) / np.asarray(variances[1])
    # A variance from 400 draws of n outputs: 5 standard deviations of the ratio of two.
    for ratio, expected, outputs in ((forward, 1, 60), (d_x, 4, 240), (d_w, 4, 100)):
        assert abs(ratio / expected - 1) < 5 * np.sqrt(4 / (DRAWS * outputs))
    assert np.asarray(snr[1]) / np.asarray(snr[0]) == pytest.approx([1, 4, 4], rel=0.25)


def test_conversions_and_labels_count_every_sample():
    plans = [dot_site(12, 20, 5, with_samples(n)).mvms for n in (1, 3)]
    assert [b.conversions / a.conversions for a, b in zip(*plans, strict=True)] == [1, 3, 3]
    assert passes_label({"passes": 3, "samples": 2}) == "3 x 2"
    assert passes_label({"passes": 3, "samples": 1}) == "3"


@pytest.mark.parametrize("samples", [0, 17])
def test_too_few_or_many(samples):
    with pytest.raises(UserError, match=rf"mapping\.gradient_samples = {samples} .*1 to 16"):
        MappingSpec(gradient_samples=samples)
