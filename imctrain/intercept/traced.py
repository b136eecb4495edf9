"""A function whose matmuls are known: what can be asked of it before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from jaxtyping import PyTree

from imctrain.cost.program import elementwise_work
from imctrain.cost.step import ChipPrices, Part, Step, StepCost, step_cost
from imctrain.errors import UserError
from imctrain.imc.forecast.advice import advise, find_problems
from imctrain.imc.site.site import Site
from imctrain.intercept._jax_internals import function_of, shapes_of
from imctrain.intercept.arguments import Arguments, is_array
from imctrain.intercept.call import arguments_of
from imctrain.intercept.evaluate import States
from imctrain.intercept.ledger import Ledger
from imctrain.intercept.naming import nearest, under_present_names
from imctrain.intercept.program import Chips, Program, Programs, trace
from imctrain.intercept.rules import Rule, check_overrides
from imctrain.settings import Hardware
from imctrain.technology import load_technology

R = TypeVar("R")


class Traced(Generic[R]):
    """The side of an `ImcFunction` that runs nothing. Arguments of its methods may be `jax.ShapeDtypeStruct`s."""

    def __init__(
        self, fn: Callable[..., R], hardware: Hardware, rules: Sequence[Rule] = (), weights: int | Sequence[int] = 0
    ):
        if not callable(fn):
            raise UserError(f"on_imc got {fn!r}: give a function")
        if not isinstance(hardware, Hardware):
            raise UserError(f"on_imc got hardware = {hardware!r}: give a Hardware")
        self.hardware = hardware
        self.rules = _rules(rules)
        self.weights = _weights(weights)
        check_overrides(self.rules, hardware)
        self._fn = fn
        self._programs = Programs()

    def init(self, *args: PyTree, **kwargs: PyTree) -> States:
        """Fresh state of every simulated site, by name. Arguments may be `jax.ShapeDtypeStruct`s."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return self._program(given).init_states()

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
            chips = program.chips(hardware or self.hardware, self.rules)
            program.check_chips(chips)
            return chips

    def ledger(self, *args: PyTree, **kwargs: PyTree) -> Ledger:
        """Every matmul of the function in program order, float ones included. Arguments as for `init`."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return self._program(given).ledger

    @property
    def former_names(self) -> dict[str, str]:
        """{name: former name} of the sites that are named after parameters now, after `init` or a call.

        Rules match both, and a state under former names is taken for that of today's.
        """
        return {name: former for name, former in self._programs.former_names.items() if name != former}

    def site(self, name: str) -> Site:
        """A simulated site, after `init` or a call. Raises UserError for a name it has not."""
        sites = self._programs.sites or {}
        (name,) = under_present_names({name: None}, self._programs.former_names)
        if name not in sites:
            near = ", ".join(nearest(name, sites)) or "none"
            raise UserError(f"no simulated site is called {name!r}; nearest: {near}")
        return sites[name]

    def advice(self, *args: PyTree, **kwargs: PyTree) -> list[str]:
        """What cannot work on this hardware and what to do about it, a line each; arguments as for `init`.

        From shapes and hardware alone, before anything runs (see `imc.advice`): empty says that nothing was found, not
        that training succeeds.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            return advise(find_problems(self._program(given).sites))

    def step(self, *args: PyTree, backward: bool = True, **kwargs: PyTree) -> Step:
        """What a call does, in numbers that a technology can price: its matmuls and its elementwise work.

        Args:
            args, kwargs: as for `init`. backward: with the gradients of its weights.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            program = self._program(given)
            jaxpr = program.block.jaxpr
            arrays = [weight for leaf, weight in zip(given.leaves, given.trained, strict=True) if is_array(leaf)]
            trained = [i for i, weight in enumerate(arrays) if weight and backward]
            work = elementwise_work(function_of(jaxpr), shapes_of(jaxpr), trained)
            return Step(tuple(program.ledger), self.hardware, (Part("elementwise", work),), backward)

    def cost(
        self,
        *args: PyTree,
        technology: str = "laws-28nm",
        supply_v: float | None = None,
        backward: bool = True,
        **kwargs: PyTree,
    ) -> StepCost:
        """Energy, time and area of a call on a chip of `array.macros` macros (docs/cost.md); nothing runs.

        Args:
            args, kwargs: as for `init`.
            technology: a shipped one's name, or a JSON file. supply_v: V; its own by default.
            backward: with the gradients of its weights. The optimizer's work is no part of the function.

        Raises UserError for a technology that cannot be read or does not hold at the supply.
        """
        prices = ChipPrices(load_technology(technology), supply_v, self.hardware.array.macros)
        return step_cost(self.step(*args, backward=backward, **kwargs), prices)

    def _program(self, given: Arguments) -> Program:
        return self._programs.find(given, lambda: trace(self._fn, given, self.hardware, self.rules))


def _rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    if isinstance(rules, Sequence) and all(isinstance(rule, Rule) for rule in rules):
        return tuple(rules)
    raise UserError(f"on_imc got rules = {rules!r}: give a list of imctrain.Rule, such as [Rule('head', path='float')]")


def _weights(weights: int | Sequence[int]) -> tuple[int, ...]:
    found = tuple(weights) if isinstance(weights, Sequence) else (weights,)
    # True is the number 1 to Python; nobody means the second argument by it.
    if all(isinstance(one, int) and not isinstance(one, bool) for one in found):
        return found
    raise UserError(f"on_imc got weights = {weights!r}: give the position of an argument (0 is the first), or several")
