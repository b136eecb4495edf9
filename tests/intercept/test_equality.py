"""The transformed function equals the original in value and gradient, whatever structure the matmuls stand in."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import intercept_float_sites
import jax
import jax.numpy as jnp
import pytest
from intercept_float_sites import assert_same, transformed
from jax import lax
from tiers import slow

pytestmark = pytest.mark.leak_checks


@pytest.fixture(autouse=True)
def _float_sites(monkeypatch):
    intercept_float_sites.install(monkeypatch)


def array(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape) / 2


W, X = array(4, 4, seed=1), array(3, 4, seed=2)


@jax.jit
def dense(w, x):
    return jnp.tanh(x @ w)


def test_plain():
    assert_same(lambda w, x: x @ w + 1.0, W, X, sites=1)


def test_vectors():
    assert_same(lambda w, x: jnp.dot(w[0], x[0]) + jnp.dot(w, x[0]), W, X, sites=2)


@pytest.mark.parametrize(
    ("subscripts", "lhs", "rhs"),
    [
        ("abc,cd->abd", (2, 3, 4), (4, 5)),
        ("bac,dcb->dab", (2, 3, 4), (5, 4, 2)),
        ("abcd,ecbf->faed", (2, 3, 4, 5), (6, 4, 3, 2)),
        ("ab,cd->dbca", (2, 3), (4, 5)),
        ("ijk,ijk->", (2, 3, 4), (2, 3, 4)),
    ],
)
@pytest.mark.no_leak_checks("one operation, no control flow")
def test_einsum_with_odd_orders(subscripts, lhs, rhs):
    assert_same(lambda a, b: jnp.einsum(subscripts, a, b), array(*lhs), array(*rhs, seed=3), sites=1)


@pytest.mark.no_leak_checks("one operation, no control flow")
@hypothesis.settings(
    max_examples=8, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.data())
def test_dot_general_with_any_dimension_numbers(key, data):
    batch, free_lhs, free_rhs, contracted = (data.draw(st.lists(st.integers(1, 3), max_size=2)) for _ in range(4))
    lhs_order = data.draw(st.permutations(range(len(batch + contracted + free_lhs))))
    rhs_order = data.draw(st.permutations(range(len(batch + contracted + free_rhs))))
    lhs_dims = [*batch, *contracted, *free_lhs]
    rhs_dims = [*batch, *contracted, *free_rhs]
    lhs = array(*(lhs_dims[i] for i in lhs_order))
    rhs = array(*(rhs_dims[i] for i in rhs_order), seed=1)
    b, c = range(len(batch)), range(len(batch), len(batch) + len(contracted))
    numbers = (
        ([lhs_order.index(i) for i in c], [rhs_order.index(i) for i in c]),
        ([lhs_order.index(i) for i in b], [rhs_order.index(i) for i in b]),
    )
    imc = transformed(lambda a, b: lax.dot_general(a, b, numbers))
    assert jnp.allclose(imc(lhs, rhs, key=key), lax.dot_general(lhs, rhs, numbers), atol=1e-5)
    assert len(imc.ledger(lhs, rhs)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (2, 1), "padding": "SAME"},
        {"window_strides": (1, 1), "padding": ((2, 0), (1, 3))},
        {"window_strides": (1, 1), "padding": "VALID", "rhs_dilation": (2, 1)},
        {"window_strides": (1, 1), "padding": ((1, 1), (0, 2)), "lhs_dilation": (2, 2)},
        {"window_strides": (2, 2), "padding": "SAME", "feature_group_count": 2},
    ],
)
@pytest.mark.no_leak_checks("one operation, no control flow")
def test_convolutions(options):
    groups = options.get("feature_group_count", 1)
    kernel, image = array(3, 3, 4 // groups, 6), array(2, 6, 7, 4, seed=4)

    def conv(w, x):
        return lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)

    assert_same(conv, kernel, image, sites=1)


def test_jit_inside_jit():
    assert_same(lambda w, x: jax.jit(lambda y: dense(w, y) @ w)(dense(w, x)), W, X, sites=3)


@pytest.mark.parametrize("policy", [None, slow(jax.checkpoint_policies.dots_saveable)])
def test_remat(policy, key):
    imc = assert_same(lambda w, x: jax.checkpoint(dense, policy=policy)(w, dense(w, x)), W, X, sites=2)
    assert "remat" in str(jax.make_jaxpr(lambda w: imc(w, X, key=key))(W))


def test_scan_with_weights_as_slices_and_as_constants():
    stack = array(3, 4, 4, seed=5)

    def fn(params, x):
        def body(carry, w):
            hidden = jnp.tanh(carry @ w) @ params["shared"]
            return hidden, hidden.sum()

        return lax.scan(body, x, params["stack"], reverse=True)

    imc = assert_same(fn, {"stack": stack, "shared": W}, X, sites=2)
    assert [entry.executions for entry in imc.ledger({"stack": stack, "shared": W}, X)] == [3, 3]
    assert [entry.rhs.kind for entry in imc.ledger({"stack": stack, "shared": W}, X)] == ["weight", "weight"]


@pytest.mark.slow
def test_scan_in_scan_in_remat():
    def fn(w, x):
        def inner(carry, _):
            return jnp.tanh(carry @ w), None

        def outer(carry, _):
            return lax.scan(inner, carry, None, length=2)[0], None

        return jax.checkpoint(lambda y: lax.scan(outer, y, None, length=3)[0])(x)

    imc = assert_same(fn, W, X, sites=1)
    assert imc.ledger(W, X)[0].executions == 6


def test_while_runs_forward(key):
    def fn(w, x):
        return lax.while_loop(lambda c: jnp.sum(c[1] @ w) < c[0], lambda c: (c[0] - 1, jnp.tanh(c[1] @ w)), (3.0, x))

    imc = transformed(fn)
    got, expected = imc(W, X, key=key), fn(W, X)
    assert jnp.allclose(got[1], expected[1], atol=1e-5)
    assert float(got[0]) == float(expected[0])
    assert [entry.executions for entry in imc.ledger(W, X)] == [None, None]


@pytest.mark.parametrize("which", [slow(0), slow(1), 2])
def test_switch_and_cond(which):
    def fn(w, x, index):
        y = lax.switch(index, [lambda v: v @ w, lambda v: jnp.sin(v), lambda v: (v @ w) @ w.T], x)
        return lax.cond(index > 0, lambda v: v @ w, lambda v: v, y)

    imc = assert_same(fn, W, X, jnp.int32(which), sites=4)
    assert all(entry.conditional for entry in imc.ledger(W, X, jnp.int32(which)))


@pytest.mark.slow
def test_vmap_inside_and_outside(key):
    assert_same(lambda w, x: jax.vmap(lambda row: row @ w)(x), W, X, sites=1)
    imc = transformed(lambda w, x: jnp.tanh(x @ w))
    xs = array(5, 3, 4, seed=6)
    mapped = jax.vmap(lambda w, x: imc(w, x, key=key), (None, 0))
    assert jnp.allclose(mapped(W, xs), jnp.tanh(xs @ W), atol=1e-5)
    grad = jax.grad(lambda w: mapped(w, xs).sum())(W)
    assert jnp.allclose(grad, jax.grad(lambda w: jnp.tanh(xs @ w).sum())(W), atol=1e-4)
    per_example = jax.vmap(jax.grad(lambda w, x: imc(w, x, key=key).sum()), (None, 0))(W, xs)
    expected = jax.vmap(jax.grad(lambda w, x: jnp.tanh(x @ w).sum()), (None, 0))(W, xs)
    assert jnp.allclose(per_example, expected, atol=1e-4)


def test_remat_and_jit_outside(key):
    imc = transformed(dense)
    outside = jax.jit(jax.grad(lambda w: jax.checkpoint(lambda v: imc(v, X, key=key))(w).sum()))
    assert jnp.allclose(outside(W), jax.grad(lambda w: dense(w, X).sum())(W), atol=1e-5)


def test_attention():
    def attention(w, x):
        q, k, v = jnp.split(x @ w["qkv"], 3, axis=-1)
        weights = jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", q, k))
        return jnp.einsum("bqk,bkd->bqd", weights, v) @ w["out"]

    params = {"qkv": array(4, 12), "out": W}
    imc = assert_same(attention, params, array(2, 5, 4, seed=8), sites=4)
    mix = imc.ledger(params, array(2, 5, 4))[2]
    assert {mix.lhs.nonneg, mix.rhs.nonneg} == {True, False}
    assert (mix.lhs.kind, mix.rhs.kind) == ("activation", "activation")


def test_jax_attention():
    def fn(w, x):
        return jax.nn.dot_product_attention(x @ w, x, x)

    assert_same(fn, W, array(2, 5, 2, 4, seed=8), sites=3)


def test_low_precision_operands():
    def fn(w, x):
        return lax.dot_general(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), (((1,), (0,)), ((), ())),
                               preferred_element_type=jnp.float32)  # fmt: skip

    assert_same(fn, W, X, sites=1, atol=1e-2)


def test_trees_keywords_and_static_arguments(key):
    def fn(params, batch, *, times, flip=False, scale):
        out = {"y": batch["x"]}
        for _ in range(times):
            out["y"] = out["y"] @ params[0]
        return {"out": (out["y"][::-1] if flip else out["y"]) * scale, "label": batch["label"], "name": "static"}

    args = ([W], {"x": X, "label": jnp.arange(3)})
    imc = transformed(fn)
    for options in ({"times": 2, "flip": True, "scale": jnp.float32(2)}, {"times": 1, "scale": jnp.float32(3)}):
        got, expected = imc(*args, key=key, **options), fn(*args, **options)
        assert got.keys() == expected.keys()
        assert got["name"] == "static"
        assert jnp.allclose(got["out"], expected["out"], atol=1e-5)
        assert jnp.array_equal(got["label"], expected["label"])


def test_integer_products_are_no_sites(key):
    def fn(w, x, i):
        return x @ w, i @ i

    imc = transformed(fn)
    i = jnp.arange(9).reshape(3, 3)
    assert len(imc.ledger(W, X, i)) == 1
    assert jnp.array_equal(imc(W, X, i, key=key)[1], i @ i)


def test_empty_and_unused_products_are_no_sites():
    def fn(w, x):
        _ = x @ w
        return x @ w[:, :0], x[:0] @ w

    assert len(transformed(fn).ledger(W, X)) == 0


def test_closed_over_values_differentiate(key):
    def loss(w):
        return transformed(lambda p, x: (x @ p) @ w)(W, X, key=key).sum()

    assert jnp.allclose(jax.grad(loss)(W), jax.grad(lambda w: ((X @ W) @ w).sum())(W), atol=1e-5)
    assert jnp.allclose(jax.jit(jax.grad(loss))(W), jax.grad(lambda w: ((X @ W) @ w).sum())(W), atol=1e-5)


def test_a_gradient_inside_the_function_is_encoded_as_one(key):
    def penalty(w, x):
        with jax.named_scope("net"):
            slope = jax.grad(lambda v: jnp.sum(jnp.sin(v @ w)))(x)
        return slope

    imc = transformed(penalty)
    assert jnp.allclose(imc(W, X, key=key), penalty(W, X), atol=1e-5)
    assert [entry.lhs.kind for entry in imc.ledger(W, X)] == ["activation", "gradient"]


@pytest.mark.parametrize(("kind", "primitive"), [("Auto", "sharding_constraint"), ("Explicit", "reshard")])
def test_a_nested_jit_keeps_its_shardings(kind, primitive, key):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType[kind],))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    fn = jax.jit(lambda w, x: x @ w, out_shardings=sharding)
    imc = transformed(lambda w, x: fn(w, x))
    assert jnp.allclose(imc(W, X, key=key), X @ W, atol=1e-5)
    assert primitive in str(jax.make_jaxpr(lambda w, x: imc(w, x, key=key))(W, X))
