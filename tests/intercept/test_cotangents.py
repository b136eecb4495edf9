"""A cotangent that the function gives to a pullback is a gradient, wherever it comes from, and nothing else is."""

from __future__ import annotations

import intercept_float_sites
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from intercept_float_sites import transformed
from jax import lax

from imctrain.errors import UserError
from imctrain.intercept import on_imc
from imctrain.settings import FormatSpec, Hardware

pytestmark = pytest.mark.leak_checks


@pytest.fixture(scope="module")
def W():
    return jax.random.normal(jax.random.key(1), (4, 4)) / 2


@pytest.fixture(scope="module")
def X():
    return jax.random.normal(jax.random.key(2), (3, 4)) / 2


def kinds(fn, *args):
    return [(e.lhs.kind, e.rhs.kind) for e in on_imc(fn, Hardware()).ledger(*args)]


def layer(w, x):
    return jnp.tanh(x @ w)


def pulled_back(w, x, g):
    return jax.vjp(layer, w, x)[1](g)


def jacobian(w, x):
    return jax.jacrev(lambda row: layer(w, row))(x[0])


def scanned(w, x):
    return jax.vjp(lambda v: lax.scan(lambda c, _: (layer(w, c), None), v, None, length=3)[0], x)[1](x)


def convolved(w, x):
    def conv(w, x):
        return lax.conv_general_dilated(x[None], w[:, :3, None], (1,), "VALID")

    return jax.vjp(conv, w, x)[1](jnp.broadcast_to(x[None, :1], (1, 4, 4)))


FORWARD, TO_WEIGHT, TO_INPUT = ("activation", "weight"), ("gradient", "activation"), ("gradient", "weight")
ALL_THREE = [FORWARD, TO_WEIGHT, TO_INPUT]
CASES = {
    "vjp with data": (lambda w, x: pulled_back(w, x, x), ALL_THREE),
    "vjp with a constant": (lambda w, x: pulled_back(w, x, np.ones((3, 4), np.float32)), ALL_THREE),
    "vjp with a weight": (lambda w, x: pulled_back(w, x, w[:3]), ALL_THREE),
    "jacrev": (jacobian, [FORWARD, TO_INPUT]),
    "under jit": (jax.jit(lambda w, x: pulled_back(w, x, x)), ALL_THREE),
    "pulled back under jit": (lambda w, x: jax.jit(jax.vjp(layer, w, x)[1])(x), ALL_THREE),
    "under vmap": (jax.vmap(lambda w, x: pulled_back(w, x, x), (None, 0)), ALL_THREE),
    "of remat": (lambda w, x: jax.vjp(jax.checkpoint(layer), w, x)[1](x), ALL_THREE),
    "of a scan": (scanned, [FORWARD, TO_INPUT]),
    "of a product alone": (lambda w, x: jax.vjp(lambda v: x @ v, w)[1](x), [TO_WEIGHT]),
    "of a convolution": (convolved, [TO_INPUT, ("activation", "gradient")]),
}


@pytest.mark.parametrize("name", CASES)
def test_kinds_and_values(name, monkeypatch, W, X, key):
    fn, expected = CASES[name]
    found = kinds(fn, W, X)
    assert sorted(found) == sorted(expected)
    intercept_float_sites.install(monkeypatch)
    got = transformed(fn)(W, X, key=key)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, fn(W, X))


def test_the_forward_pass_that_remat_computes_again_is_no_gradient(W, X):
    """Its equations stand in the backward pass, and some of them start from a constant."""
    deep = jax.checkpoint(lambda w, x: layer(w, 1.0 - layer(w, x)))
    found = kinds(lambda w, x: jax.grad(lambda v: jnp.sum(deep(w, v) ** 2))(x), W, X)
    assert found.count(FORWARD) >= 3
    assert found.count(TO_INPUT) == 2
    assert set(found) == {FORWARD, TO_INPUT}


def test_what_jax_kept_of_a_call_outside_is_not_used_inside(W, X):
    """And the other way round: no mark is left in what the function computes outside."""
    pull = jax.jit(lambda w, x: jax.vjp(layer, w, x)[1](x))
    pull(W, X)
    assert kinds(lambda w, x: pull(w, x), W, X) == ALL_THREE
    assert "imc_cotangent" not in str(jax.make_jaxpr(pull)(W, X))
    assert "imc_cotangent" not in str(jax.make_jaxpr(jax.grad(lambda w: jnp.sum(layer(w, X))))(W))


def test_a_linear_transpose_is_an_operation_like_any_other(W, X):
    assert kinds(lambda w, x: jax.linear_transpose(lambda v: v @ w, x)(x), W, X) == [("activation", "weight")]


def test_it_is_encoded_in_radix_4(key):
    """Powers of 4 and integer weights are exact; as an activation of 4 bits the smaller ones would be 0."""
    g = jnp.asarray([[1.0, 1 / 4], [1 / 16, 1 / 64]])
    w = jnp.asarray([[7.0, -3.0], [1.0, 2.0]])
    hardware = Hardware(path="digital", formats=FormatSpec(weight_clip="max", activation_clip="max"))
    fn = on_imc(lambda w, g: jax.vjp(lambda x: x @ w, jnp.zeros((2, 2)))[1](g)[0], hardware)
    assert [(e.lhs.kind, e.rhs.kind) for e in fn.ledger(w, g)] == [TO_INPUT]
    np.testing.assert_allclose(fn(w, g, key=key), g @ w.T, rtol=1e-5)


@pytest.mark.no_leak_checks("JAX looks for leaks before it passes an error on, and fails itself")
def test_it_cannot_be_differentiated_again_and_the_site_is_named(W, X, key):
    fn = on_imc(lambda w, x: jnp.sum(jax.vjp(lambda v: x @ v, w)[1](x)[0]), Hardware())
    with pytest.raises(UserError, match=r"site dot: a product with a gradient, .* cannot be differentiated again"):
        jax.grad(lambda x: fn(W, x, key=key))(X)
