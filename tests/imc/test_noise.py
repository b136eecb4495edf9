"""The noise generator: moments, tails, distribution, and independence of neighbours and streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from imctrain.imc.chip import random_numbers as noise

N = 1_000_000


def stream(*purpose):
    return noise.derive(noise.seed_of(jax.random.key(7)), *purpose)


@pytest.fixture(scope="module")
def samples():
    return np.asarray(noise.gaussian(stream(1), (N,)), np.float64)


def test_moments(samples):
    assert abs(samples.mean()) < 5 / np.sqrt(N)
    assert abs(samples.var() - 1) < 5 * np.sqrt(2 / N)
    assert abs(stats.skew(samples)) < 5 * np.sqrt(6 / N)
    assert abs(stats.kurtosis(samples)) < 5 * np.sqrt(24 / N)


def test_distribution_and_tails(samples):
    assert stats.kstest(samples[:200_000], "norm").pvalue > 1e-3
    for z in (3.0, 4.0):
        expected = 2 * N * stats.norm.sf(z)
        assert abs(np.sum(np.abs(samples) > z) - expected) < 5 * np.sqrt(expected)
    assert 4.5 < np.abs(samples).max() < 6.47


def test_the_definition_gives_the_stated_distribution():
    """popcount + two uniforms, exactly: unit variance, kurtosis 3, and the CDF and tails that the module states."""
    triangle = np.convolve(np.full(256, 1 / 256), np.full(256, 1 / 256))
    probability = np.zeros(32 * 256 + 511)
    for ones, p in enumerate(stats.binom.pmf(np.arange(33), 32, 0.5)):
        probability[ones * 256 : ones * 256 + 511] += p * triangle
    centred = np.arange(len(probability)) - noise.MEAN
    values = centred * (noise.LINEAR + noise.CUBIC * centred.astype(float) ** 2)
    assert abs(probability @ values) < 1e-12
    assert abs(probability @ values**2 - 1) < 1e-6
    assert abs(probability @ values**4 - 3) < 1e-5
    middle = np.cumsum(probability) - probability / 2
    assert np.max(np.abs(middle - stats.norm.cdf(values))) < 1.7e-4
    for z, low in ((3.0, 0.99), (4.0, 0.93), (4.5, 0.89)):
        assert low < probability[np.abs(values) > z].sum() / (2 * stats.norm.sf(z)) < 1.01
    assert 6.4 < values.max() < 6.5


def test_neighbours_are_independent(samples):
    for lag in (1, 2, 3, 4, 16, 64, 256, 1024):
        assert abs(np.mean(samples[lag:] * samples[:-lag])) < 5 / np.sqrt(N)
        assert abs(np.mean((samples[lag:] ** 2 - 1) * (samples[:-lag] ** 2 - 1))) < 5 * 2 / np.sqrt(N)


def test_streams_are_independent():
    """Sites, steps, MVMs and chunks differ by key or purpose: no pair of streams is correlated or shared."""
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(4)]
    seeds = [noise.derive(noise.seed_of(k), p, q) for k in keys for p in range(3) for q in range(3)]
    draws = np.stack([np.asarray(noise.gaussian(s, (20_000,)), np.float64) for s in seeds])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(20_000)


def test_seeds_of_many_purposes_do_not_collide():
    seeds = jax.vmap(lambda i: noise.derive(jnp.asarray([3, 4], jnp.uint32), i))(jnp.arange(50_000))
    assert len(np.unique(np.asarray(seeds), axis=0)) == 50_000


def test_uniform_is_uniform():
    u = np.asarray(noise.uniform(stream(2), (N,)), np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u[:200_000], "uniform").pvalue > 1e-3
