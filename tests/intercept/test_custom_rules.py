"""Custom derivatives that hold matmuls: both halves run on sites, and the cotangent side is known to be a gradient."""

from __future__ import annotations

import intercept_float_sites
import jax
import jax.numpy as jnp
import pytest
from intercept_float_sites import assert_same, transformed
from jax import lax

from imctrain.errors import UserError
from imctrain.intercept import count_matmuls

pytestmark = pytest.mark.leak_checks


@pytest.fixture(scope="module")
def W():
    return jax.random.normal(jax.random.key(1), (4, 4)) / 2


@pytest.fixture(scope="module")
def X():
    return jax.random.normal(jax.random.key(2), (3, 4)) / 2


@pytest.fixture(autouse=True)
def _float_sites(monkeypatch):
    intercept_float_sites.install(monkeypatch)


@jax.custom_vjp
def scaled_dense(w, x, factor):
    return jnp.tanh(x @ w) * factor.astype(x.dtype)


def _scaled_forward(w, x, factor):
    y = jnp.tanh(x @ w)
    return y * factor.astype(x.dtype), (w, x, y, factor.astype(x.dtype))


def _scaled_backward(kept, g):
    w, x, y, factor = kept
    g = 3.0 * g * factor * (1 - y * y)  # not the true derivative: the rule itself must be used
    return x.T @ g, g @ w.T, None


scaled_dense.defvjp(_scaled_forward, _scaled_backward)


@jax.custom_jvp
def cubed(w, x):
    return jnp.sin(x @ w)


@cubed.defjvp
def _cubed_jvp(primals, tangents):
    w, x = primals
    dw, dx = tangents
    y = x @ w
    return jnp.sin(y), 2.0 * jnp.cos(y) * (dx @ w + x @ dw)


def kinds(imc, *args):
    return {entry.name: (entry.lhs.kind, entry.rhs.kind) for entry in imc.ledger(*args)}


def test_custom_vjp(W, X):
    def fn(w, x, factor):
        with jax.named_scope("layer"):
            return scaled_dense(w, x, factor)

    imc = assert_same(fn, W, X, jnp.int32(2), sites=3)
    assert kinds(imc, W, X, jnp.int32(2)) == {
        "layer": ("activation", "weight"),
        "layer/bwd": ("activation", "gradient"),
        "layer/bwd#2": ("gradient", "weight"),
    }


def test_custom_jvp(W, X):
    imc = assert_same(cubed, W, X, sites=3)
    assert list(kinds(imc, W, X).values()) == [
        ("activation", "weight"),
        ("gradient", "weight"),
        ("activation", "gradient"),
    ] or sorted(map(sorted, kinds(imc, W, X).values())) == [
        ["activation", "gradient"],
        ["activation", "weight"],
        ["gradient", "weight"],
    ]


def test_a_rule_with_a_matmul_its_function_does_not_have(W, X):
    @jax.custom_vjp
    def straight(w, x):
        return x * 1.0

    straight.defvjp(lambda w, x: (x, (w, x)), lambda kept, g: (kept[1].T @ g, g))
    assert_same(straight, W, X, sites=1)


@pytest.mark.slow
def test_rules_in_scan_remat_vmap_and_cond(W, X):
    def fn(w, x):
        def body(carry, _):
            return cubed(w, scaled_dense(w, carry, jnp.float32(0.5))), None

        y = jax.checkpoint(lambda v: lax.scan(body, v, None, length=2)[0])(x)
        y = jax.vmap(lambda row: cubed(w, row[None])[0])(y)
        return lax.cond(jnp.sum(y) > -100, lambda v: scaled_dense(w, v, jnp.float32(1.0)), lambda v: v, y)

    assert_same(fn, W, X, sites=12)


@pytest.mark.slow
def test_vmap_outside_a_rule(W, X, key):
    imc = transformed(lambda w, x: cubed(w, x))
    xs = jnp.stack([X, 2 * X])
    got = jax.grad(lambda w: jax.vmap(lambda x: imc(w, x, key=key))(xs).sum())(W)
    assert jnp.allclose(got, jax.grad(lambda w: jax.vmap(lambda x: cubed(w, x))(xs).sum())(W), atol=1e-4)


