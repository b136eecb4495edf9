"""Elementwise work of a program, forward and backward, from its jaxpr."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from imctrain.cost.operations import Operations, count_operations


def elementwise_work(jaxpr: ClosedJaxpr, trained: Sequence[bool], *, backward: bool) -> Operations:
    """Of one call of a traced function.

    Args:
        trained: for each input, whether a gradient is taken with respect to it. backward: whether it is taken at all.
    """
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxpr.jaxpr.invars]
    moving = [i for i, is_trained in enumerate(trained) if is_trained and jnp.issubdtype(shapes[i].dtype, jnp.inexact)]
    if not backward or not moving:
        return count_operations(jaxpr)
    run = jaxpr_as_fun(jaxpr)

    def step(*inputs: jax.Array) -> object:
        def of_trained(*values: jax.Array) -> list[jax.Array]:
            given = list(inputs)
            for i, value in zip(moving, values, strict=True):
                given[i] = value
            return [out for out in run(*given) if jnp.issubdtype(jnp.result_type(out), jnp.inexact)]

        outputs, pull_back = jax.vjp(of_trained, *(inputs[i] for i in moving))
        return outputs, pull_back([jnp.ones_like(out) for out in outputs])

    return count_operations(jax.make_jaxpr(step)(*shapes))
