"""int4/uint4 codes and their clips."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imctrain.formats import INT4, UINT4, IntegerFormat, gradient_scale, gradient_top
from imctrain.formats.clips.max import max_clip
from imctrain.formats.clips.rms import rms_clip
from imctrain.formats.clips.sawb import sawb_clip


def test_sawb_on_a_gaussian_matches_the_formula():
    w = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    expected = 12.68 * np.sqrt(np.mean(w**2)) - 12.80 * np.mean(np.abs(w))
    assert np.isclose(float(sawb_clip(jnp.asarray(w))), expected, rtol=1e-4)
    assert 2.0 < expected < 3.0


def test_sawb_stays_sane_on_what_it_was_not_made_for():
    constant = jnp.full((64,), 0.3, jnp.float32)
    assert np.isclose(float(sawb_clip(constant)), 0.3, rtol=1e-5)
    spike = jnp.zeros(4096, jnp.float32).at[0].set(1.0)
    assert 0.0 < float(sawb_clip(spike)) <= 1.0
    assert float(sawb_clip(jnp.zeros(8, jnp.float32))) > 0.0


floats = hnp.arrays(np.float32, 32, elements=st.floats(-1e3, 1e3, width=32))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@given(floats)
@settings(max_examples=50, deadline=None)
def test_codes_are_integers_in_range_and_errors_bounded(bits, x):
    for fmt in (IntegerFormat(bits, True), IntegerFormat(bits, False)):
        values = jnp.asarray(x if fmt.signed else np.abs(x))
        codes, scale = fmt.quantise(values, max_clip(values))
        c = np.asarray(codes)
        assert np.all(c == np.round(c))
        assert fmt.lowest <= c.min()
        assert c.max() <= fmt.top
        assert np.array_equal(c.astype(fmt.dtype), c)
        assert np.all(np.abs(c * float(scale) - np.asarray(values)) <= 0.501 * float(scale) + 1e-12)


def test_formats_know_their_codes():
    assert [(f.name, f.lowest, f.top) for f in (INT4, UINT4)] == [("int4", -7, 7), ("uint4", 0, 15)]
    assert [IntegerFormat(b, True).top for b in range(2, 9)] == [1, 3, 7, 15, 31, 63, 127]
    assert [IntegerFormat(b, False).top for b in range(2, 9)] == [3, 7, 15, 31, 63, 127, 255]


def test_rms_clip_is_at_most_the_maximum():
    x = jnp.asarray([0.5, 0.5, 0.5], jnp.float32)
    assert float(rms_clip(x, UINT4)) == 0.5


def test_gradient_scale_puts_the_largest_on_the_top_level():
    assert float(gradient_scale(jnp.float32(8.0))) * 4096 == 8.0
    assert np.isfinite(1.0 / float(gradient_scale(jnp.float32(0.0))))


def test_a_gradient_clip_brings_the_top_level_down_to_a_multiple_of_the_rms():
    g = jnp.asarray([1.0, -1.0, 1.0, -9.0], jnp.float32)
    rms = np.sqrt(84 / 4)
    assert float(gradient_top(g, None)) == 9.0
    assert np.isclose(float(gradient_top(g, 1.5)), 1.5 * rms)
    assert float(gradient_top(g, 3.0)) == 9.0, "never above the largest magnitude"
    assert float(gradient_top(jnp.zeros(4, jnp.float32), 1.5)) == 0.0