def test_telemetry_of_sites_inside_a_rule(W, X, key):
    def fn(w, x):
        def body(carry, _):
            return scaled_dense(w, carry, jnp.float32(0.5)), None

        with jax.named_scope("net"):
            return lax.scan(body, x, None, length=3)[0].sum()

    imc = transformed(fn)
    state = imc.init(W, X)
    _, telemetry = jax.grad(lambda w, s: imc(w, X, key=key, state=s), argnums=(0, 1))(W, state)
    assert float(telemetry["net"]["calls"]) == 3
    assert float(telemetry["net"]["backward"]) == 0


def test_telemetry_of_a_scan_inside_a_rule(W, X, key):
    @jax.custom_vjp
    def deep(w, x):
        return lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, None, length=4)[0]

    deep.defvjp(lambda w, x: (deep(w, x), (w, x)), lambda kept, g: (kept[1].T @ g, g))
    imc = transformed(lambda w, x: deep(w, x).sum())
    state = imc.init(W, X)
    _, telemetry = jax.grad(lambda w, s: imc(w, X, key=key, state=s), argnums=(0, 1))(W, state)
    assert {name: float(entry["calls"]) for name, entry in telemetry.items()} == {"dot": 4.0, "bwd": 0.0}
    assert [entry.executions for entry in imc.ledger(W, X)] == [4, 1]


def test_rules_without_matmuls_are_left_alone(W, X, key):
    jaxpr = jax.make_jaxpr(lambda w, x: transformed(lambda w, x: jax.nn.relu(x @ w))(w, x, key=key))(W, X)
    assert "relu" in str(jaxpr)
    assert "custom_jvp_call" in str(jaxpr)
    assert count_matmuls(jaxpr).outside == 0


def test_a_float_rule_leaves_the_custom_rule_as_it_was(W, X, key):
    from imctrain.intercept import Rule, on_imc
    from imctrain.settings import Hardware

    imc = on_imc(cubed, Hardware(), rules=[Rule("*", path="float")])
    jaxpr = jax.make_jaxpr(lambda w, x: imc(w, x, key=key))(W, X)
    assert "custom_jvp_call" in str(jaxpr)
    assert jnp.allclose(
        jax.grad(lambda w: imc(w, X, key=key).sum())(W), jax.grad(lambda w: cubed(w, X).sum())(W), atol=1e-5
    )


def test_a_constant_in_a_closure_is_fine(W, X):
    table = jnp.eye(4) * 2

    @jax.custom_vjp
    def f(x):
        return x @ table

    f.defvjp(lambda x: (x @ table, None), lambda _, g: (g @ table.T,))
    assert_same(lambda w, x: f(x @ w), W, X, sites=3)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_traced_value_in_a_closure_is_an_error(where, W, X):
    def fn(w, x):
        hidden = jnp.sin(w)

        @jax.custom_vjp
        def f(x):
            return x @ hidden if where == "forward" else x * 1.0

        f.defvjp(lambda x: (f(x), None), lambda _, g: (g @ hidden.T,))
        with jax.named_scope("tricky"):
            return f(x)

    # JAX's own leak check would complain first.
    with jax.check_tracer_leaks(False), pytest.raises(UserError, match="site tricky: a custom_vjp rule uses values"):
        transformed(fn).ledger(W, X)


def test_a_value_of_an_outer_trace_in_a_closure_is_fine(W, X, key):
    def loss(w, scale):
        @jax.custom_vjp
        def f(p, x):
            return x @ p

        f.defvjp(lambda p, x: (x @ p, (p, x)), lambda kept, g: (kept[1].T @ g * scale, g @ kept[0].T * scale))
        return transformed(lambda p, x: f(p, x))(w, X, key=key).sum()

    expected = 3.0 * X.T @ jnp.ones((3, 4))
    assert jnp.allclose(jax.jit(jax.grad(loss))(W, jnp.float32(3)), expected, atol=1e-5)
    assert jnp.allclose(jax.vmap(jax.grad(loss), (None, 0))(W, jnp.array([3.0, 6.0]))[0], expected, atol=1e-5)


def test_two_gradients_cannot_be_multiplied(X):
    @jax.custom_vjp
    def f(x):
        return x

    f.defvjp(lambda x: (x, None), lambda _, g: (g @ g.T @ g,))
    intercepted = transformed(f)
    assert [entry.lhs.kind for entry in intercepted.ledger(X)] == ["gradient", "gradient"]
