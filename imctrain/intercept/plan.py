"""The plan of a traced function: where its matmuls are, through every jaxpr inside it, and what each becomes.

A `Block` mirrors one jaxpr: for each equation a step that says how to rewrite it, or None to leave it as it is. Nothing
that holds no matmul has a step, so activations keep their own custom rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import jax

from imctrain.errors import UserError
from imctrain.imc.site.site import Site
from imctrain.intercept import naming
from imctrain.intercept._jax_internals import ClosedJaxpr, JaxprEqn, scopes
from imctrain.intercept.audit import count_matmuls
from imctrain.intercept.custom_rules import CUSTOM_RULES, DerivativeRule, closure_message, trace_rule
from imctrain.intercept.operations import Operation, obstacle_of, operation_of
from imctrain.intercept.origin import common, largest
from imctrain.intercept.primitives import holds_matmul, is_array_operation, obstacle
from imctrain.intercept.provenance import CALLS, LOOPS_AND_BRANCHES, Fact, Facts, enter, leave, transfer


@dataclass(eq=False)
class Found:
    """A matmul of the program. All but `operation` is filled in by `resolve`; `site` is None where it stays float."""

    operation: Operation
    name: str = ""
    former_name: str = ""
    path: str = ""
    site: Site | None = None


@dataclass(frozen=True, eq=False)
class SiteStep:
    """An equation that is a site."""

    found: Found

    @property
    def all_found(self) -> tuple[Found, ...]:
        return (self.found,)


@dataclass(frozen=True, eq=False)
class NestedStep:
    """A call, loop or branch: the blocks of its jaxprs, in the order of `provenance.enter`."""

    blocks: tuple[Block, ...]

    @property
    def all_found(self) -> tuple[Found, ...]:
        return _unique(found for block in self.blocks for found in block.all_found)


@dataclass(frozen=True, eq=False)
class CustomStep:
    """A call with a custom derivative, and the two halves of that derivative."""

    rule: DerivativeRule
    primal: Block
    forward: Block
    backward: Block

    @property
    def all_found(self) -> tuple[Found, ...]:
        blocks = (self.primal, self.forward, self.backward)
        return _unique(found for block in blocks for found in block.all_found)


Step = SiteStep | NestedStep | CustomStep


@dataclass(frozen=True, eq=False)
class Block:
    """A jaxpr and, for each of its equations, how to rewrite it (None: leave it)."""

    jaxpr: ClosedJaxpr
    steps: tuple[Step | None, ...]

    @property
    def all_found(self) -> tuple[Found, ...]:
        """Matmuls in program order, those of inner blocks included."""
        return _unique(found for step in self.steps if step is not None for found in step.all_found)

    @property
    def sites(self) -> dict[str, Site]:
        return {found.name: found.site for found in self.all_found if found.site is not None}


def _unique(found: Iterable[Found]) -> tuple[Found, ...]:
    return tuple({id(f): f for f in found}.values())


@dataclass(frozen=True)
class _Frame:
    """Where the planner is.

    Attributes:
        scopes: named scopes around it. executions, conditional: as in `Operation`.
        differentiated: whether JAX differentiates through here (not inside a custom rule).
        twins: matmuls of a call's plain evaluation that its forward rule computes again: the same sites, as only one
            of the two runs.
    """

    scopes: tuple[str, ...] = ()
    executions: int | None = 1
    conditional: bool = False
    differentiated: bool = True
    twins: list[Found] | None = None


class Planner:
    """Plans one traced function. `holds_tracers`: the plan refers to a running trace, and must not outlive it."""

    def __init__(self) -> None:
        self.holds_tracers = False

    def plan(self, jaxpr: ClosedJaxpr, facts: Sequence[Fact]) -> Block:
        """Plan a jaxpr whose inputs have the given facts.

        Raises UserError for a custom rule it cannot see into, and for a function that is on the array already.
        """
        count = count_matmuls(jaxpr)
        if count.array or count.formats:
            raise UserError(
                "on_imc got a function that calls a function of on_imc, whose matmuls would be put on the array twice: "
                "call the plain function in it"
            )
        return self._walk(jaxpr, facts, _Frame())[0]

    def _walk(self, jaxpr: ClosedJaxpr, facts: Sequence[Fact], frame: _Frame) -> tuple[Block, list[Fact]]:
        self.holds_tracers |= any(isinstance(const, jax.core.Tracer) for const in jaxpr.consts)
        known = Facts(jaxpr, facts)
        steps = []
        for eqn in jaxpr.jaxpr.eqns:
            inner = replace(frame, scopes=frame.scopes + scopes(eqn))
            step, outputs = self._plan_equation(eqn, known.read(eqn.invars), inner)
            known.write(eqn, outputs)
            steps.append(step)
        return Block(jaxpr, tuple(steps)), known.read(jaxpr.jaxpr.outvars)

    def _plan_equation(self, eqn: JaxprEqn, facts: list[Fact], frame: _Frame) -> tuple[Step | None, list[Fact]]:
        name = eqn.primitive.name
        infos = [fact.operand(differentiated=frame.differentiated) for fact in facts]
        where = (naming.scope_path(frame.scopes), frame.executions, frame.conditional)
        if is_array_operation(eqn):
            operation = _placed(operation_of(eqn, infos, *where), facts)
            return SiteStep(self._found(operation, frame)), transfer(eqn, facts)
        # Where JAX does not differentiate, a rule is not used: the call is looked into like any other.
        if name in CUSTOM_RULES and frame.differentiated:
            step = self._plan_custom(eqn, facts, frame)
            if step is not None:
                return step, transfer(eqn, facts)
        if name in CALLS or name in LOOPS_AND_BRANCHES:
            return self._plan_nested(eqn, facts, frame)
        reason = obstacle(eqn)
        if reason is not None:
            operation = _placed(obstacle_of(eqn, reason, infos, *where), facts)
            return SiteStep(self._found(operation, frame)), transfer(eqn, facts)
        return None, transfer(eqn, facts)

    def _plan_nested(self, eqn: JaxprEqn, facts: list[Fact], frame: _Frame) -> tuple[Step | None, list[Fact]]:
        match eqn.primitive.name:
            case "scan" if frame.executions is not None:
                frame = replace(frame, executions=frame.executions * eqn.params["length"])
            case "while":
                frame = replace(frame, executions=None)
            case "cond":
                frame = replace(frame, conditional=True)
        walked = [self._walk(child, inputs, frame) for child, inputs in enter(eqn, facts)]
        step = NestedStep(tuple(block for block, _ in walked))
        outputs = leave(eqn, facts, [outputs for _, outputs in walked])
        return (step if step.all_found else None), outputs

    def _plan_custom(self, eqn: JaxprEqn, facts: list[Fact], frame: _Frame) -> CustomStep | None:
        """None where there is nothing to rewrite, or nothing to differentiate."""
        name = naming.scope_path(frame.scopes) or eqn.primitive.name
        rule = trace_rule(eqn, name)
        if rule is None:
            return None
        self.holds_tracers |= any(isinstance(const, jax.core.Tracer) for const in rule.consts)
        ((primal_jaxpr, _),) = enter(eqn, facts)
        if not any(holds_matmul(j.jaxpr) for j in (primal_jaxpr, rule.forward, rule.backward)):
            return None
        captured = facts[: eqn.params["num_consts"]]
        if rule.stale or any(fact.data or fact.trained for fact in captured):
            raise UserError(closure_message(eqn, name))
        frame = replace(frame, differentiated=False)
        primal, _ = self._walk(primal_jaxpr, facts, frame)
        forward, outputs = self._walk(rule.forward, facts, replace(frame, twins=list(primal.all_found)))
        residuals = outputs[len(eqn.outvars) :]
        cotangents = [Fact(data=True, gradient=True) for _ in rule.outputs]
        behind = replace(frame, scopes=(*frame.scopes, naming.BACKWARD_SCOPE))
        backward, _ = self._walk(rule.backward, [*residuals, *cotangents], behind)
        return CustomStep(rule, primal, forward, backward)

    def _found(self, operation: Operation, frame: _Frame) -> Found:
        for twin in frame.twins or ():
            if twin.operation == operation:
                frame.twins.remove(twin)  # type: ignore[union-attr]
                return twin
        return Found(operation)


def _placed(operation: Operation, operands: Sequence[Fact]) -> Operation:
    """With what is known of where its operands come from."""
    weight, module = largest(fact.origin for fact in operands), common(fact.place for fact in operands)
    return replace(operation, weight=weight.path if weight else "", module="/".join(module or ()))
