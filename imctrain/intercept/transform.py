"""`on_imc`: any JAX function with its matmuls and convolutions on the simulated array."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.advice import advise, find_problems
from imctrain.imc.hardware import Hardware
from imctrain.imc.health import PATIENCE
from imctrain.imc.site import Site
from imctrain.intercept._jax_internals import abstract, trace_settings, without_dead_code
from imctrain.intercept.checking import ReportCheck
from imctrain.intercept.evaluate import Execution, States, Taps, evaluate
from imctrain.intercept.keys import typed_key
from imctrain.intercept.ledger import Ledger, ledger_of
from imctrain.intercept.naming import nearest
from imctrain.intercept.plan import Block, Planner
from imctrain.intercept.provenance import data_fact, weight_fact
from imctrain.intercept.resolve import resolve
from imctrain.intercept.rules import Rule, check_overrides

CACHED_PROGRAMS = 32
"""Traced programs that one function keeps: one for each combination of argument shapes and static arguments."""


def on_imc(
    fn: Callable[..., Any],
    hardware: Hardware,
    rules: Sequence[Rule] = (),
    weights: int | Sequence[int] = 0,
) -> ImcFunction:
    """`fn` with every `dot_general` and `conv_general_dilated` in it computed on the simulated array.

    The result is a JAX function like any other: differentiate, jit, vmap or checkpoint it from outside, and the
    backward pass runs on the array too. Matmuls are found through jit, remat, scan, while, cond and custom
    derivatives; one that cannot be put on the array is an error that names it, unless a rule leaves it digital.
    Products of integers, FFTs and elementwise operations are no matmuls and stay as they are.

    Args:
        fn: a pure JAX function of pytrees. Leaves that are no arrays (numbers, strings, None ...) are static: another
            value is another program. What it closes over counts as data, not as weights.
        hardware: what every site is simulated on.
        rules: what is different at some sites, later ones winning (see `Rule`).
        weights: positional argument(s) whose leaves are the trained weights; operands that depend on nothing else are
            encoded as weights.

    Raises:
        UserError: for a bad argument here; and, when the function is traced, for a matmul that has no array mapping,
            a rule that matches no site, or a custom derivative that cannot be seen into.

    Example:
        >>> imc_loss = on_imc(loss, Hardware(), rules=[Rule("head", path="float")])
        >>> state = imc_loss.init(params, batch)
        >>> gradient = jax.grad(lambda p, s: imc_loss(p, batch, key=key, state=s), argnums=(0, 1))
        >>> g, telemetry = gradient(params, state)
        >>> state, reports = imc_loss.update(state, telemetry)
    """
    return ImcFunction(fn, hardware, rules, weights)


@dataclass(frozen=True, eq=False)
class _Program:
    """A traced and planned function. `run` maps (key, states, dynamic leaves) to the dynamic leaves of the result."""

    block: Block
    ledger: Ledger
    sites: dict[str, Site]
    run: Callable[..., list[Any]]
    rebuild: Callable[[Sequence[Any]], Any]
    reusable: bool


class ImcFunction:
    """A function on the simulated array; made by `on_imc`.

    Calling it takes the function's own arguments and, by keyword, `key` (a JAX key; each call needs its own, or noise
    repeats) and `state` (of `init` or `update`; without one every site starts afresh). Keywords of these names are
    not passed on.
    """

    def __init__(
        self, fn: Callable[..., Any], hardware: Hardware, rules: Sequence[Rule] = (), weights: int | Sequence[int] = 0
    ):
        if not callable(fn):
            raise UserError(f"on_imc got {fn!r}: give a function")
        if not isinstance(hardware, Hardware):
            raise UserError(f"on_imc got hardware = {hardware!r}: give a Hardware")
        self.hardware = hardware
        self.rules = tuple(rules)
        self.weights = (weights,) if isinstance(weights, int) else tuple(weights)
        check_overrides(self.rules, hardware)
        self._fn = fn
        self._programs: dict[Hashable, _Program] = {}
        self._sites: dict[str, Site] = {}
        self._check = ReportCheck()
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, key: Array, state: States | None = None, **kwargs: Any) -> Any:
        """The function's result. Raises UserError for a state of other sites than the function's."""
        program, dynamic = self._program(args, kwargs)
        self._sites |= program.sites
        if state is None:
            state = {name: site.init_state() for name, site in program.sites.items()}
        _check_names(state, program.sites)
        states = {name: state[name] for name in program.sites}
        return program.rebuild(program.run(typed_key(key), states, dynamic))

    def init(self, *args: Any, **kwargs: Any) -> States:
        """Fresh state of every simulated site, by name. Arguments may be `jax.ShapeDtypeStruct`s."""
        program, _ = self._program(args, kwargs)
        self._sites |= program.sites
        return {name: site.init_state() for name, site in program.sites.items()}

    def update(self, state: States, grad: States) -> tuple[States, dict[str, dict[str, Array]]]:
        """The next step's state and each site's report, from the state and its cotangent.

        Raises UserError before the function was traced (`init` or a call), and for a state of other sites.
        """
        if not self._sites:
            raise UserError("update came before init: the function's sites are not known yet")
        new: States = {}
        reports: dict[str, dict[str, Array]] = {}
        for name, site_state in state.items():
            if name not in self._sites or name not in grad:
                _check_names(state, self._sites)
                _check_names(grad, state)
            new[name], reports[name] = self._sites[name].update(site_state, grad[name])
        return new, reports

    def tapped(
        self,
        *args: Any,
        key: Array,
        added: Mapping[str, Array],
        state: States | None = None,
        digital: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, dict[str, tuple[Array, Array]]]:
        """The function's result, and the operands (lhs, rhs) that each simulated site met: for recording.

        The cotangent of `added` (zeros of every site's output shape) is the gradient at each site's output, as the
        site's backward rule gets it.

        Args:
            digital: every site computes the float product of the original program in place of the array's.

        Raises UserError, naming it, for a site in a loop, a branch, `jax.checkpoint` or a custom derivative.
        """
        program, dynamic = self._program(args, kwargs)
        self._sites |= program.sites
        if state is None:
            state = {name: site.init_state() for name, site in program.sites.items()}
        _check_names(state, program.sites)
        _check_names(added, program.sites)
        taps = Taps(added, digital)
        outputs, _ = evaluate(program.block, dynamic, Execution(typed_key(key), state, taps=taps))
        return program.rebuild(outputs), taps.operands

    def site(self, name: str) -> Site:
        """A simulated site, after `init` or a call. Raises UserError for a name it has not."""
        if name not in self._sites:
            near = ", ".join(nearest(name, self._sites)) or "none"
            raise UserError(f"no simulated site is called {name!r}; nearest: {near}")
        return self._sites[name]

    def ledger(self, *args: Any, **kwargs: Any) -> Ledger:
        """Every matmul of the function in program order, float ones included. Arguments as for `init`."""
        return self._program(args, kwargs)[0].ledger

    def advice(self, *args: Any, **kwargs: Any) -> list[str]:
        """What cannot work on this hardware and what to do about it, a line each; arguments as for `init`.

        From shapes and hardware alone, before anything runs (see `imc.advice`): empty says that nothing was found, not
        that training succeeds.
        """
        return advise(find_problems(self._program(args, kwargs)[0].sites))

    def check(self, reports: Mapping[str, Mapping[str, Any]], *, patience: int = PATIENCE) -> None:
        """Judge the reports of `update`, after each step and outside of jit.

        Warns (`errors.HardwareWarning`), once for each MVM, where the output held no signal in `patience` reports in a
        row. Reports that a scan has stacked are judged one after the other.

        Args:
            patience: 1 judges a single report; a training has a few steps that are no sign of anything.

        Raises UserError where a site with path = "statistical" clipped more than `statistical.clip_limit` in `patience`
        reports in a row, and for reports that are traced or of other sites.
        """
        self._check(self._sites, reports, patience)

    def _program(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Program, list[Any]]:
        leaves, tree = jax.tree.flatten((args, kwargs))
        dynamic = [leaf for leaf in leaves if _is_array(leaf)]
        static = tuple((type(leaf), leaf) for leaf in leaves if not _is_array(leaf))
        places = tuple(_is_array(leaf) for leaf in leaves)
        cache_key = (tree, places, tuple(map(abstract, dynamic)), static, trace_settings())
        try:
            known = self._programs.get(cache_key)
        except TypeError:  # a static argument that has no hash: trace every time
            return self._trace(args, kwargs), dynamic
        if known is None:
            known = self._trace(args, kwargs)
            if known.reusable:
                if len(self._programs) >= CACHED_PROGRAMS:
                    self._programs.pop(next(iter(self._programs)))
                self._programs[cache_key] = known
        return known, dynamic

    def _trace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Program:
        leaves, tree = jax.tree.flatten((args, kwargs))
        trained = self._weight_leaves(args, kwargs)
        results: list[Any] = []

        def flat(*dynamic: Any) -> list[Any]:
            given = iter(dynamic)
            full = [next(given) if _is_array(leaf) else leaf for leaf in leaves]
            own_args, own_kwargs = jax.tree.unflatten(tree, full)
            out, out_tree = jax.tree.flatten(self._fn(*own_args, **own_kwargs))
            results[:] = [out_tree, [None if _is_array(leaf) else (leaf,) for leaf in out]]
            return [leaf for leaf in out if _is_array(leaf)]

        dynamic = [leaf for leaf in leaves if _is_array(leaf)]
        jaxpr = without_dead_code(jax.make_jaxpr(flat)(*dynamic))
        out_tree, static_out = results
        facts = [
            weight_fact(leaf) if is_weight else data_fact(leaf)
            for leaf, is_weight in zip(leaves, trained, strict=True)
            if _is_array(leaf)
        ]
        planner = Planner()
        block = planner.plan(jaxpr, facts)
        resolve(block.all_found, self.hardware, self.rules)

        # Inlined where it is called under jit; called eagerly, it compiles once and runs fast.
        @functools.partial(jax.jit, inline=True)
        def run(key: Array, states: States, dynamic: list[Any]) -> list[Any]:
            return evaluate(block, dynamic, Execution(key, states))[0]

        def rebuild(dynamic_out: Sequence[Any]) -> Any:
            given = iter(dynamic_out)
            return jax.tree.unflatten(out_tree, [next(given) if kept is None else kept[0] for kept in static_out])

        return _Program(block, ledger_of(block.all_found), block.sites, run, rebuild, not planner.holds_tracers)

    def _weight_leaves(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[bool]:
        for number in self.weights:
            if not -len(args) <= number < len(args):
                raise UserError(f"weights = {number} names no argument: the call has {len(args)} positional ones")
        chosen = {number % len(args) for number in self.weights}
        flags = [number in chosen for number, arg in enumerate(args) for _ in jax.tree.leaves(arg)]
        return flags + [False] * len(jax.tree.leaves(kwargs))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _check_names(state: Mapping[str, Any], sites: Mapping[str, Any]) -> None:
    missing = [name for name in sites if name not in state]
    extra = [name for name in state if name not in sites]
    if missing:
        raise UserError(f"the state lacks site {missing[0]!r}: make it with init for these arguments and rules")
    if extra:
        near = ", ".join(nearest(extra[0], sites)) or "none"
        raise UserError(f"the state has site {extra[0]!r}, which the function has not; nearest: {near}")
