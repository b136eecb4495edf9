"""Noise-aware clips: the table is the minimum of a simulated error, and a site uses it only where it has an array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, dot_site, hardware

from imctrain.errors import UserError
from imctrain.formats import INT4, UINT4, IntegerFormat
from imctrain.formats.clips.base import CLIPS, distortion
from imctrain.formats.clips.noise_aware import NOISE, lowering
from imctrain.imc.site.encode import clip_lowering
from imctrain.imc.site.forward import run_forward
from imctrain.imc.site.mvms import SiteMvms
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, NoiseSpec


@pytest.mark.parametrize("signed", [True, False])
def test_distortion_is_that_of_the_codes(signed):
    x = np.random.default_rng(0).standard_normal(200_000)
    x = x if signed else np.maximum(x, 0.0)
    x = jnp.asarray(x / np.sqrt(np.mean(x * x)), jnp.float32)
    for i in (60, 120, 180, 220):
        codes, scale = IntegerFormat(4, signed).quantise(x, jnp.float32(CLIPS[i]))
        measured = float(jnp.mean(jnp.square(codes * scale - x)))
        assert measured == pytest.approx(distortion(IntegerFormat(4, signed))[i], rel=0.03)


def test_without_noise_clips_are_those_of_the_formats():
    assert CLIPS[distortion(INT4).argmin()] == pytest.approx(2.5, abs=0.05)
    assert distortion(UINT4).min() == pytest.approx(distortion(UINT4)[np.abs(CLIPS - 3.6).argmin()], abs=2e-3)
    for signed in (True, False):
        for table in lowering(IntegerFormat(4, signed), INT4):
            assert table[0] == 1.0
            # Falling, up to one step of the grid.
            assert np.all(table[1:] <= 1.02 * table[:-1])
            assert table[-1] < 0.4
            assert len(table) == len(NOISE)


@pytest.mark.parametrize("nu", [30.0, 600.0])
def test_lowered_clips_lower_the_error_of_a_noisy_product(nu):
    """A simulated product of 256 elements: neither lower nor higher clips err less, and the usual ones err more."""
    rng = np.random.default_rng(1)
    x = jnp.asarray(np.maximum(rng.standard_normal((512, 256)), 0.0), jnp.float32)
    w = jnp.asarray(rng.standard_normal((256, 512)), jnp.float32)
    noise = jnp.asarray(rng.standard_normal((512, 512)) * np.sqrt(nu * 256), jnp.float32)
    driven, stored = (float(np.interp(np.log(nu), np.log(NOISE[1:]), t[1:])) for t in lowering(UINT4, INT4))

    @jax.jit
    def error(a, b):
        cx, sx = UINT4.quantise(x, a * CLIPS[distortion(UINT4).argmin()] * jnp.sqrt(jnp.mean(x * x)))
        cw, sw = INT4.quantise(w, b * CLIPS[distortion(INT4).argmin()] * jnp.sqrt(jnp.mean(w * w)))
        # The mean of x, which saturating lowers, is a constant of each output that any normalisation removes.
        difference = (cx @ cw + noise) * sx * sw - x @ w
        return jnp.mean(jnp.var(difference, axis=0))

    best = error(driven, stored)
    assert best < 0.75 * error(1.0, 1.0)
    for a in (0.7, 1.4):
        assert best < error(a * driven, stored)
        assert best < error(driven, a * stored)


def site_of(formats, path="exact", **changes):
    hw = hardware(
        array=ArraySpec(rows=1152),
        adc=AdcSpec(range_policy="per_site"),
        noise=NoiseSpec(sigma_array_lsb=0.2, sigma_adc_lsb=0.6),
        formats=formats,
    )
    return dot_site(8, 432, 16, hw.replace(path=path, **changes), lhs=UNSIGNED)


def codes_seen(site, monkeypatch):
    """Share of the weights that saturate in the forward MVM."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.standard_normal((8, 432)), 0.0), jnp.float32)
    w = jnp.asarray(rng.standard_normal((432, 16)), jnp.float32)
    seen = []
    mvms = SiteMvms(site.spec)
    execute = mvms.execute
    monkeypatch.setattr(mvms, "execute", lambda mvm, a, b, *rest: seen.append((a, b)) or execute(mvm, a, b, *rest))
    run_forward(mvms, x, w, site.init_state(), jnp.zeros(2, jnp.uint32))
    return float(jnp.mean(jnp.abs(seen[0][1]) == 7))


@pytest.mark.slow
@pytest.mark.parametrize("clips", [("sawb", "rms"), ("least_error", "least_error")])
def test_a_site_lowers_its_clips_only_on_the_array(clips, monkeypatch):
    usual = FormatSpec(weight_clip=clips[0], activation_clip=clips[1])
    aware = usual.replace(noise_aware=True)
    plain = codes_seen(site_of(usual), monkeypatch)
    assert codes_seen(site_of(aware), monkeypatch) > 5 * plain
    assert codes_seen(site_of(aware, path="digital"), monkeypatch) == plain
    assert codes_seen(site_of(aware, mvms=("input_grad",)), monkeypatch) == plain


def test_lowering_follows_the_range():
    site = site_of(FormatSpec(noise_aware=True))
    plan = site.mvms[0]
    noisy = {"driven": site.spec.lhs, "stored": site.spec.rhs}
    wide, narrow = (clip_lowering(plan, ranges=jnp.asarray([r]), **noisy) for r in (1.0, 0.125))
    assert all(0 < float(a) < float(b) < 1 for a, b in zip(wide, narrow, strict=True))


def test_clips_that_are_not_from_statistics_are_refused():
    with pytest.raises(
        UserError,
        match=r"noise_aware = .*activation_clip = 'pact'.*allowed is true with 'least_error' for both, or 'sawb' and",
    ):
        FormatSpec(noise_aware=True, activation_clip="pact")
