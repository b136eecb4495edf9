"""Helpers to build single sites in tests."""

import jax
import jax.numpy as jnp
import numpy as np

from imctrain.imc.mvm.contraction import ConvSpec, DotSpec
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.imc.site.site import make_site
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware

ACTIVATION, UNSIGNED, WEIGHT = OperandInfo("activation"), OperandInfo("activation", nonneg=True), OperandInfo("weight")
MATMUL = DotSpec((((1,), (0,)), ((), ())))
WIDE = AdcSpec(bits=18)
"""Wide enough that one LSB is below one unit of any dot product of the macro: integers come out exact."""


def dot_site(m, k, n, hardware, lhs=ACTIVATION, rhs=WEIGHT, index=0):
    return make_site(SiteSpec("dot", index, MATMUL, (m, k), (k, n), jnp.float32, lhs, rhs, hardware))


def conv_site(x, w, hardware, strides, padding, image_dilation, kernel_dilation, groups, lhs=ACTIVATION, rhs=WEIGHT):
    numbers = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))  # NHWC, HWIO, NHWC
    op = ConvSpec(strides, padding, image_dilation, kernel_dilation, numbers, groups)
    return make_site(SiteSpec("conv", 0, op, x.shape, w.shape, jnp.float32, lhs, rhs, hardware))


def integer_operands(rng, *shapes, low=-7, high=7):
    """Integer-valued arrays whose largest magnitude is the top code, so that encoding them is the identity."""
    arrays = []
    for shape in shapes:
        x = rng.integers(low, high + 1, shape).astype(np.float32)
        x.flat[0] = high
        arrays.append(x)
    return arrays


def levels(rng, shape):
    """Radix-4 levels with the top one present: with per-step scaling s = 1, encoding is the identity."""
    g = rng.choice([0.0, *(s * 4.0**k for k in range(7) for s in (1, -1))], shape).astype(np.float32)
    g.flat[0] = 4096.0
    return g


IDENTITY = FormatSpec(weight_clip="max", activation_clip="max", gradient_rounding="nearest")
"""Formats that leave `integer_operands` and `levels` unchanged."""


def hardware(array=None, adc=None, **settings):
    """Hardware whose every code a test can follow: no copies and one range, where the test sets neither; IDENTITY."""
    array, adc = array or ArraySpec(), adc or AdcSpec()
    if "replicate" not in array.model_fields_set:
        array = array.replace(replicate=False)
    if "range_policy" not in adc.model_fields_set:
        adc = adc.replace(range_policy="fixed")
    return Hardware(**({"formats": IDENTITY, "array": array, "adc": adc} | settings))


def run(site, lhs, rhs, g, state=None, key=None):
    """(output, d lhs, d rhs, cotangent of the state) for output gradient g."""
    key = jax.random.key(0) if key is None else key
    state = site.init_state() if state is None else state

    @jax.jit
    def both(lhs, rhs, g, state, key):
        out, pullback = jax.vjp(lambda a, b, s: site.apply(a, b, s, key), lhs, rhs, state)
        return out, *pullback(g)

    out, d_lhs, d_rhs, cotangent = both(lhs, rhs, g, state, key)
    return np.asarray(out, np.float64), np.asarray(d_lhs, np.float64), np.asarray(d_rhs, np.float64), cotangent


def product(site, lhs, rhs, key=None):
    """The output alone: what compiles fastest."""
    key, state = jax.random.key(0) if key is None else key, site.init_state()
    return np.asarray(jax.jit(lambda a, b: site.apply(a, b, state, key))(lhs, rhs), np.float64)


def products(site, lhs, rhs, key, count):
    """Outputs of `count` executions, each with a key of its own."""
    state, keys = site.init_state(), jax.random.split(jax.random.key(key), count)
    every = jax.jit(lambda k: jax.lax.map(lambda one: site.apply(lhs, rhs, state, one), k, batch_size=100))
    return np.asarray(every(keys), np.float64)


def integers(values):
    """Integer-valued results, freed of the float32 rounding of the digital scales (1 within 2 ulp here)."""
    rounded = np.round(values)
    np.testing.assert_allclose(values, rounded, rtol=5e-7, atol=0)
    return rounded
