"""A function that was traced, planned and named: its sites, how it runs, and the cache of such programs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

import jax
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.chip.figures import Chip, chip_of, require_alike
from imctrain.imc.site.site import Site, make_site
from imctrain.imc.site.spec import SiteSpec
from imctrain.intercept._jax_internals import Value, without_dead_code
from imctrain.intercept.arguments import Arguments, Results, constants_hold, is_array
from imctrain.intercept.evaluate import Execution, States, evaluate
from imctrain.intercept.ledger import Ledger, ledger_of
from imctrain.intercept.naming import nearest, under_present_names
from imctrain.intercept.parameter_paths import site_path
from imctrain.intercept.plan import Block, Planner
from imctrain.intercept.provenance import data_fact, weight_fact
from imctrain.intercept.resolve import resolve
from imctrain.intercept.rules import Rule, hardware_of
from imctrain.settings import Hardware

CACHED_PROGRAMS = 32
"""Programs that one function keeps: one for each combination of argument shapes and static arguments."""

T = TypeVar("T")

Chips = Mapping[str, Chip]
"""Figures of a chip by site, see `ImcFunction.chip`."""


@dataclass(frozen=True, eq=False)
class Program:
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

    def present(self, states: Mapping[str, T]) -> dict[str, T]:
        """Values by site, of today's names."""
        return under_present_names(states, self.ledger.former_names)

    def init_states(self) -> States:
        """Fresh state of every simulated site."""
        return {name: site.init_state() for name, site in self.sites.items()}

    def chips(self, hardware: Hardware, rules: Sequence[Rule]) -> Chips:
        """The chip of every site on the array, after the rules."""
        former = self.ledger.former_names
        found = {name: hardware_of(name, hardware, rules, former[name]) for name in self._on_array()}
        return {name: chip_of(own) for name, own in found.items() if own is not None}

    def check_chips(self, chips: Chips) -> None:
        """Raises UserError for chips of other sites, and for one of another structure than its site's."""
        on_array = self._on_array()
        check_names(chips, on_array, "chip")
        for name, site in on_array.items():
            require_alike(chips[name], site.spec.hardware, f"site {name}")

    def on_chips(self, states: States, chips: Chips) -> States:
        """The states, each with its site's chip. Raises UserError as `check_chips` does."""
        self.check_chips(chips)
        return {
            name: dataclasses.replace(states[name], chip=chips[name]) if name in chips else states[name]
            for name in self.sites
        }

    def _on_array(self) -> dict[str, Site]:
        return {name: site for name, site in self.sites.items() if site.on_array}


class Kept(TypedDict):
    """What a copy of `Programs` gets."""

    sites: dict[str, SiteSpec] | None
    former_names: dict[str, str]


class Programs:
    """The programs of one function, the newest `CACHED_PROGRAMS`.

    Attributes:
        sites: simulated sites of every program that there was, by name; None before the first one.
        former_names: theirs, by name.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Site] | None = None
        self.former_names: dict[str, str] = {}
        self._kept: dict[Hashable, Program] = {}

    def find(self, given: Arguments, make: Callable[[], Program]) -> Program:
        """The program for these arguments: one that is kept and still valid, or what `make` returns."""
        found = self._find(given, make)
        self.sites = (self.sites or {}) | found.sites
        self.former_names |= found.ledger.former_names
        return found

    def __getstate__(self) -> Kept:
        """For copies and pickles: without the traced programs, which a copy traces for itself when it is called."""
        specs = None if self.sites is None else {name: site.spec for name, site in self.sites.items()}
        return {"sites": specs, "former_names": self.former_names}

    def __setstate__(self, state: Kept) -> None:
        specs = state["sites"]
        self.former_names = state["former_names"]
        self.sites = None if specs is None else {name: make_site(spec) for name, spec in specs.items()}
        self._kept = {}

    def _find(self, given: Arguments, make: Callable[[], Program]) -> Program:
        try:
            key = given.program_key()
            known = self._kept.get(key)
        except (TypeError, ValueError):  # a static value that cannot be hashed or compared: trace every time
            key = known = None
        if known is not None and known.is_valid():
            return known
        made = make()
        if made.reusable and key is not None:
            self._kept.pop(key, None)
            if len(self._kept) >= CACHED_PROGRAMS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = made
        return made


def trace(fn: Callable[..., object], given: Arguments, hardware: Hardware, rules: Sequence[Rule]) -> Program:
    """The program of a function for these arguments.

    Raises UserError for what `on_imc` says that it raises when the function is traced.
    """
    jaxpr, results = given.trace(fn)
    jaxpr = without_dead_code(jaxpr)
    facts = [
        weight_fact(leaf, site_path(path)) if is_weight else data_fact(leaf)
        for leaf, is_weight, path in zip(given.leaves, given.trained, given.parameter_paths(fn), strict=True)
        if is_array(leaf)
    ]
    planner = Planner()
    block = planner.plan(jaxpr, facts)
    resolve(block.all_found, hardware, rules)

    # Inlined where it is called under jit; called eagerly, it compiles once and runs fast.
    @functools.partial(jax.jit, inline=True)
    def run(key: Array, states: States, dynamic: list[Value]) -> list[Value]:
        return evaluate(block, dynamic, Execution(key, states))[0]

    reusable = not planner.holds_tracers
    is_valid = constants_hold(jaxpr) if reusable else lambda: False
    return Program(block, ledger_of(block.all_found), block.sites, run, results, reusable, is_valid)


def check_names(state: Mapping[str, object], sites: Mapping[str, object], what: str = "state") -> None:
    """Raises UserError where `state` (or another mapping, called `what`) is not of these sites."""
    missing = [name for name in sites if name not in state]
    extra = [name for name in state if name not in sites]
    if missing:
        make = "init" if what == "state" else what
        raise UserError(f"the {what} lacks site {missing[0]!r}: make it with {make} for these arguments and rules")
    if extra:
        near = ", ".join(nearest(extra[0], sites)) or "none"
        raise UserError(f"the {what} has site {extra[0]!r}, which the function has not; nearest: {near}")
