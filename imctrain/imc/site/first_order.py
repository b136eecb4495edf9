"""A site has a first derivative, in reverse mode, and no other: what keeps JAX from inventing one.

The backward rule of a site multiplies on the array too. JAX would differentiate its code like any other: through
rounding, whose derivative is zero, and through scales. The numbers look plausible and are the derivative of nothing. So
every value that enters a rule passes a guard, an identity that raises where it is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from imctrain.errors import UserError


def no_derivative(site: str) -> str:
    """The message for any derivative but the first in reverse mode."""
    return (
        f"site {site}: the array computes first derivatives in reverse mode only (jax.grad, jax.vjp, jax.jacrev); jvp, "
        "jacfwd, hessian, a gradient of a gradient and the function that jax.linearize returns would be no derivative "
        f"of what it computes: take them of the original function, or leave the site float with Rule({site!r}, "
        "path='float')"
    )


def differentiated_once(site: str) -> Callable[[Any], Any]:
    """An identity on pytrees of arrays that raises UserError, naming the site, where JAX differentiates it.

    It is for the inside of a custom derivative rule, where any differentiation is one too many. Leaves without a
    derivative (integers, keys) pass beside it. It leaves nothing in the compiled program.
    """

    @jax.custom_jvp
    def guard(leaves: list[Any]) -> list[Any]:
        return leaves

    @guard.defjvp
    def raises(primals: Any, tangents: Any) -> Any:
        raise UserError(no_derivative(site))

    def identity(tree: Any) -> Any:
        leaves, structure = jax.tree.flatten(tree)
        places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        if places:
            for i, guarded in zip(places, guard([leaves[i] for i in places]), strict=True):
                leaves[i] = guarded
        return jax.tree.unflatten(structure, leaves)

    return identity
