"""The clip of least error: against a look at every element, and right for what multiples of the rms cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, WEIGHT, dot_site, hardware
from tiers import slow

import imctrain
from imctrain.formats import INT4, UINT4, IntegerFormat
from imctrain.formats.clips.base import gaussian_clip
from imctrain.formats.clips.least_error import (
    CANDIDATES,
    STEP,
    clip_of,
    error_curve,
    least_error_clip,
    least_error_with_noise,
)
from imctrain.settings import FormatSpec, Hardware, NoiseSpec


def rng():
    return np.random.default_rng(7)


OPERANDS = {
    "Gaussian": (lambda: rng().standard_normal(60_000), True),
    "Gaussian, every element looked at": (lambda: rng().standard_normal(1000), True),
    "ReLU map": (lambda: np.maximum(rng().standard_normal((8, 32, 32, 32)), 0.0), False),
    "heavy tails": (lambda: rng().standard_t(3, 60_001), True),
    "one-hot, 10 classes": (lambda: np.eye(10)[rng().integers(0, 10, 1000)], False),
    "one-hot, 10,000 classes": (lambda: np.eye(10_000)[rng().integers(0, 10_000, 64)], False),
    "peaked attention": (lambda: np.exp(8 * rng().standard_normal((256, 256)) - 20), False),
    "99 % sparse": (lambda: rng().standard_normal(60_000) * (rng().random(60_000) < 0.01), True),
    "one outlier": (lambda: np.append(rng().standard_normal(60_000), 3e4), True),
    "three values": (lambda: rng().choice([0.0, 0.3, 1.0], 50_000), False),
    "a constant": (lambda: np.full(5000, 0.3), True),
    "channels of their own sizes": (
        lambda: np.maximum(rng().standard_normal((64, 32, 32)), 0) * np.geomspace(0.01, 1, 32),
        False,
    ),
    "huge": (lambda: rng().standard_normal(5000) * 1e30, True),
    "tiny": (lambda: rng().standard_normal(5000) * 1e-25, True),
}
QUICK = ("ReLU map", "one-hot, 10 classes")
CASES = [name if name in QUICK else slow(name) for name in OPERANDS]


def error(x, clip, signed):
    """Squared error of the codes over the power, of all elements in float64."""
    fmt = IntegerFormat(4, signed)
    top = fmt.top
    codes = np.clip(np.round(x / (clip / top)), fmt.lowest, top)
    return np.sum(((x - codes * clip / top) / np.abs(x).max()) ** 2) / np.sum((x / np.abs(x).max()) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_other_clip_errs_less(name):
    draw, signed = OPERANDS[name]
    x = draw()
    found = float(least_error_clip(jnp.asarray(x, jnp.float32), IntegerFormat(4, signed)))
    least = min(error(x, np.abs(x).max() * STEP**i, signed) for i in range(CANDIDATES))
    # Runs stand for all elements: of those that are not all looked at, the error is known within a few percent.
    assert error(x, found, signed) <= 1.03 * least + 1e-7


@pytest.mark.parametrize("name", CASES)
def test_the_curve_is_the_error(name):
    draw, signed = OPERANDS[name]
    x = draw()
    curve = error_curve(jnp.asarray(x, jnp.float32), IntegerFormat(4, signed))
    assert float(curve.rms) == pytest.approx(np.abs(x).max() * np.sqrt(np.mean((x / np.abs(x).max()) ** 2)), rel=0.1)
    for i in (0, 4, 8):
        expected = error(x, float(curve.clips[i]), signed)
        assert float(curve.errors[i]) == pytest.approx(expected, rel=0.15, abs=1e-6)


@pytest.mark.slow
def test_a_gaussian_has_the_clips_that_the_hardware_check_assumes():
    x = rng().standard_normal(10**6)
    for signed, values in ((True, x), (False, np.maximum(x, 0.0))):
        clip = float(least_error_clip(jnp.asarray(values, jnp.float32), IntegerFormat(4, signed))) / np.sqrt(
            np.mean(values**2)
        )
        assert clip == pytest.approx(gaussian_clip(IntegerFormat(4, signed)), rel=0.1)


def test_nothing_at_all_has_a_clip():
    zeros = jnp.zeros((4, 3000), jnp.float32)
    clip = least_error_clip(zeros, UINT4)
    codes, scale = UINT4.quantise(zeros, clip)
    assert float(clip) > 0
    assert np.isfinite(float(scale))
    assert not np.any(codes)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [10, 100, 1000, 10_000])
def test_a_one_hot_look_up_comes_out_unscaled(classes):
    table = jax.random.normal(jax.random.key(0), (classes, 32))
    tokens = jax.random.randint(jax.random.key(1), (64,), 0, classes)
    look_up = imctrain.on_imc(lambda e, t: jax.nn.one_hot(t, classes) @ e, Hardware(path="digital"))
    out = look_up(table, tokens, key=jax.random.key(2))
    assert float(jnp.vdot(out, table[tokens]) / jnp.vdot(table[tokens], table[tokens])) == pytest.approx(1, abs=0.03)


def test_peaked_attention_comes_out_unscaled():
    scores, values = (
        8 * jax.random.normal(jax.random.key(3), (64, 256)),
        jax.random.normal(jax.random.key(4), (256, 32)),
    )
    attend = imctrain.on_imc(lambda p, s, v: jax.nn.softmax(s) @ v, Hardware(path="digital"))
    out, expected = attend({}, scores, values, key=jax.random.key(2)), jax.nn.softmax(scores) @ values
    assert float(jnp.vdot(out, expected) / jnp.vdot(expected, expected)) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("nu", [30.0, 600.0])
def test_with_noise_both_clips_err_least_together(nu):
    """A product of 256 elements with noise of nu a contracted element: no pair of candidates errs clearly less."""
    draw = rng()
    x, w = np.maximum(draw.standard_normal((512, 256)), 0.0), draw.standard_normal((256, 512))
    curves = [
        error_curve(jnp.asarray(a, jnp.float32), IntegerFormat(4, signed)) for a, signed in ((x, False), (w, True))
    ]
    chosen = least_error_with_noise(*curves, (15, 7), jnp.float32(nu))
    noise = draw.standard_normal((512, 512)) * np.sqrt(nu * 256)

    def simulated(a, b):
        codes_x, codes_w = np.clip(np.round(x / (a / 15)), 0, 15), np.clip(np.round(w / (b / 7)), -7, 7)
        # The mean of x, which saturating lowers, is a constant of each output that any normalisation removes.
        return np.mean(np.var((codes_x @ codes_w + noise) * (a / 15) * (b / 7) - x @ w, axis=0))

    a, b = (float(clip) for clip in chosen)
    quiet = [float(clip_of(curve)) for curve in curves]
    assert a < quiet[0]
    assert b < quiet[1]
    best = simulated(a, b)
    assert best < 0.75 * simulated(*quiet)
    for factor in (0.7, 1.4):
        assert best < 1.05 * simulated(a * factor, b)
        assert best < 1.05 * simulated(a, b * factor)


def test_hopeless_noise_leaves_clips_as_they_are():
    draw = rng()
    curves = [error_curve(jnp.asarray(draw.standard_normal(500), jnp.float32), INT4) for _ in range(2)]
    chosen = least_error_with_noise(*curves, (7, 7), jnp.float32(1e6))
    for clip, curve in zip(chosen, curves, strict=True):
        assert float(clip) == float(clip_of(curve))


@pytest.mark.slow
def test_a_site_encodes_with_them_and_lowers_them_only_on_an_array():
    draw = rng()
    x, w = (jnp.asarray(draw.standard_normal(shape), jnp.float32) for shape in ((8, 432), (432, 16)))
    x = jnp.maximum(x, 0)
    spec = hardware(noise=NoiseSpec(sigma_array_lsb=0.2, sigma_adc_lsb=0.6), formats=FormatSpec())

    def clips(spec):
        site = dot_site(8, 432, 16, spec, lhs=UNSIGNED, rhs=WEIGHT)
        return [float(encoded.clip) for encoded in site.encode(x, w, site.init_state())]

    usual = [float(least_error_clip(x, UINT4)), float(least_error_clip(w, INT4))]
    aware = spec.replace(formats=FormatSpec(noise_aware=True))
    assert clips(spec) == clips(aware.replace(path="digital")) == usual
    assert all(low < high for low, high in zip(clips(aware), usual, strict=True))
