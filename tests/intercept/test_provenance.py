"""What the analysis says of a value is true of it: nonneg values are >= 0, weights depend on no data."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from imctrain.intercept import on_imc
from imctrain.intercept.provenance import data_fact, propagate, weight_fact
from imctrain.settings import Hardware

pytestmark = pytest.mark.leak_checks

SHAPE = (3, 4)


def facts_of(fn, *args, weights=()):
    jaxpr = jax.make_jaxpr(fn)(*args)
    facts = [weight_fact(a) if i in weights else data_fact(a) for i, a in enumerate(args)]
    return propagate(jaxpr, facts)


def is_nonneg(fn, *args):
    return all(fact.nonneg for fact in facts_of(fn, *args))


def looped(x):
    return lax.fori_loop(0, 3, lambda i, c: jnp.abs(c) + 0.5, x)


def loop_that_ends_negative(x):
    return lax.fori_loop(0, 3, lambda i, c: c - 1.0, jnp.abs(x))


def doubled(x):
    """As often as the values say, and no more than five times: below -1 they would never be large."""
    return lax.while_loop(lambda s: (s[0] < 5) & jnp.all(s[1] < 9), lambda s: (s[0] + 1, s[1] * 2 + 1), (0, x))[1]


UNARY = [
    jax.nn.relu,
    jax.nn.relu6,
    jax.nn.gelu,
    jax.nn.softplus,
    jax.nn.sigmoid,
    jax.nn.softmax,
    jnp.exp,
    jnp.abs,
    jnp.negative,
    jnp.sin,
    jnp.tanh,
    jnp.square,
    jnp.floor,
    jnp.cbrt,
    jnp.expm1,
    lax.erf,
    lambda x: jnp.sqrt(jnp.abs(x)),
    lambda x: jnp.log1p(jax.nn.relu(x)),
    lambda x: x * x,
    lambda x: x**3,
    lambda x: x**4,
    lambda x: jnp.abs(x) ** 0.7,
    lambda x: jnp.cumsum(x, 0),
    lambda x: lax.cummax(x, 0),
    lambda x: jnp.sort(x, 1),
    lambda x: jnp.clip(x, -1.0, 1.0),
    lambda x: jnp.clip(x, 0.0, 6.0),
    lambda x: jnp.clip(jnp.abs(x), -1.0, -0.5),
    lambda x: jnp.where(x > 0, x, 0.0),
    lambda x: jnp.where(x < 0, 0.0, x),
    lambda x: jnp.where(x < 0, x, 0.0),
    lambda x: jnp.where(x >= -1, x, 0.0),
    lambda x: x * (x > 0).astype(x.dtype),
    lambda x: x * (x < 0).astype(x.dtype),
    lambda x: x - x.max(),
    lambda x: x - jnp.mean(x, 1, keepdims=True),
    lambda x: jnp.broadcast_to(x.var(0), SHAPE),
    lambda x: jnp.broadcast_to(x.max(1, keepdims=True), SHAPE),
    lambda x: jnp.broadcast_to(jnp.prod(x, 1, keepdims=True), SHAPE),
    lambda x: x.T.reshape(SHAPE),
    lambda x: jnp.pad(x, 1)[1:-1, 2:],
    lambda x: jnp.pad(x, 1, constant_values=-1.0)[1:-1, 2:],
    lambda x: jnp.roll(x, 1),
    lambda x: x.astype(jnp.bfloat16).astype(jnp.float32),
    lambda x: x.astype(jnp.int32).astype(jnp.float32),
    lambda x: (x > 0).astype(jnp.int8).astype(jnp.float32),
    lambda x: jnp.abs(x).astype(jnp.uint8).astype(jnp.int8).astype(jnp.float32),
    lambda x: jnp.take(x, jnp.array([2, 0, 1]), axis=0),
    lambda x: jnp.take(x, jnp.array([2, 0, 9]), axis=0, mode="fill", fill_value=-3),
    lambda x: x.at[0].add(x[1]),
    lambda x: x.at[0].mul(-1.0),
    lambda x: x + jnp.arange(4.0),
    lambda x: x + lax.iota(jnp.float32, 4),
    lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "SAME"),
    lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "SAME"),
    lambda x: jnp.nan_to_num(lax.reduce_window(x, -jnp.inf, lax.max, (1, 1), (1, 1), ((1, 1), (0, 0)))[1:4]),
    lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1), (1, 1), ((2, 0), (0, 0)))[:3].clip(-9),
    lambda x: x @ jnp.ones((4, 4)),
    lambda x: jax.jit(lambda y: y + 1.0)(x),
    lambda x: jax.checkpoint(jnp.square)(x),
    lambda x: lax.scan(lambda c, v: (c + v, c), jnp.zeros(4), x)[1],
    lambda x: lax.cond(x[0, 0] > 0, jnp.abs, jnp.negative, x),
    lambda x: lax.cond(x[0, 0] > 0, jnp.abs, jnp.exp, x),
    doubled,
    looped,
    loop_that_ends_negative,
]
BINARY = [
    jnp.add,
    jnp.subtract,
    jnp.multiply,
    jnp.maximum,
    jnp.minimum,
    lambda a, b: a / (b + 10.0),
    lambda a, b: a / jnp.exp(b),
    lambda a, b: jnp.where(a > b, a, b),
    lambda a, b: jnp.where(a > b, b, a),
    lambda a, b: jnp.where((a > 0) & (b > 0), a, 0.0),
    lambda a, b: jnp.concatenate([a, b])[2:5],
    lambda a, b: lax.dynamic_update_slice(a, b[:1], (1, 0)),
    lambda a, b: a.at[1:].set(b[1:]),
    lambda a, b: jnp.fmod(a, b + 5.5),
    lambda a, b: jnp.stack([a, b])[1],
    lambda a, b: jnp.hypot(a, b),
    lambda a, b: lax.clamp(a, b, jnp.abs(a) + 1),
]


PROGRAMS = (
    st.lists(
        st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 99), st.integers(0, 99)), max_size=6
    ),
    st.integers(0, 2**31 - 1),
)


def check_program(steps, seed):
    """What is called nonnegative is, in a program of these operations on operands of this seed."""

    def program(*inputs):
        values = list(inputs)
        for op, i, j in steps:
            a, b = values[-1 - i % 2 if len(values) > 1 else -1], values[j % len(values)]
            values.append(UNARY[op](a) if op < len(UNARY) else BINARY[op - len(UNARY)](a, b))
        return values

    rng = np.random.default_rng(seed)
    inputs = [jnp.asarray(rng.normal(size=SHAPE) * 2, jnp.float32) for _ in range(2)]
    facts = facts_of(program, *inputs)
    with jax.disable_jit(False):
        values = [np.asarray(v) for v in program(*inputs)]
    hypothesis.assume(not any(np.isnan(v).any() for v in values))
    for fact, value in zip(facts, values, strict=True):
        assert not fact.nonneg or (value >= 0).all()


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(*PROGRAMS)
def test_what_is_called_nonneg_is(steps, seed):
    check_program(steps, seed)


@pytest.mark.slow
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(*PROGRAMS)
def test_what_is_called_nonneg_is_in_many_programs(steps, seed):
    check_program(steps, seed)


@pytest.mark.parametrize("fn", UNARY)
def test_each_rule_on_random_and_on_special_values(fn):
    special = jnp.asarray([[0.0, -0.0, 1e-30, -1e-30], [300.0, -300.0, 128.0, 0.5], [-1.0, 1.0, 2.5, -2.5]])
    for x in (special, jnp.abs(special), -jnp.abs(special)):
        (fact,) = facts_of(fn, x)
        value = np.asarray(fn(x))
        assert not fact.nonneg or np.isnan(value).any() or (value >= 0).all()


POSITIVE = [
    jax.nn.relu,
    jax.nn.relu6,
    nnx.relu,
    jax.nn.sigmoid,
    jax.nn.softmax,
    lambda x: jax.nn.softmax(x, where=x > 0, axis=0),
    lambda x: jnp.maximum(x, 0),
    lambda x: jnp.where(x > 0, x, 0),
    lambda x: x * (x > 0).astype(x.dtype),
    lambda x: jnp.mean(jnp.square(x), 0),
    lambda x: jnp.linalg.norm(x),
    lambda x: nnx.max_pool(nnx.relu(x)[None, :, :, None], (2, 2), (2, 2)),
    lambda x: nnx.max_pool(nnx.relu(x)[None, :, :, None], (2, 2), (2, 2), padding="SAME"),
    lambda x: nnx.avg_pool(nnx.relu(x)[None, :, :, None], (2, 2), (2, 2), padding="SAME"),
    lambda x: jax.checkpoint(jax.jit(nnx.relu))(x).reshape(-1),
    lambda x: nnx.Dropout(0.5, rngs=nnx.Rngs(0))(nnx.relu(x)),
    lambda x: lax.scan(lambda c, v: (c + nnx.relu(v), c), jnp.zeros(4), x)[0],
    looped,
    lambda x: jax.nn.one_hot(x[0].astype(jnp.int32), 3),
    lambda x: jax.random.uniform(jax.random.key(0), SHAPE),
]


@pytest.mark.parametrize("fn", POSITIVE)
def test_what_must_be_seen_as_nonneg(fn):
    with jax.numpy_dtype_promotion("standard"):  # flax pools divide by integers
        assert is_nonneg(fn, jnp.ones(SHAPE))


def test_unsigned_images_are_nonneg_as_floats():
    assert is_nonneg(lambda x: x.astype(jnp.float32) / 255.0, jnp.zeros(SHAPE, jnp.uint8))


@pytest.mark.parametrize("fn", [jnp.sin, nnx.gelu, nnx.leaky_relu, jnp.negative, loop_that_ends_negative])
def test_what_must_not(fn):
    assert not is_nonneg(fn, jnp.ones(SHAPE))


def kinds(fn, *args, **options):
    return [(e.lhs.kind, e.rhs.kind) for e in on_imc(fn, Hardware(), **options).ledger(*args)]


W, X = jnp.ones((4, 4)), jnp.ones(SHAPE)


def test_kinds_of_operands():
    assert kinds(lambda w, x: x @ w, W, X) == [("activation", "weight")]
    assert kinds(lambda w, x: x @ w, W, X, weights=()) == [("activation", "activation")]
    assert kinds(lambda x, w: x @ w, X, W, weights=1) == [("activation", "weight")]
    assert kinds(lambda a, x, b: x @ (a * b), W, X, W, weights=(0, -1)) == [("activation", "weight")]
    assert kinds(lambda w, x: x @ jnp.tanh(w @ jnp.eye(4)), W, X) == [("weight", "weight"), ("activation", "weight")]
    assert kinds(lambda w, x: x @ (w * x[0]), W, X) == [("activation", "activation")]
    assert kinds(lambda w, x: (x @ w).T @ x, W, X)[1] == ("activation", "activation")


def test_weights_through_loops_and_branches():
    stack = jnp.ones((2, 4, 4))

    def fn(w, x):
        def body(carry, layer):
            return (carry[0] @ layer, carry[1] * 0.5), None

        (y, decayed), _ = lax.scan(body, (x, w[0]), w)
        chosen = lax.cond(x[0, 0] > 0, lambda: w[0], lambda: w[1])
        return y @ decayed, y @ chosen, y @ lax.cond(True, lambda: w[0], lambda: w[1])

    assert kinds(fn, stack, X) == [
        ("activation", "weight"),
        ("activation", "weight"),
        ("activation", "activation"),
        ("activation", "weight"),
    ]


def test_what_a_gradient_flows_into():
    def fn(w, x):
        hidden = x @ w
        return lax.stop_gradient(hidden) @ w + hidden @ lax.stop_gradient(w)

    entries = on_imc(fn, Hardware()).ledger(W, X)
    assert [(e.lhs.differentiated, e.rhs.differentiated) for e in entries] == [
        (False, True),
        (False, True),
        (True, False),
    ]
