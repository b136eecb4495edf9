"""Sign rules: which results are provably >= 0, so that a site may encode them as unsigned.

A rule answers for one primitive, given what is known of its operands. "Provably" covers rounding (each operation rounds
to nearest, which keeps signs) and means: never below zero, a NaN aside. Integers wrap around, so arithmetic on signed
ones proves nothing; unsigned ones and booleans are never negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from imctrain.intercept._jax_internals import JaxprEqn, aval


@runtime_checkable
class Known(Protocol):
    """What the rules read of a fact (see `provenance.Fact`)."""

    @property
    def nonneg(self) -> bool: ...
    @property
    def ident(self) -> int: ...
    @property
    def if_true(self) -> frozenset[int]: ...
    @property
    def if_false(self) -> frozenset[int]: ...


Rule = Callable[[JaxprEqn, Sequence[Known]], bool]


def nonneg_outputs(eqn: JaxprEqn, facts: Sequence[Known]) -> list[bool]:
    """For each output of an equation without inner jaxprs: whether it is provably >= 0."""
    name = eqn.primitive.name
    dtypes = [getattr(aval(v), "dtype", None) for v in eqn.outvars]
    unsigned = [d is not None and _is_unsigned(d) for d in dtypes]
    if name in PER_OPERAND:
        return [u or f.nonneg for u, f in zip(unsigned, facts, strict=True)]
    if name == "top_k":
        return [facts[0].nonneg, True]
    rule = RULES.get(name)
    return [
        u or (d is not None and rule is not None and rule(eqn, facts)) for u, d in zip(unsigned, dtypes, strict=True)
    ]


def is_nonneg_value(value: object) -> bool:
    """Whether a concrete constant is nowhere below 0 (False for what is no real number, such as a key)."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    if not (jnp.issubdtype(dtype, jnp.number) or dtype == jnp.bool_) or jnp.issubdtype(dtype, jnp.complexfloating):
        return False
    return not np.any(np.asarray(value).astype(np.float64) < 0)


def _is_unsigned(dtype: np.dtype) -> bool:
    return dtype == jnp.bool_ or bool(jnp.issubdtype(dtype, jnp.unsignedinteger))


def _is_float(eqn: JaxprEqn) -> bool:
    return bool(jnp.issubdtype(aval(eqn.outvars[0]).dtype, jnp.floating))


