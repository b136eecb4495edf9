"""Every name that comes from `jax._src` or `jax.extend`: those move between releases, and this is where to mend it.

Written for jax 0.10. The rest of the package uses what is defined here and the public API only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import api as _api
from jax._src import config as _config
from jax._src import core as _core
from jax._src import source_info_util as _source_info
from jax._src.interpreters import partial_eval as _partial_eval
from jax._src.sharding_impls import UnspecifiedValue as _UnspecifiedValue
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr as ClosedJaxpr
from jax.extend.core import Jaxpr as Jaxpr
from jax.extend.core import JaxprEqn as JaxprEqn
from jax.extend.core import Literal as Literal
from jax.extend.core import Primitive as _Primitive
from jax.extend.core import Var as Var
from jax.extend.core import jaxpr_as_fun as _jaxpr_as_fun
from jax.extend.core import jaxprs_in_params as _jaxprs_in_params
from jax.interpreters import ad as _ad
from jax.interpreters import batching as _batching
from jax.interpreters import mlir as _mlir
from jax.typing import ArrayLike
from jaxtyping import PyTree

from imctrain.errors import UserError

Atom = Var | Literal
Value = ArrayLike | jax.ShapeDtypeStruct
"""A value of a program: an array or a tracer, a constant of numpy or a number; its shape where nothing is computed."""
Params = Mapping[str, Any]
"""Parameters of an equation: every primitive has others."""
Consts = Sequence[object]
"""What a jaxpr took for constant: values, and references that may be refused."""
T = TypeVar("T")


def aval(atom: Atom) -> Any:
    """The abstract value of a variable: shape, dtype and size, where it is an array (JAX has no type for it)."""
    return atom.aval


def function_of(jaxpr: ClosedJaxpr) -> Callable[..., list[Any]]:
    """A jaxpr as a function of its inputs."""
    run: Callable[..., list[Any]] = _jaxpr_as_fun(jaxpr)
    return run


def shapes_of(jaxpr: ClosedJaxpr) -> list[jax.ShapeDtypeStruct]:
    """Of a jaxpr's inputs."""
    return [jax.ShapeDtypeStruct(aval(v).shape, aval(v).dtype) for v in jaxpr.jaxpr.invars]


def explicit_axes(value: object) -> tuple[str, ...]:
    """The mesh axes of type Explicit that an abstract value is sharded over."""
    sharding = getattr(value, "sharding", None)
    mesh, spec = getattr(sharding, "mesh", None), getattr(sharding, "spec", ())
    kinds = dict(zip(getattr(mesh, "axis_names", ()), getattr(mesh, "axis_types", ()), strict=True))
    named = [name for entry in spec if entry is not None for name in (entry if isinstance(entry, tuple) else (entry,))]
    return tuple(name for name in named if kinds.get(name) == jax.sharding.AxisType.Explicit)


def varying_axes(value: Value) -> tuple[str, ...]:
    """The axes of the `jax.shard_map` around that a value is known to differ over (none with check_vma = False)."""
    return tuple(sorted(getattr(getattr(_core.typeof(value), "mat", None), "varying", ())))


def bind(eqn: JaxprEqn, args: Sequence[Value]) -> list[Value]:
    """Apply an equation's primitive as it is, custom derivative and batching rules included; a list of outputs."""
    out = eqn.primitive.bind(*args, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


@contextlib.contextmanager
def equation_context(eqn: JaxprEqn) -> Iterator[None]:
    """The name stack, traceback and settings that the equation was traced under, inside the current ones."""
    stack = _source_info.current_name_stack() + eqn.source_info.name_stack
    with _source_info.user_context(eqn.source_info.traceback, name_stack=stack), eqn.ctx.manager:
        yield


def scopes(eqn: JaxprEqn) -> tuple[str, ...]:
    """Named scopes of an equation, outermost first, without the marks that jvp, vmap and transpose leave."""
    return tuple(part.name for part in eqn.source_info.name_stack.stack if isinstance(part, _source_info.Scope))


@contextlib.contextmanager
def cotangents_marked() -> Iterator[None]:
    """While this holds, what a pullback is given carries a mark (see `is_cotangent`), whoever gives it."""
    with _marking(True):
        yield


def is_cotangent(eqn: JaxprEqn) -> bool:
    """Whether an equation marks the cotangent that a pullback starts from (of a derivative in the traced function)."""
    return eqn.primitive.name == "name" and eqn.params["name"] == _COTANGENT


_COTANGENT = "imc_cotangent"
# Traces of inner functions are kept by JAX: this setting is part of what it keeps them under.
_marking = jax.make_user_context(False)
_pull_back: Any = _api._vjp3_bwd


def _marked(cotangent: object) -> object:
    if not isinstance(cotangent, jax.Array | np.ndarray | np.generic | float):
        return cotangent
    return (
        checkpoint_name(cotangent, _COTANGENT) if jnp.issubdtype(jnp.result_type(cotangent), jnp.inexact) else cotangent
    )


def _pull_back_marked(*fixed_and_cotangents: PyTree) -> PyTree:
    *fixed, cotangents = fixed_and_cotangents
    return _pull_back(*fixed, jax.tree.map(_marked, cotangents) if _marking.value else cotangents)


# No equation says which operand of a backward pass came in as a cotangent, and which as a residual: both may be data.
# So the one function of JAX that all pullbacks call is replaced by one that does the same outside of a trace of ours.
_api._vjp3_bwd = _pull_back_marked


def sub_jaxprs(params: Params) -> list[Jaxpr]:
    """The jaxprs among an equation's parameters, constants of closed ones left aside."""
    return list(_jaxprs_in_params(params))


def constants(jaxpr: ClosedJaxpr) -> list[object]:
    """What a jaxpr took for constant, with what the jaxprs inside it took."""
    found, inside = list(jaxpr.consts), [eqn.params for eqn in jaxpr.jaxpr.eqns]
    while inside:
        for value in jax.tree.leaves(inside.pop(), is_leaf=lambda leaf: isinstance(leaf, ClosedJaxpr | Jaxpr)):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                found += getattr(value, "consts", ())
                inside += [eqn.params for eqn in value.eqns]
    return found


def closed(jaxpr: Jaxpr | ClosedJaxpr) -> ClosedJaxpr:
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, ())


