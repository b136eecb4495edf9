"""Elementwise work of a program, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from imctrain.cost.operations import Operations, count_operations


def elementwise_work(
    run: Callable[..., Sequence[PyTree]], inputs: Sequence[jax.ShapeDtypeStruct], trained: Sequence[int]
) -> Operations:
    """Of one call of a function, with the gradient of its float outputs.

    Args:
        run: from arrays to arrays. inputs: their shapes. trained: which inputs get a gradient; none for no gradient.
    """
    moving = [i for i in trained if jnp.issubdtype(inputs[i].dtype, jnp.inexact)]
    if not moving:
        return count_operations(jax.make_jaxpr(run)(*inputs))

    def step(*values: jax.Array) -> PyTree:
        def of_trained(*weights: jax.Array) -> list[jax.Array]:
            given = list(values)
            for i, weight in zip(moving, weights, strict=True):
                given[i] = weight
            return [out for out in run(*given) if jnp.issubdtype(jnp.result_type(out), jnp.inexact)]

        outputs, pull_back = jax.vjp(of_trained, *(values[i] for i in moving))
        return outputs, pull_back([jnp.ones_like(out) for out in outputs])

    return count_operations(jax.make_jaxpr(step)(*inputs))
