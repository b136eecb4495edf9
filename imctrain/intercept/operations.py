"""What is known of one matmul of the program before it has a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from imctrain.imc.mvm.contraction import ConvSpec, DotSpec
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.intercept._jax_internals import JaxprEqn, Params, aval, explicit_axes

SHORT_NAMES = {"dot_general": "dot", "conv_general_dilated": "conv"}
"""What the two array operations are called in site names; other primitives go by their own name."""


@dataclass(frozen=True)
class Operation:
    """What is known of a matmul before it has a name.

    Attributes:
        scope: path of its named scopes. kind: "dot", "conv", or the primitive that cannot be rewritten.
        op: its static parameters; None where it cannot run on the array, for the reason given in `obstacle`.
        lhs_shape, rhs_shape, out_shape, dtype: of the operands and the result; no dtype where that is no array.
        lhs, rhs: what is known of the operands.
        executions: times it runs in one call of the function; None inside a while loop.
        conditional: inside a branch, so that it may not run at all.
        weight: path of the parameter that it multiplies with; "" where that is none. module: path of the part of the
            model that its operands come from; "" where none is known.
    """

    scope: str
    kind: str
    op: DotSpec | ConvSpec | None
    obstacle: str
    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: np.dtype | None
    lhs: OperandInfo
    rhs: OperandInfo
    executions: int | None
    conditional: bool
    weight: str = ""
    module: str = ""


def operation_of(
    eqn: JaxprEqn, infos: Sequence[OperandInfo], scope: str, executions: int | None, conditional: bool
) -> Operation:
    """Of an array operation."""
    left, right = (aval(v) for v in eqn.invars)
    op = _dot_spec(eqn.params) if eqn.primitive.name == "dot_general" else _conv_spec(eqn.params)
    reason = ""
    if any(jnp.issubdtype(a.dtype, jnp.complexfloating) for a in (left, right)):
        reason = "complex numbers have no array format"
    elif axes := [*explicit_axes(left), *explicit_axes(right)]:
        reason = (
            f"an operand is sharded over mesh axis {axes[0]!r}, which is Explicit and has no array mapping: make the "
            "mesh with axis_types = AxisType.Auto, or reshard the operand to PartitionSpec()"
        )
    elif eqn.params.get("out_sharding") is not None:
        reason = "a matmul with an explicit out_sharding has no array mapping"
    return Operation(
        scope=scope,
        kind=SHORT_NAMES[eqn.primitive.name],
        op=None if reason else op,
        obstacle=reason,
        lhs_shape=left.shape,
        rhs_shape=right.shape,
        out_shape=aval(eqn.outvars[0]).shape,
        dtype=aval(eqn.outvars[0]).dtype,
        lhs=infos[0],
        rhs=infos[1],
        executions=executions,
        conditional=conditional,
    )


def obstacle_of(
    eqn: JaxprEqn, reason: str, infos: Sequence[OperandInfo], scope: str, executions: int | None, conditional: bool
) -> Operation:
    """Of a primitive that multiplies matrices where no site can be put: float by a rule, or an error."""
    shapes = [tuple(getattr(aval(v), "shape", ())) for v in eqn.invars]
    nothing = OperandInfo("weight", differentiated=False)
    result = aval(eqn.outvars[0]) if eqn.outvars else None
    lhs, rhs, *_ = [*infos, nothing, nothing]
    lhs_shape, rhs_shape, *_ = [*shapes, (), ()]
    return Operation(
        scope=scope,
        kind=eqn.primitive.name,
        op=None,
        obstacle=reason,
        lhs_shape=lhs_shape,
        rhs_shape=rhs_shape,
        out_shape=tuple(getattr(result, "shape", ())),
        dtype=getattr(result, "dtype", None),
        lhs=lhs,
        rhs=rhs,
        executions=executions,
        conditional=conditional,
    )


def _dot_spec(params: Params) -> DotSpec:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = params["dimension_numbers"]
    return DotSpec(((_ints(lhs_contract), _ints(rhs_contract)), (_ints(lhs_batch), _ints(rhs_batch))))


def _conv_spec(params: Params) -> ConvSpec:
    numbers = params["dimension_numbers"]
    return ConvSpec(
        window_strides=_ints(params["window_strides"]),
        padding=tuple((int(low), int(high)) for low, high in params["padding"]),
        lhs_dilation=_ints(params["lhs_dilation"]),
        rhs_dilation=_ints(params["rhs_dilation"]),
        dimension_numbers=(_ints(numbers.lhs_spec), _ints(numbers.rhs_spec), _ints(numbers.out_spec)),
        feature_group_count=int(params["feature_group_count"]),
        batch_group_count=int(params["batch_group_count"]),
    )


def _ints(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(v) for v in values)
