"""Weights and activations of 2 to 8 bits: integers are exact, noise follows the formula, plans count the passes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, WIDE, dot_site, hardware, integers, levels, run
from tiers import slow

import imctrain
from imctrain.errors import UserError
from imctrain.formats import IntegerFormat
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware, MappingSpec, NoiseSpec

WIDTHS = [(2, 8), (3, 5), (8, 2), (8, 8), (6, 4)]


def formats(weight_bits, activation_bits):
    return FormatSpec(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        weight_clip="max",
        activation_clip="max",
        gradient_rounding="nearest",
    )


def operands(weight_bits, activation_bits, m=6, k=40, n=5):
    """Codes of the formats with the largest present, so that encoding them is the identity."""
    rng = np.random.default_rng(weight_bits * 10 + activation_bits)
    weight, activation = IntegerFormat(weight_bits, True), IntegerFormat(activation_bits, False)
    x = rng.integers(0, activation.top + 1, (m, k)).astype(np.float32)
    w = rng.integers(weight.lowest, weight.top + 1, (k, n)).astype(np.float32)
    x.flat[0], w.flat[0] = activation.top, weight.top
    return x, w, levels(rng, (m, n))


@pytest.mark.parametrize("widths", [WIDTHS[0], *(slow(case) for case in WIDTHS[1:4]), WIDTHS[4]])
@pytest.mark.parametrize(
    ("array", "mapping"),
    [
        (ArraySpec(), MappingSpec()),
        slow(ArraySpec(cell="xnor", input_bits=4), MappingSpec(full_drive=True)),
        (ArraySpec(input_bits=2, drive="unsigned"), MappingSpec(activation="digit_serial", gradient="bit_serial")),
    ],
    ids=["signed drive", "xnor, full drive", "unsigned digits"],
)
def test_all_three_products_are_exact(widths, array, mapping):
    x, w, g = operands(*widths)
    spec = hardware(formats=formats(*widths), array=array.replace(rows=16), adc=WIDE, mapping=mapping)
    out, dx, dw, _ = run(dot_site(6, 40, 5, spec, lhs=UNSIGNED), x, w, g)
    for found, expected in ((out, x @ w), (dx, g @ w.T), (dw, x.T @ g)):
        np.testing.assert_allclose(integers(found), expected.astype(np.float64), rtol=1e-6)


def test_planes_and_passes_are_those_of_the_codes():
    spec = hardware(formats=formats(8, 6), array=ArraySpec(input_bits=4))
    forward, input_grad, weight_grad = dot_site(6, 40, 5, spec, lhs=UNSIGNED).mvms
    assert (forward.planes, input_grad.planes, weight_grad.planes) == (8, 8, 6)
    assert forward.mapping.passes == 2  # 0..63 on codes 0..8: 9^2 = 81 combinations
    assert forward.coding.weights == (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, -128.0)
    assert weight_grad.coding.weights[-1] == 32.0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
@pytest.mark.parametrize("widths", [(8, 8), (2, 5)])
def test_noise_follows_the_formula(widths, path):
    """Variance over 1500 draws, of each product; five standard deviations of the estimate."""
    x, w, g = operands(*widths)
    adc = AdcSpec(polarity="bipolar")  # a unipolar one cuts noise off below code 0
    spec = hardware(formats=formats(*widths), noise=NoiseSpec(sigma_array_lsb=0.8), path=path, adc=adc)
    site = dot_site(6, 40, 5, spec, lhs=UNSIGNED)
    state, draws = site.init_state(), 1500

    @jax.jit
    @jax.vmap
    def products(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), jnp.asarray(x), jnp.asarray(w))
        return out, *pullback(jnp.asarray(g))

    for found, plan in zip(products(jax.random.split(jax.random.key(3), draws)), site.mvms, strict=True):
        variance = np.var(np.asarray(found, np.float64), axis=0)
        expected = float(plan.output_noise_power(jnp.ones(plan.passes)))
        count = variance.size * draws
        assert np.mean(variance) / expected == pytest.approx(1.0, abs=5 * np.sqrt(2 / count) + 0.02)


@pytest.mark.slow
def test_more_bits_err_less():
    """Digitally, on a Gaussian layer: about 6 dB a bit."""
    w, x = jax.random.normal(jax.random.key(0), (256, 64)), jax.random.normal(jax.random.key(1), (128, 256))
    errors = []
    for bits in (2, 4, 6, 8):
        spec = Hardware(path="digital", formats=FormatSpec(weight_bits=bits, activation_bits=bits))
        out = imctrain.on_imc(lambda w, x: x @ w, spec)(w, x, key=jax.random.key(2))
        errors.append(10 * np.log10(float(jnp.mean((out - x @ w) ** 2) / jnp.mean((x @ w) ** 2))))
    assert np.all(np.diff(errors) < -8.0)
    assert errors[-1] < -35.0


@pytest.mark.slow
def test_a_network_trains_at_other_widths():
    """Loss falls with 8-bit weights and 3-bit activations, and with noise-aware clips of such widths."""
    w = 0.1 * jax.random.normal(jax.random.key(0), (32, 8))
    x = jax.nn.relu(jax.random.normal(jax.random.key(1), (64, 32)))
    y = x @ jax.random.normal(jax.random.key(2), (32, 8))
    for aware in (False, True):
        spec = Hardware(
            formats=FormatSpec(weight_bits=8, activation_bits=3, noise_aware=aware),
            noise=NoiseSpec(sigma_lsb=0.1),
        )
        f = imctrain.on_imc(lambda w, x: x @ w, spec)
        step = jax.jit(
            jax.value_and_grad(lambda w, s, k, f=f: jnp.mean((f(w, x, key=k, state=s) - y) ** 2), argnums=(0, 1))
        )
        state, now, losses = f.init(w, x), w, []
        for i in range(60):
            loss, (gradient, telemetry) = step(now, state, jax.random.key(i))
            state, _ = f.update(state, telemetry)
            now, losses = now - 0.3 * gradient, [*losses, float(loss)]
        assert losses[-1] < 0.3 * losses[0]


def test_what_does_not_go_together_is_one_line():
    with pytest.raises(UserError, match=r"weight_clip.*'sawb' with weight_bits = 5.*'sawb' with 4 bits only"):
        FormatSpec(weight_clip="sawb", weight_bits=5)
    with pytest.raises(UserError, match=r"mapping\.planes.*4.*6 to 14 with codes of 4 and 6 bits"):
        Hardware(formats=FormatSpec(weight_bits=6), mapping=MappingSpec(planes=4))
    with pytest.raises(UserError, match=r"weight_bits.*9"):
        FormatSpec(weight_bits=9)
