"""Runs a plan: the traced function with every site computed by `Site.apply`, everything else as it was.

A custom derivative that holds matmuls becomes a `jax.custom_vjp` of the same function, both halves of it rewritten. JAX
does not differentiate through those halves, so telemetry cannot come back as a cotangent of the state there: it is
collected by hand and returned as that cotangent at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.imc.site.first_order import differentiated_once, no_derivative
from imctrain.imc.site.site import Site
from imctrain.intercept._jax_internals import (
    Atom,
    JaxprEqn,
    Literal,
    Value,
    Var,
    bind,
    constrain,
    equation_context,
    reverse_only,
)
from imctrain.intercept.keys import execution_key
from imctrain.intercept.plan import Block, CustomStep, Found, NestedStep, SiteStep, Step

States: TypeAlias = dict[str, PyTree]
"""State, or telemetry, by site name."""
Ran: TypeAlias = tuple[list[Value], States]
"""Outputs of a part of the program, and the telemetry that was collected in it."""
Carry: TypeAlias = tuple[Array, list[Value], States]
"""Of a loop: the number of the iteration, the program's own carry, telemetry so far."""


@dataclass(frozen=True)
class Taps:
    """What is read at the sites while a function runs (see `ImcFunction.tapped`).

    Attributes:
        added: what is added to each site's output.
        digital: sites compute the original float product.
        pass_nested: sites in loops, branches ... run as they would, unread.
        operands: filled in while the function runs: (lhs, rhs) of each site.
    """

    added: Mapping[str, Array]
    digital: bool
    pass_nested: bool = False
    operands: dict[str, tuple[Value, Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """What a run carries into every block.

    Attributes:
        key: the caller's key. iterations: of the loops around, outermost first.
        states: of the sites.
        collects: inside a custom derivative: gather telemetry by hand.
        taps: what is read at the sites, if anything.
    """

    key: Array
    states: States
    iterations: tuple[Array, ...] = ()
    collects: bool = False
    taps: Taps | None = None

    def iteration(self, number: Array) -> Execution:
        return replace(self, iterations=(*self.iterations, number))


def evaluate(block: Block, args: Sequence[Value], run: Execution) -> Ran:
    """Outputs of a block, and the telemetry of its sites where the run collects it (empty elsewhere)."""
    values: dict[Var, Value] = dict(zip(block.jaxpr.jaxpr.invars, args, strict=True))
    values |= dict(zip(block.jaxpr.jaxpr.constvars, block.jaxpr.consts, strict=True))

    def read(atoms: Sequence[Atom]) -> list[Value]:
        return [atom.val if isinstance(atom, Literal) else values[atom] for atom in atoms]

    telemetry: States = {}
    for eqn, step in zip(block.jaxpr.jaxpr.eqns, block.steps, strict=True):
        with equation_context(eqn):
            outputs, seen = _evaluate_equation(eqn, step, read(eqn.invars), run)
        values |= dict(zip(eqn.outvars, outputs, strict=True))
        telemetry = _add(telemetry, seen)
    return read(block.jaxpr.jaxpr.outvars), telemetry


def _evaluate_equation(eqn: JaxprEqn, step: Step | None, args: list[Value], run: Execution) -> Ran:
    if step is None or not any(found.site is not None for found in step.all_found):
        return bind(eqn, args), {}
    if isinstance(step, SiteStep):
        assert step.found.site is not None
        if run.taps is not None:
            return _tapped(step.found.site, eqn, args, run, run.taps), {}
        return _site(step.found.site, args, run)
    if run.taps is not None and (isinstance(step, CustomStep) or eqn.primitive.name in _NESTED):
        if run.taps.pass_nested:
            return _evaluate_equation(eqn, step, args, replace(run, taps=None))
        inside = next(found.name for found in step.all_found if found.site is not None)
        raise UserError(
            f"site {inside} runs in a loop, a branch, a rematerialised part or a custom derivative, where its operands "
            "cannot be recorded: leave it to a rule with path = 'float'"
        )
    if isinstance(step, CustomStep):
        return _custom(step, args, run)
    return _NESTED.get(eqn.primitive.name, _call)(eqn, step, args, run)


def _site(site: Site, args: list[Value], run: Execution) -> Ran:
    name = site.spec.name
    lhs, rhs = args
    key = execution_key(run.key, site.spec.index, run.iterations, (lhs, rhs))
    lhs, rhs, state = _in_reverse_only(name, (lhs, rhs, _per_element(run.states[name], key)))
    if not _reports(site, run):
        return [site.apply(lhs, rhs, state, key)], {}
    out, pullback = jax.vjp(lambda state: site.apply(lhs, rhs, state, key), state)
    (telemetry,) = pullback(jnp.zeros_like(out))
    return [out], {name: telemetry}


def _in_reverse_only(name: str, values: PyTree) -> PyTree:
    """A pytree as it is, that JAX differentiates in reverse mode only: else an error that names the site."""
    leaves, tree = jax.tree.flatten(values)
    places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    for i, passed in zip(places, reverse_only([leaves[i] for i in places], no_derivative(name)), strict=True):
        leaves[i] = passed
    return jax.tree.unflatten(tree, leaves)


def _tapped(site: Site, eqn: JaxprEqn, args: list[Value], run: Execution, taps: Taps) -> list[Value]:
    name = site.spec.name
    out: PyTree
    (out,) = bind(eqn, args) if taps.digital else _site(site, args, run)[0]
    # The cotangent of what is added is that of the output, as the site's backward rule gets it.
    taps.operands[name] = (args[0], args[1])
    return [out + taps.added[name].astype(out.dtype)]


def _per_element(state: PyTree, key: Array) -> PyTree:
    """The state, with a batch dimension where `jax.vmap` gave the key one.

    Telemetry is not linear in the output's cotangent, as JAX takes a backward rule to be: what does not depend on the
    batch (the number of calls) would be counted once for all its elements. A mapped state is counted for each.
    """
    zero = (jax.random.key_data(key)[0] & 0).astype(jnp.float32)
    return jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), state)


