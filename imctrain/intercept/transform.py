"""`on_imc`: any JAX function with its matmuls and convolutions on the simulated array."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import jax
from jax import Array
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.imc.chip.figures import Chip, chip_of, require_alike
from imctrain.imc.forecast.advice import advise, find_problems
from imctrain.imc.forecast.health import PATIENCE
from imctrain.imc.site.site import Site, make_site
from imctrain.intercept._jax_internals import Value, varying_axes, without_dead_code
from imctrain.intercept.arguments import Arguments, Results, arguments_of, constants_hold, is_array
from imctrain.intercept.checking import ReportCheck, Reports
from imctrain.intercept.evaluate import Execution, States, Taps, evaluate
from imctrain.intercept.keys import typed_key
from imctrain.intercept.ledger import Ledger, ledger_of
from imctrain.intercept.naming import nearest
from imctrain.intercept.plan import Block, Planner
from imctrain.intercept.provenance import data_fact, weight_fact
from imctrain.intercept.resolve import resolve
from imctrain.intercept.rules import Rule, check_overrides, hardware_of
from imctrain.settings import Hardware

R = TypeVar("R")

CACHED_PROGRAMS = 32
"""Traced programs that one function keeps: one for each combination of argument shapes and static arguments."""


def on_imc(
    fn: Callable[..., R],
    hardware: Hardware,
    rules: Sequence[Rule] = (),
    weights: int | Sequence[int] = 0,
) -> ImcFunction[R]:
    """`fn` with every `dot_general` and `conv_general_dilated` in it computed on the simulated array.

    The result is a JAX function like any other: differentiate, jit, vmap or checkpoint it from outside, and the
    backward pass runs on the array too. Matmuls are found through jit, remat, scan, while, cond and custom
    derivatives; one that cannot be put on the array is an error that names it, unless a rule leaves it digital.
    Products of integers, FFTs and elementwise operations are no matmuls and stay as they are.

    Args:
        fn: a JAX function of pytrees and of flax nnx modules. Leaves that are no arrays (numbers, strings, None ...)
            are static: another value is another program. It may change the modules that it gets or closes over
            (batch statistics, caches, RNG counts, sown values): the caller's own are changed as if it had been called
            without the array, under `nnx.jit`, `nnx.grad` and the like too. Anything else it closes over is constant.
        hardware: what every site is simulated on.
        rules: what is different at some sites, later ones winning (see `Rule`).
        weights: positional argument(s) whose leaves are the trained weights; operands that depend on nothing else are
            encoded as weights. Of a module, argument or closed over, the weights are its `nnx.Param`s; all else in it
            is data.

    Raises:
        UserError: for a bad argument here; and, when the function is traced, for a matmul that has no array mapping,
            a rule that matches no site, a custom derivative that cannot be seen into, or a change of a module that
            would be lost (a module of a trace around the call, or one that `jax.vmap` inside maps over).

    Example:
        >>> imc_loss = on_imc(loss, Hardware(), rules=[Rule("head", path="float")])
        >>> state = imc_loss.init(params, batch)
        >>> gradient = jax.grad(lambda p, s: imc_loss(p, batch, key=key, state=s), argnums=(0, 1))
        >>> g, telemetry = gradient(params, state)
        >>> state, reports = imc_loss.update(state, telemetry)
    """
    return ImcFunction(fn, hardware, rules, weights)


Chips = Mapping[str, Chip]
"""Figures of a chip by site, see `ImcFunction.chip`."""


@dataclass(frozen=True, eq=False)
class _Program:
    """A traced and planned function.

    Attributes:
        run: maps (key, states, the arguments' arrays) to the arrays that `results` is made of.
        reusable: whether it can be kept for calls to come.
        is_valid: whether what it took for constant has not changed since.
    """

    block: Block
    ledger: Ledger
    sites: dict[str, Site]
    run: Callable[..., list[Value]]
    results: Results
    reusable: bool
    is_valid: Callable[[], bool]


class ImcFunction(Generic[R]):
    """A function on the simulated array; made by `on_imc`.

    Calling it takes the function's own arguments and, by keyword, `key` (a JAX key; each call needs its own, or noise
    repeats), `state` (of `init` or `update`; without one every site starts afresh) and `chip` (of `chip`; without one
    that of its hardware). Keywords of these names are not passed on.
    """

    def __init__(
        self, fn: Callable[..., R], hardware: Hardware, rules: Sequence[Rule] = (), weights: int | Sequence[int] = 0
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
        self._traced = False
        self._check = ReportCheck()
        functools.update_wrapper(self, fn, updated=())

    def __call__(
        self, *args: PyTree, key: Array, state: States | None = None, chip: Chips | None = None, **kwargs: PyTree
    ) -> R:
        """The function's result. Raises UserError for a state or a chip of other sites than the function's."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            _check_same_everywhere((key, given.dynamic))
            program = self._program(given)
            state = _init_states(program) if state is None else state
            _check_names(state, program.sites)
            chips = _chips(program, self.hardware, self.rules) if chip is None else chip
            _check_chips(chips, program)
            states = {
                name: dataclasses.replace(state[name], chip=chips[name]) if name in chips else state[name]
                for name in program.sites
            }
            return given.result(program.results, program.run(typed_key(key), states, given.dynamic))

    def init(self, *args: PyTree, **kwargs: PyTree) -> States:
        """Fresh state of every simulated site, by name. Arguments may be `jax.ShapeDtypeStruct`s."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return _init_states(self._program(given))

    def chip(self, *args: PyTree, hardware: Hardware | None = None, **kwargs: PyTree) -> Chips:
        """The chip that a call runs on, for its `chip` argument: figures by site, as arrays.

        Given as an argument of a compiled function, another chip costs no compilation. Chips of several dies, stacked
        leaf by leaf, are what `jax.vmap` runs over.

        Args:
            args, kwargs: as for `init`.
            hardware: of another chip of the same structure (other sigma, chip_seed or calibration); rules apply to it.
                Every call looks at the figures that it is given before it takes the statistical path; a site that never
                could take it on the function's own hardware stays exact.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            program = self._program(given)
            chips = _chips(program, hardware or self.hardware, self.rules)
            _check_chips(chips, program)
            return chips

    def update(self, state: States, grad: States) -> tuple[States, dict[str, dict[str, Array]]]:
        """The next step's state and each site's report, from the state and its cotangent.

        Raises UserError before the function was traced (`init` or a call), and for a state of other sites.
        """
        if not self._traced:
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
        *args: PyTree,
        key: Array,
        added: Mapping[str, Array],
        state: States | None = None,
        digital: bool = False,
        **kwargs: PyTree,
    ) -> tuple[R, dict[str, tuple[Value, Value]]]:
        """The function's result, and the operands (lhs, rhs) that each simulated site met: for recording.

        The cotangent of `added` (zeros of every site's output shape) is the gradient at each site's output, as the
        site's backward rule gets it.

        Args:
            digital: every site computes the float product of the original program in place of the array's.

        Raises UserError, naming it, for a site in a loop, a branch, `jax.checkpoint` or a custom derivative.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            program = self._program(given)
            state = _init_states(program) if state is None else state
            _check_names(state, program.sites)
            _check_names(added, program.sites)
            taps = Taps(added, digital)
            outputs, _ = evaluate(program.block, given.dynamic, Execution(typed_key(key), state, taps=taps))
            return given.result(program.results, outputs), taps.operands

    def site(self, name: str) -> Site:
        """A simulated site, after `init` or a call. Raises UserError for a name it has not."""
        if name not in self._sites:
            near = ", ".join(nearest(name, self._sites)) or "none"
            raise UserError(f"no simulated site is called {name!r}; nearest: {near}")
        return self._sites[name]

    def ledger(self, *args: PyTree, **kwargs: PyTree) -> Ledger:
        """Every matmul of the function in program order, float ones included. Arguments as for `init`."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return self._program(given).ledger

    def advice(self, *args: PyTree, **kwargs: PyTree) -> list[str]:
        """What cannot work on this hardware and what to do about it, a line each; arguments as for `init`.

        From shapes and hardware alone, before anything runs (see `imc.advice`): empty says that nothing was found, not
        that training succeeds.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return advise(find_problems(self._program(given).sites))

    def check(self, reports: Reports, *, patience: int = PATIENCE) -> None:
        """Judge the reports of `update`, after each step and outside of jit.

        Warns (`errors.HardwareWarning`), once for each MVM, where the output held no signal in `patience` reports in a
        row. Reports that a scan has stacked are judged one after the other.

        Args:
            patience: 1 judges a single report; a training has a few steps that are no sign of anything.

        Raises UserError where a site with path = "statistical" clipped more than `statistical.clip_limit` in `patience`
        reports in a row, and for reports that are traced or of other sites.
        """
        self._check(self._sites, reports, patience)

    def __getstate__(self) -> dict[str, object]:
        """For copies and pickles: without the traced programs, which a copy traces for itself when it is called."""
        sites = {name: site.spec for name, site in self._sites.items()}
        return self.__dict__ | {"_programs": {}, "_sites": sites}

    def __setstate__(self, state: dict[str, PyTree]) -> None:
        self.__dict__ |= state | {"_sites": {name: make_site(spec) for name, spec in state["_sites"].items()}}

    def _program(self, given: Arguments) -> _Program:
        try:
            cache_key = given.program_key()
            known = self._programs.get(cache_key)
        except (TypeError, ValueError):  # a static value that cannot be hashed or compared: trace every time
            cache_key = known = None
        if known is None or not known.is_valid():
            known = self._trace(given)
            if known.reusable and cache_key is not None:
                self._programs.pop(cache_key, None)
                if len(self._programs) >= CACHED_PROGRAMS:
                    self._programs.pop(next(iter(self._programs)))
                self._programs[cache_key] = known
        self._sites |= known.sites
        self._traced = True
        return known

    def _trace(self, given: Arguments) -> _Program:
        jaxpr, results = given.trace(self._fn)
        jaxpr = without_dead_code(jaxpr)
        facts = [
            weight_fact(leaf) if is_weight else data_fact(leaf)
            for leaf, is_weight in zip(given.leaves, given.trained, strict=True)
            if is_array(leaf)
        ]
        planner = Planner()
        block = planner.plan(jaxpr, facts)
        resolve(block.all_found, self.hardware, self.rules)

        # Inlined where it is called under jit; called eagerly, it compiles once and runs fast.
        @functools.partial(jax.jit, inline=True)
        def run(key: Array, states: States, dynamic: list[Value]) -> list[Value]:
            return evaluate(block, dynamic, Execution(key, states))[0]

        reusable = not planner.holds_tracers
        is_valid = constants_hold(jaxpr) if reusable else lambda: False
        return _Program(block, ledger_of(block.all_found), block.sites, run, results, reusable, is_valid)


def _chips(program: _Program, hardware: Hardware, rules: Sequence[Rule]) -> Chips:
    """The chip of every site on the array, after the rules."""
    found = {name: hardware_of(name, hardware, rules) for name, site in program.sites.items() if site.on_array}
    return {name: chip_of(own) for name, own in found.items() if own is not None}


def _check_chips(chips: Chips, program: _Program) -> None:
    on_array = {name: site for name, site in program.sites.items() if site.on_array}
    _check_names(chips, on_array, "chip")
    for name, site in on_array.items():
        require_alike(chips[name], site.spec.hardware, f"site {name}")


def _init_states(program: _Program) -> States:
    return {name: site.init_state() for name, site in program.sites.items()}


def _check_same_everywhere(values: PyTree) -> None:
    """State and telemetry are of all devices: JAX could not prove that they are, where it looks for it."""
    for leaf in jax.tree.leaves(values):
        if axes := varying_axes(leaf) if isinstance(leaf, jax.core.Tracer) else ():
            raise UserError(
                f"on_imc is called in a jax.shard_map that tracks what varies over mesh axis {axes[0]!r}: give that "
                "shard_map check_vma=False, and each device a key of its own"
            )


def _check_names(state: Mapping[str, object], sites: Mapping[str, object], what: str = "state") -> None:
    missing = [name for name in sites if name not in state]
    extra = [name for name in state if name not in sites]
    if missing:
        make = "init" if what == "state" else what
        raise UserError(f"the {what} lacks site {missing[0]!r}: make it with {make} for these arguments and rules")
    if extra:
        near = ", ".join(nearest(extra[0], sites)) or "none"
        raise UserError(f"the {what} has site {extra[0]!r}, which the function has not; nearest: {near}")
