"""Elementwise operations against counts by hand, and every primitive that JAX has in a known place."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from imctrain.cost import operations
from imctrain.cost.operations import Operations, count_operations
from imctrain.cost.program import elementwise_work
from imctrain.intercept import known_primitives

X = jax.ShapeDtypeStruct((10, 20), jnp.float32)


def counted(function, *shapes) -> tuple[float, float, float]:
    found = count_operations(jax.make_jaxpr(function)(*(shapes or (X,))))
    return found.additions, found.multiplications, found.functions


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + 1, (200, 0, 0)),
        (lambda x: x * x / 3, (0, 400, 0)),
        (lambda x: x**4, (0, 600, 0)),
        (lambda x: jnp.exp(x), (0, 0, 200)),
        (lambda x: jnp.maximum(x, 0), (200, 0, 0)),
        (lambda x: jnp.sum(x, axis=1), (200, 0, 0)),
        (lambda x: jnp.max(x), (200, 0, 0)),
        (lambda x: x.T.reshape(-1)[:7], (0, 0, 0)),
        (lambda x: x @ jnp.ones((20, 5)), (0, 0, 0)),
        (lambda x: x.astype(jnp.int32) + 1, (0, 0, 0)),
        (lambda x: jax.lax.scan(lambda c, row: (c + row, None), jnp.zeros(20), x)[0], (200, 0, 0)),
        (lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x * x + x, lambda x: x, x), (201, 200, 0)),
        (lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "VALID"), (200, 0, 0)),
        (lambda x: jax.jit(lambda x: jax.checkpoint(jnp.sin)(x) + x)(x), (200, 0, 200)),
    ],
)
def test_counts_by_hand(function, expected):
    assert counted(function) == expected


def test_work_forward_and_backward_is_that_of_both():
    def network(w, x):
        return [jnp.sum(jnp.exp(w * x))]

    # Forward: 200 products, 200 exponentials, 200 additions. Backward to w: two products an element.
    shapes = [X, X]
    assert elementwise_work(network, shapes, []) == Operations(additions=200, multiplications=200, functions=200)
    both = elementwise_work(network, shapes, [0])
    assert (both.additions, both.functions) == (200, 200)
    assert both.multiplications == 600


def test_random_bits_and_unbounded_loops_are_told():
    key = jax.eval_shape(lambda: jax.random.key(0))
    drawn = count_operations(jax.make_jaxpr(lambda key: jax.random.bits(key, (10,), jnp.uint8))(key))
    assert drawn.random_bits >= 80

    def loop(x):
        return jax.lax.while_loop(lambda x: jnp.sum(x) < 9, lambda x: x + 1, x)

    found = count_operations(jax.make_jaxpr(loop)(X))
    assert found.unbounded == 1
    assert found.additions == 200 + 200 + 1


def test_what_is_counted_is_known_to_multiply_no_matrices():
    counted = operations.ADDITIONS | operations.MULTIPLICATIONS | operations.FUNCTIONS | operations.REDUCTIONS
    known = known_primitives.MULTIPLY_NOTHING
    assert counted | operations.WINDOWS <= known
    # What is free: moves, conversions, integers, bits, random numbers (counted by their bits), devices, nests.
    free = known - counted - operations.WINDOWS - known_primitives.MOVES - known_primitives.RANDOM
    arithmetic = free & known_primitives.ELEMENTWISE
    assert arithmetic == {
        *("abs", "and", "bitcast_convert_type", "clz", "complex", "conj", "convert_element_type", "copy", "eq_to"),
        *("imag", "is_finite", "le_to", "lt_to", "mulhi", "neg", "not", "or", "population_count", "real"),
        *("reduce_precision", "shift_left", "shift_right_arithmetic", "shift_right_logical", "stop_gradient"),
        *("xor", "zeros_like", "_copysign", "stochastic_round"),
    }
