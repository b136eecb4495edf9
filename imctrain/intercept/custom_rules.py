"""Custom derivative rules as jaxprs.

A `custom_jvp` or `custom_vjp` call hides its derivative in Python functions. Tracing `jax.vjp` of the call gives both
halves of it as jaxprs that can be rewritten: forward (outputs and residuals) and backward (cotangents of the inputs).
For a custom_vjp these are its own rules; for a custom_jvp the linear part of its rule, transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.intercept._jax_internals import (
    Atom,
    ClosedJaxpr,
    JaxprEqn,
    Value,
    aval,
    bind,
    explicit_axes,
    is_live,
    without_dead_code,
)

CUSTOM_RULES = frozenset({"custom_jvp_call", "custom_vjp_call"})


@dataclass(frozen=True)
class DerivativeRule:
    """The two halves of a custom derivative.

    Attributes:
        forward: inputs -> (outputs, residuals).
        backward: (residuals, cotangents of the differentiable outputs) -> cotangents of the differentiable inputs.
        inputs, outputs: which operands and results are differentiable.
    """

    forward: ClosedJaxpr
    backward: ClosedJaxpr
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def stale(self) -> bool:
        """Whether it needs a value of a trace that is over, and so cannot be run."""
        return any(isinstance(c, jax.core.Tracer) and not is_live(c) for c in self.consts)

    @property
    def consts(self) -> list[object]:
        return [*self.forward.consts, *self.backward.consts]


def trace_rule(eqn: JaxprEqn, name: str) -> DerivativeRule | None:
    """Both halves of a call's derivative, or None where no operand is differentiable.

    Raises UserError, naming the call, where the rule cannot be traced because it uses values of the function around
    it, which are gone by the time it runs.
    """
    inputs = _inexact(eqn.invars)
    outputs = _inexact(eqn.outvars)
    consts = range(eqn.params["num_consts"])
    inputs = tuple(i for i in inputs if i not in consts)
    if not inputs or not outputs:
        return None
    structure: list[jax.tree_util.PyTreeDef] = []

    def forward(*operands: Value) -> tuple[list[Value], list[Value]]:
        def call(*differentiable: Value) -> list[Value]:
            everything = list(operands)
            for i, value in zip(inputs, differentiable, strict=True):
                everything[i] = value
            return bind(eqn, everything)

        results, pullback = jax.vjp(call, *(operands[i] for i in inputs))
        residuals, tree = jax.tree.flatten(pullback)
        structure.append(tree)
        return results, residuals

    def backward(residuals: Sequence[Value], cotangents: Sequence[Value]) -> PyTree:
        given = iter(cotangents)
        full = [next(given) if i in outputs else _no_cotangent(aval(v).shape) for i, v in enumerate(eqn.outvars)]
        return jax.tree.unflatten(structure[-1], residuals)(full)

    try:
        first, shapes = jax.make_jaxpr(forward, return_shape=True)(*map(_shape, eqn.invars))
        second = jax.make_jaxpr(backward)(shapes[1], [_shape(eqn.outvars[i]) for i in outputs])
    except jax.errors.UnexpectedTracerError:
        raise UserError(closure_message(eqn, name)) from None
    return DerivativeRule(without_dead_code(first), without_dead_code(second), inputs, outputs)


def closure_message(eqn: JaxprEqn, name: str) -> str:
    kind = eqn.primitive.name.removesuffix("_call")
    return (
        f"site {name}: a {kind} rule uses values computed in the function around it, so its matmuls cannot be "
        "found; pass those values to it as arguments"
    )


def _inexact(atoms: Sequence[Atom]) -> tuple[int, ...]:
    return tuple(i for i, atom in enumerate(atoms) if jnp.issubdtype(aval(atom).dtype, jnp.inexact))


def _shape(atom: Atom) -> jax.ShapeDtypeStruct:
    value = aval(atom)
    sharding = value.sharding if explicit_axes(value) else None
    return jax.ShapeDtypeStruct(value.shape, value.dtype, weak_type=value.weak_type, sharding=sharding)


def _no_cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """What JAX takes for the cotangent of an integer result."""
    return np.zeros(shape, jax.dtypes.float0)