def _reports(site: Site, run: Execution) -> bool:
    """A one-way site has no backward rule to report through."""
    return run.collects and not site.one_way


def _call(eqn: JaxprEqn, step: NestedStep, args: list[Value], run: Execution) -> Ran:
    (block,) = step.blocks
    if eqn.primitive.name != "jit":
        return evaluate(block, args, run)
    outputs, telemetry = evaluate(block, constrain(args, eqn.params["in_shardings"]), run)
    return constrain(outputs, eqn.params["out_shardings"]), telemetry


def _remat(eqn: JaxprEqn, step: NestedStep, args: list[Value], run: Execution) -> Ran:
    (block,) = step.blocks

    # Key and states are arguments, so that recomputation repeats the same noise and no tracer is closed over.
    def body(key: Array, states: States, iterations: tuple[Array, ...], args: list[Value]) -> Ran:
        inner = replace(run, key=key, states=states, iterations=iterations)
        return evaluate(block, args, inner)

    rematerialised = jax.checkpoint(body, policy=eqn.params["policy"], prevent_cse=_any(eqn.params["prevent_cse"]))
    return rematerialised(run.key, _states_of(step, run), run.iterations, args)


def _any(flags: bool | Sequence[bool]) -> bool:
    return flags if isinstance(flags, bool) else any(flags)


