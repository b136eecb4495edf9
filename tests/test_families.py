"""Every member of every family passes the same checks, and the lists are those of the settings."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imctrain
from imctrain.families import member
from imctrain.formats import RADIX4, IntegerFormat
from imctrain.formats.clips import clip_policy
from imctrain.formats.clips.base import Clip
from imctrain.imc.chip.ranges import range_policy
from imctrain.imc.chip.ranges.base import RangePolicy
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.levels import rounding
from imctrain.imc.coding.passes import gradient_mapping
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware, MappingSpec, NoiseSpec
from imctrain.settings.hardware import Path


@pytest.fixture(scope="module")
def key():
    return jax.random.key(0)


def names(section, key):
    """What a setting allows."""
    annotation = section.model_fields[key].annotation
    assert get_origin(annotation) is Literal
    return get_args(annotation)


CLIPS = sorted({*names(FormatSpec, "weight_clip"), *names(FormatSpec, "activation_clip")})
ROUNDINGS = names(FormatSpec, "gradient_rounding")
RANGES = names(AdcSpec, "range_policy")
GRADIENTS = names(MappingSpec, "gradient")
INTEGERS = names(MappingSpec, "activation")
PATHS = get_args(Path)
FAMILIES = {
    "imctrain.formats.clips": CLIPS,
    "imctrain.imc.coding.roundings": ROUNDINGS,
    "imctrain.imc.chip.ranges": RANGES,
    "imctrain.imc.coding.gradient_mappings": GRADIENTS,
    "imctrain.imc.coding.integer_mappings": INTEGERS,
    "imctrain.imc.engines": PATHS,
}


@pytest.mark.parametrize("package", FAMILIES)
def test_a_family_has_a_file_for_each_name_and_no_other_member(package):
    found = {info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    assert {name for name in found if hasattr(importlib.import_module(f"{package}.{name}"), "MEMBER")} == {
        *FAMILIES[package]
    }
    assert all(member(package, name) is not None for name in FAMILIES[package])


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("signed", [True, False])
def test_clips(name, signed, key):
    """A clip is positive, within the largest value, scales with the operand, and a zero operand has one."""
    policy: Clip = clip_policy(name)
    fmt = IntegerFormat(4, signed)
    x = jax.random.normal(key, (64, 32))
    x = x if signed else jax.nn.relu(x)
    clip = float(policy.statistic(x, fmt))
    assert 0 < clip <= 1.01 * float(jnp.max(jnp.abs(x)))
    assert float(policy.statistic(8.0 * x, fmt)) == pytest.approx(8.0 * clip, rel=1e-4)
    assert float(policy.statistic(jnp.zeros((4, 4)), fmt)) > 0
    rms = float(jnp.sqrt(jnp.mean(x * x)))
    if signed or name != "sawb":
        assert policy.of_gaussian(fmt) == pytest.approx(clip / rms, rel=0.25)


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("samples", [1, 3])
def test_roundings(name, samples, key):
    """Levels are levels of the format; their mean over draws is near the gradient, and equal to it where it says so."""
    way = rounding(FormatSpec(gradient_rounding=name))
    g = jnp.asarray([0.3, -1.7, 5.0, -90.0, 4096.0, 0.0])
    seeds = jax.random.bits(key, (2000, 2), jnp.uint32)
    allowed = {0.0, *(s * float(v) for v in RADIX4.magnitudes for s in (1, -1))}
    for odd in (False, True):
        found = way.encode(g, jnp.float32(1.0), seeds[0], odd=odd, samples=samples)
        for i in range(samples):
            assert set(np.asarray(found.sample(i)).tolist()) <= allowed
        assert found.samples == samples

        def value(seed, odd=odd):
            levels = way.encode(g, jnp.float32(1.0), seed, odd=odd, samples=samples)
            return levels.mean * levels.scale

        values = jax.vmap(value)(seeds)
        mean, error = jnp.mean(values, 0), jnp.std(values, 0) / len(seeds) ** 0.5
        if way.unbiased:
            assert np.all(np.abs(mean - g) <= 5 * error + 1e-6)
        else:
            assert np.all(np.abs(mean - g) <= 0.75 * np.maximum(np.abs(g), 1.0))


@pytest.mark.parametrize("name", RANGES)
def test_range_policies(name):
    """Every range that is chosen is possible; nothing seen takes the first; what needs more gets no less."""
    adc = AdcSpec(range_policy=name)
    policy: RangePolicy = range_policy(adc)
    possible = policy.possible(adc)
    assert list(possible) == sorted(possible, reverse=True)
    needed = jnp.asarray([0.0, 1e-6, 0.01, 0.1, 0.3, 0.6, 3.0])
    chosen = np.asarray(policy.choose(needed, adc))
    assert {float(r) for r in chosen} <= {float(np.float32(r)) for r in possible}
    assert chosen[0] == adc.range
    assert np.all(np.diff(chosen[1:]) >= 0)
    zero = jnp.zeros_like(needed)
    seen = policy.update(zero, policy.choose(zero, adc), zero, zero, zero + 1e-4, adc)
    assert np.all(np.asarray(seen) > 0)
    clipping = policy.update(zero, jnp.full_like(needed, 0.5), zero + 0.1, zero, zero, adc)
    assert np.all(np.asarray(clipping) >= 1.0)


@pytest.mark.parametrize("drive", ["signed", "unsigned"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_mappings(name, drive):
    array = ArraySpec(input_bits=5, drive=drive)
    mapping = gradient_mapping(MappingSpec(gradient=name), array)
    values = np.asarray([0.0, *(s * float(v) for v in RADIX4.magnitudes for s in (1, -1))], np.float32)
    codes = np.asarray(mapping.drive(jnp.asarray(values)), np.float64)
    assert np.array_equal(codes, np.round(codes))
    assert codes.max() <= array.levels
    assert codes.min() >= (0 if drive == "unsigned" else -array.levels)
    assert np.array_equal(np.tensordot(mapping.coefficients, codes, 1), values)


@pytest.mark.parametrize("drive", ["signed", "unsigned"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_mappings(name, bits, drive):
    array = ArraySpec(input_bits=3, drive=drive)
    for fmt in (IntegerFormat(bits, True), IntegerFormat(bits, False)):
        mapping = integer_mapping(MappingSpec(activation=name), array, fmt)
        values = np.arange(fmt.lowest, fmt.top + 1.0)
        codes = np.asarray(mapping.drive(jnp.asarray(values, jnp.float32)), np.float64)
        assert np.array_equal(codes, np.round(codes))
        assert np.abs(codes).max() <= array.levels
        np.testing.assert_allclose(np.tensordot(mapping.coefficients, codes, 1) + mapping.centre, values, atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_engines(path, key):
    """Values near the product, gradients of both operands, a report of every MVM on the array; compiled once."""
    w, x = jax.random.normal(key, (64, 16)), jax.random.normal(jax.random.key(1), (32, 64))
    f = imctrain.on_imc(lambda w, x: x @ w, Hardware(path=path, noise=NoiseSpec(sigma_lsb=0.6)))
    state = f.init(w, x)
    step = jax.jit(jax.grad(lambda w, x, s, k: jnp.vdot(f(w, x, key=k, state=s), x @ w), argnums=(0, 1, 2)))
    for i in range(6):
        dw, dx, telemetry = step(w, x, state, jax.random.key(i))
        state, reports = f.update(state, telemetry)
    assert step._cache_size() == 1
    out, exact = f(w, x, key=key, state=state), x @ w
    assert float(jnp.vdot(out, exact) / jnp.vdot(exact, exact)) == pytest.approx(1.0, abs=0.1)
    for found, expected in ((dw, 2 * x.T @ exact), (dx, 2 * exact @ w.T)):
        assert float(jnp.vdot(found, expected)) > 0
    assert f.site("dot").paths.keys() == {"forward", "input_grad", "weight_grad"}
    assert (len(reports["dot"]) == 0) == (path == "digital")
