"""No two executions of any site share noise, whatever maps, loops and derivatives they stand in."""

from __future__ import annotations

import intercept_float_sites
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from intercept_float_sites import NoisySite, transformed
from jax import lax

from imctrain.errors import UserError

pytestmark = pytest.mark.leak_checks

W, X = jnp.zeros((4, 4)), jnp.zeros((3, 4))


@pytest.fixture(autouse=True)
def _noisy_sites(monkeypatch):
    intercept_float_sites.install(monkeypatch, NoisySite)


def all_differ(*samples):
    flat = [np.asarray(s).ravel() for s in samples]
    return all(not np.isclose(a, b).any() for i, a in enumerate(flat) for b in flat[:i])


def test_same_key_same_noise_and_other_key_other_noise(key):
    imc = transformed(lambda w, x: x @ w)
    assert jnp.array_equal(imc(W, X, key=key), imc(W, X, key=key))
    assert jnp.array_equal(imc(W, X, key=key), jax.jit(lambda k: imc(W, X, key=k))(key))
    assert all_differ(imc(W, X, key=key), imc(W, X, key=jax.random.key(8)))


def test_raw_keys_are_keys_too():
    imc = transformed(lambda w, x: x @ w)
    assert jnp.array_equal(imc(W, X, key=jax.random.PRNGKey(3)), imc(W, X, key=jax.random.key(3)))


@pytest.mark.parametrize("make", [lambda _: 3, lambda _: None, lambda _: jnp.zeros(2), jax.random.split])
def test_what_is_no_key(make, key):
    with pytest.raises(UserError, match="key"):
        transformed(lambda w, x: x @ w)(W, X, key=make(key))


def test_sites_and_iterations_differ(key):
    def fn(w, x):
        def inner(c, _):
            return c, x @ w

        def outer(c, _):
            return c, (x @ w, lax.scan(inner, c, None, length=2)[1])

        first, second = x @ w, x @ w
        whiled = lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1].at[c[0]].set(x @ w)), (0, jnp.zeros((3, 3, 4)))
        )
        return first, second, lax.scan(outer, 0.0, None, length=3)[1], whiled[1]

    first, second, (outer, inner), whiled = transformed(fn)(W, X, key=key)
    assert all_differ(first, second, *outer, *inner.reshape(6, 3, 4), *whiled)


def test_remat_repeats_its_noise(key):
    def fn(w, x):
        return jnp.sum(jnp.square(x @ w))

    imc, rematted = transformed(fn), transformed(jax.checkpoint(fn))
    ones = jnp.ones((4, 4))
    grad, again = (jax.grad(lambda w, f=f: f(w, X + 1, key=key))(ones) for f in (imc, rematted))
    assert jnp.allclose(grad, again, rtol=1e-5)


@pytest.mark.slow
def test_elements_of_a_batch_mapped_outside_differ(key):
    imc = transformed(lambda w, x: x @ w)
    xs = jnp.zeros((3, 3, 4))
    once = jax.vmap(lambda x: imc(W, x, key=key))(xs)
    assert all_differ(*once)
    twice = jax.vmap(jax.vmap(lambda x: imc(W, x, key=key)))(jnp.zeros((2, 3, 3, 4))).reshape(6, 3, 4)
    assert all_differ(*twice)
    # One map over the data, another over the weights.
    crossed = jax.vmap(lambda w: jax.vmap(lambda x: imc(w, x, key=key))(xs))(jnp.zeros((2, 4, 4))).reshape(6, 3, 4)
    assert all_differ(*crossed)


def test_a_mapped_key_is_used_as_it_is(key):
    imc = transformed(lambda w, x: x @ w)
    keys = jax.random.split(key, 3)
    mapped = jax.vmap(lambda x, k: imc(W, x, key=k))(jnp.zeros((3, 3, 4)), keys)
    assert jnp.allclose(mapped[1], imc(W, X, key=keys[1]), atol=1e-6)


@pytest.mark.slow
def test_elements_differ_in_scans_custom_rules_and_gradients(key):
    @jax.custom_vjp
    def dense(w, x):
        return x @ w

    dense.defvjp(lambda w, x: (x @ w, (w, x)), lambda kept, g: (kept[1].T @ g, g @ kept[0].T))

    def fn(w, x):
        return lax.scan(lambda c, _: (dense(w, c) @ w, None), x, None, length=2)[0]

    imc, xs = transformed(fn), jnp.zeros((3, 3, 4))
    assert all_differ(*jax.vmap(lambda x: imc(W, x, key=key))(xs))
    per_example = jax.vmap(jax.grad(lambda w, x: jnp.sum(jnp.square(imc(w, x, key=key)))), (None, 0))(W + 1.0, xs)
    assert all_differ(*per_example)
    summed = jax.grad(lambda w: jnp.sum(jnp.square(jax.vmap(lambda x: imc(w, x, key=key))(xs))))(W + 1.0)
    assert jnp.allclose(summed, per_example.sum(0), rtol=1e-4)


def test_what_is_not_mapped_is_computed_once(key):
    """A site whose operands are not mapped is one execution for the whole batch."""
    imc = transformed(lambda w, x: (w @ w, x @ w))
    shared, own = jax.vmap(lambda x: imc(W, x, key=key))(jnp.zeros((2, 3, 4)))
    assert jnp.array_equal(shared[0], shared[1])
    assert all_differ(*own)