def without_dead_code(jaxpr: ClosedJaxpr) -> ClosedJaxpr:
    """Drop equations that no output needs; inputs and outputs stay as they are."""
    live, _ = _partial_eval.dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars), instantiate=True)
    return ClosedJaxpr(live, jaxpr.consts)


def constrain(values: Sequence[Value], shardings: Sequence[object]) -> list[Value]:
    """Values with the shardings that a nested jit asked for; an unspecified one asks for nothing."""
    return [_constrained(value, wanted) for value, wanted in zip(values, shardings, strict=True)]


def _constrained(value: Value, wanted: object) -> Value:
    if isinstance(wanted, _UnspecifiedValue):
        return value
    axis_types = getattr(getattr(wanted, "mesh", None), "axis_types", ())
    if jax.sharding.AxisType.Explicit in axis_types:
        return jax.sharding.reshard(value, wanted)
    return jax.lax.with_sharding_constraint(value, wanted)


def is_live(tracer: jax.core.Tracer[Any]) -> bool:
    """Whether a tracer belongs to a trace that is still running: a finished one's values cannot be used any more."""
    trace = _core.trace_ctx.trace
    while trace is not None:
        if tracer._trace is trace:
            return True
        trace = getattr(trace, "parent_trace", None)
    return False


def abstract(leaf: Value) -> Hashable:
    """The abstract value (hashable) of an array, a tracer or a `ShapeDtypeStruct`."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return _core.ShapedArray(leaf.shape, leaf.dtype, weak_type=bool(leaf.weak_type))
    return _core.typeof(leaf)


def trace_settings() -> Hashable:
    """The settings that decide how a function is traced (precision, x64, mesh, named axes ...), for cache keys."""
    return _config.trace_context()


def reverse_only(values: Sequence[Value], message: str) -> list[Value]:
    """Arrays as they are; but a derivative of them in forward mode raises UserError(message).

    Reverse mode is forward mode that is never run: JAX records the tangents and transposes the record. So each tangent
    passes a linear identity that can be recorded and transposed, and raises where it is evaluated, batched or compiled.
    """
    return _reverse_only.bind(*values, message=message)


_reverse_only = _Primitive("imc_operands")
_reverse_only.multiple_results = True
_recorded = _Primitive("imc_recorded_tangent")


def _never_evaluated(*_: object, message: str) -> NoReturn:
    raise UserError(message)


def _tangents(primals: Sequence[T], tangents: Sequence[T], *, message: str) -> tuple[list[T], list[T]]:
    # The primal values pass by themselves, so that a differentiated program saves no value under two names.
    return list(primals), [t if type(t) is _ad.Zero else _recorded.bind(t, message=message) for t in tangents]


_reverse_only.def_impl(lambda *values, message: list(values))
_reverse_only.def_abstract_eval(lambda *values, message: list(values))
_mlir.register_lowering(_reverse_only, lambda ctx, *values, message: list(values))
_ad.primitive_jvps[_reverse_only] = _tangents
_batching.primitive_batchers[_reverse_only] = lambda values, dims, *, message: (
    _reverse_only.bind(*values, message=message),
    dims,
)
_recorded.def_impl(_never_evaluated)
_recorded.def_abstract_eval(lambda tangent, *, message: tangent)
_mlir.register_lowering(_recorded, _never_evaluated)
_ad.deflinear2(_recorded, lambda cotangent, tangent, *, message: [cotangent])
_batching.primitive_batchers[_recorded] = _never_evaluated
