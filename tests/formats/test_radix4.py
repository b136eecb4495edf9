"""fp4_radix4: truth table of nearest rounding, unbiased stochastic rounding, bounds by property."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imctrain.formats import round_nearest, round_stochastic

LEVELS = [4.0**k for k in range(7)]


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.0, 0.0), (0.6, 0.0), (0.62, 0.0), (0.625, 1.0), (1.0, 1.0), (2.4999, 1.0), (2.5, 4.0), (9.999, 4.0),
        (10.0, 16.0), (39.99, 16.0), (40.0, 64.0), (160.0, 256.0), (640.0, 1024.0), (2559.0, 1024.0), (2560.0, 4096.0),
        (4096.0, 4096.0), (1e6, 4096.0), (1e30, 4096.0),
    ],
)  # fmt: skip
def test_nearest_truth_table(value, level):
    assert float(round_nearest(jnp.float32(value))) == level
    assert float(round_nearest(jnp.float32(-value))) == -level


@given(st.floats(min_value=2.0**-20, max_value=4096.0, width=32))
@settings(max_examples=300, deadline=None)
def test_nearest_is_nearest(value):
    got = float(round_nearest(jnp.float32(value)))
    best = min(abs(value - level) for level in [0.0, *LEVELS])
    # 0 and 1 meet at 0.625 (the format's rule), not at their midpoint.
    assert abs(value - got) <= best * (1 + 1e-6) or 0.5 <= value <= 0.625


def test_stochastic_is_unbiased_and_adjacent():
    n = 200_000
    u = jnp.asarray(np.random.default_rng(0).random(n), jnp.float32)
    for value in (0.01, 0.3, 0.99, 1.0, 1.7, 3.99, 4.0, 11.0, 100.0, 3000.0, 4096.0):
        got = np.asarray(round_stochastic(jnp.full(n, value, jnp.float32), u), np.float64)
        below = max([level for level in [0.0, *LEVELS] if level <= value])
        above = min([level for level in [0.0, *LEVELS] if level >= value])
        assert set(np.unique(got)) <= {below, above}
        sigma = (above - below) / 2 / np.sqrt(n)
        assert abs(got.mean() - value) <= 5 * sigma + 1e-6 * value


def test_stochastic_saturates():
    u = jnp.asarray([0.0, 0.5, 0.999], jnp.float32)
    assert np.all(np.asarray(round_stochastic(jnp.full(3, -1e9, jnp.float32), u)) == -4096.0)