def _scan(eqn: JaxprEqn, step: NestedStep, args: list[Value], run: Execution) -> Ran:
    (block,) = step.blocks
    params = eqn.params
    first, count = params["num_consts"], params["num_carry"]
    consts, start, slices = args[:first], args[first : first + count], args[first + count :]

    def body(carry: Carry, x: list[Value]) -> tuple[Carry, list[Value]]:
        number, values, total = carry
        outputs, telemetry = evaluate(block, [*consts, *values, *x], run.iteration(number))
        return (number + 1, outputs[:count], _add(total, telemetry)), outputs[count:]

    (_, carry, telemetry), stacked = lax.scan(
        body,
        (jnp.uint32(0), start, _no_telemetry(step, run)),
        slices,
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [*carry, *stacked], telemetry


def _while(eqn: JaxprEqn, step: NestedStep, args: list[Value], run: Execution) -> Ran:
    condition_block, body_block = step.blocks
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond_consts, body_consts, start = args[:first], args[first : first + second], args[first + second :]

    def condition(carry: Carry) -> Value:
        number, values, _ = carry
        (proceed,), _ = evaluate(condition_block, [*cond_consts, *values], run.iteration(number))
        return proceed

    def body(carry: Carry) -> Carry:
        number, values, total = carry
        outputs, telemetry = evaluate(body_block, [*body_consts, *values], run.iteration(number))
        return number + 1, outputs, _add(total, telemetry)

    _, outputs, telemetry = lax.while_loop(condition, body, (jnp.uint32(0), start, _no_telemetry(step, run)))
    return outputs, telemetry


def _cond(eqn: JaxprEqn, step: NestedStep, args: list[Value], run: Execution) -> Ran:
    which, *operands = args

    def branch(block: Block) -> Callable[..., Ran]:
        def taken(*operands: Value) -> Ran:
            outputs, telemetry = evaluate(block, operands, run)
            return outputs, _add(_no_telemetry(step, run), telemetry)

        return taken

    return lax.switch(which, [branch(block) for block in step.blocks], *operands)


_NESTED = {"remat2": _remat, "scan": _scan, "while": _while, "cond": _cond}


def _custom(step: CustomStep, args: list[Value], run: Execution) -> Ran:
    rule, count = step.rule, len(step.primal.jaxpr.jaxpr.outvars)
    operands = len(args)  # the rules below outlive this trace, and must close over no value of it
    name = next(found.name for found in step.all_found if found.site is not None)
    guarded = differentiated_once(name)

    @jax.custom_vjp
    def call(key: Array, states: States, iterations: tuple[Array, ...], args: list[Value]) -> list[Value]:
        return evaluate(step.primal, args, Execution(key, states, iterations))[0]

    def forward(
        key: Array, states: States, iterations: tuple[Array, ...], args: list[Value]
    ) -> tuple[list[Value], PyTree]:
        states, args = guarded((states, args))
        outputs, telemetry = evaluate(step.forward, args, Execution(key, states, iterations, collects=True))
        return outputs[:count], (outputs[count:], telemetry, key, states, iterations)

    def backward(kept: PyTree, cotangents: list[Value]) -> tuple[None, States, None, list[Value | None]]:
        residuals, telemetry, key, states, iterations = kept
        residuals, states, given = guarded((residuals, states, [cotangents[i] for i in rule.outputs]))
        inner = Execution(key, states, iterations, collects=True)
        gradients, behind = evaluate(step.backward, [*residuals, *given], inner)
        nothing = jax.tree.map(jnp.zeros_like, states)
        by_input = dict(zip(rule.inputs, gradients, strict=True))
        return None, _add(nothing, _add(telemetry, behind)), None, [by_input.get(i) for i in range(operands)]

    call.defvjp(forward, backward)
    states, args = _in_reverse_only(name, (_states_of(step, run), args))
    return call(run.key, states, run.iterations, args), {}


def _states_of(step: NestedStep | CustomStep, run: Execution) -> States:
    return {found.name: run.states[found.name] for found in step.all_found if found.site is not None}


def _no_telemetry(step: NestedStep | CustomStep, run: Execution) -> States:
    """Zeros for each site that reports from inside a step."""
    reporting: list[Found] = [f for f in step.all_found if f.site is not None and _reports(f.site, run)]
    return {found.name: jax.tree.map(jnp.zeros_like, run.states[found.name]) for found in reporting}


def _add(a: States, b: States) -> States:
    both = {name: jax.tree.map(jnp.add, a[name], b[name]) for name in a.keys() & b.keys()}
    return a | b | both