def _first(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return facts[0].nonneg


def _every(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return all(f.nonneg for f in facts)


def _either(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return any(f.nonneg for f in facts)


def _always(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return _is_float(eqn)


def _first_float(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return _is_float(eqn) and facts[0].nonneg


def _every_float(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return _is_float(eqn) and _every(eqn, facts)


def _mul(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """Both >= 0, a square, or x * (x > 0)."""
    a, b = facts
    gated = a.ident in b.if_true or b.ident in a.if_true
    return _is_float(eqn) and (_every(eqn, facts) or a.ident == b.ident or gated)


def _integer_pow(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return _is_float(eqn) and (eqn.params["y"] % 2 == 0 or facts[0].nonneg)


def _convert(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """To a float keeps the sign; to a signed integer only from an integer that fits."""
    if _is_float(eqn):
        return facts[0].nonneg
    old, new = aval(eqn.invars[0]).dtype, aval(eqn.outvars[0]).dtype
    if old == jnp.bool_:
        return True
    fits = (
        jnp.issubdtype(old, jnp.integer)
        and jnp.issubdtype(new, jnp.integer)
        and jnp.iinfo(old).max <= jnp.iinfo(new).max
    )
    return bool(fits) and facts[0].nonneg


def _iota(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    dtype = eqn.params["dtype"]
    last = eqn.params["shape"][eqn.params["dimension"]] - 1
    return _is_float(eqn) or (bool(jnp.issubdtype(dtype, jnp.integer)) and last <= jnp.iinfo(dtype).max)


def _select(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """Every case is >= 0, or is so whenever the predicate picks it: where(x > 0, x, 0)."""
    which, *cases = facts
    guards = (which.if_false, which.if_true) if len(cases) == 2 else (frozenset[int](),) * len(cases)
    return all(case.nonneg or case.ident in guard for case, guard in zip(cases, guards, strict=True))


def _gather(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """What is out of bounds may be filled: with NaN for floats unless the fill value says otherwise."""
    fill = eqn.params["fill_value"]
    filled = "FILL" in str(eqn.params["mode"])
    return facts[0].nonneg and (not filled or (_is_float(eqn) if fill is None else not fill < 0))


def _reduce_extremum(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """An empty maximum is -inf."""
    return facts[0].nonneg and aval(eqn.invars[0]).size > 0


def _window_maximum(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    """>= 0 where each window holds an element of the operand: one that lies in the padding alone gives -inf."""
    dilated = any(d != 1 for d in (*eqn.params["base_dilation"], *eqn.params["window_dilation"]))
    windows = zip(eqn.params["window_dimensions"], eqn.params["padding"], strict=True)
    touching = all(low < size and high < size for size, (low, high) in windows)
    return facts[0].nonneg and not dilated and touching and aval(eqn.invars[0]).size > 0


def _scatter(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return facts[0].nonneg and facts[2].nonneg


def _scatter_float(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return _is_float(eqn) and _scatter(eqn, facts)


def _clamp(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    low, x, high = facts
    return high.nonneg and (low.nonneg or x.nonneg)


def _update_slice(eqn: JaxprEqn, facts: Sequence[Known]) -> bool:
    return facts[0].nonneg and facts[1].nonneg


PER_OPERAND = frozenset({"sort", "optimization_barrier", "device_put", "pmax", "pmin"})
"""Primitives whose outputs keep the sign of the operand of the same place."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(["exp", "exp2", "logistic", "abs", "square", "cosh"], _always),
    **dict.fromkeys(
        # Moves, picks or rounds elements.
        [
            "reshape",
            "transpose",
            "broadcast_in_dim",
            "squeeze",
            "slice",
            "rev",
            "copy",
            "copy_p",
            "stop_gradient",
            "reduce_precision",
            "sharding_constraint",
            "name",
            "dynamic_slice",
            "tile",
            "split",
            "unstack",
            "real",
            "all_gather",
            "all_to_all",
            "ppermute",
            "pvary",
            "reshard",
            "cummax",
            "cummin",
            "expand_dims",
        ],
        _first,
    ),
    **dict.fromkeys(
        # Monotonic with f(0) = 0, or positive for a positive operand.
        [
            "sqrt",
            "rsqrt",
            "cbrt",
            "sign",
            "floor",
            "ceil",
            "round",
            "tanh",
            "sinh",
            "asinh",
            "atan",
            "erf",
            "log1p",
            "expm1",
            "cumsum",
            "cumprod",
            "reduce_sum",
            "reduce_prod",
            "reduce_window_sum",
            "rem",
            "pow",
        ],
        _first_float,
    ),
    **dict.fromkeys(["argmax", "argmin"], lambda eqn, facts: True),
    **dict.fromkeys(["concatenate", "pad", "min", "stack"], _every),
    **dict.fromkeys(["add", "add_any", "div"], _every_float),
    **dict.fromkeys(["reduce_max", "reduce_min"], _reduce_extremum),
    **dict.fromkeys(["scatter", "scatter-min", "scatter-max"], _scatter),
    **dict.fromkeys(["scatter-add", "scatter-mul"], _scatter_float),
    "clamp": _clamp,
    "convert_element_type": _convert,
    "dynamic_update_slice": _update_slice,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "max": _either,
    "mul": _mul,
    "reduce_window_max": _window_maximum,
    "reduce_window_min": _first,
    "select_n": _select,
}
"""Primitives by name; one without a rule proves nothing of a signed result."""
