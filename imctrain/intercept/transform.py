"""`on_imc`: any JAX function with its matmuls and convolutions on the simulated array."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import jax
from jax import Array
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.imc.forecast.health import PATIENCE
from imctrain.intercept._jax_internals import Value, varying_axes
from imctrain.intercept.call import arguments_of
from imctrain.intercept.checking import ReportCheck, Reports
from imctrain.intercept.evaluate import Execution, States, Taps, evaluate
from imctrain.intercept.keys import typed_key
from imctrain.intercept.naming import under_present_names
from imctrain.intercept.program import Chips, check_names
from imctrain.intercept.rules import Rule
from imctrain.intercept.traced import Traced
from imctrain.settings import Hardware

R = TypeVar("R")


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


class ImcFunction(Traced[R]):
    """A function on the simulated array; made by `on_imc`. What can be asked of it before it runs: see `Traced`.

    Calling it takes the function's own arguments and, by keyword, `key` (a JAX key; each call needs its own, or noise
    repeats), `state` (of `init` or `update`; without one every site starts afresh) and `chip` (of `chip`; without one
    that of its hardware). Keywords of these names are not passed on.
    """

    def __init__(
        self, fn: Callable[..., R], hardware: Hardware, rules: Sequence[Rule] = (), weights: int | Sequence[int] = 0
    ):
        super().__init__(fn, hardware, rules, weights)
        functools.update_wrapper(self, fn, updated=())
        self._check = ReportCheck()

    def __call__(
        self, *args: PyTree, key: Array, state: States | None = None, chip: Chips | None = None, **kwargs: PyTree
    ) -> R:
        """The function's result. Raises UserError for a state or a chip of other sites than the function's."""
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            _check_same_everywhere((key, given.dynamic))
            program = self._program(given)
            state = program.init_states() if state is None else program.present(state)
            check_names(state, program.sites)
            chips = program.chips(self.hardware, self.rules) if chip is None else program.present(chip)
            states = program.on_chips(state, chips)
            return given.result(program.results, program.run(typed_key(key), states, given.dynamic))

    def update(self, state: States, grad: States) -> tuple[States, dict[str, dict[str, Array]]]:
        """The next step's state and each site's report, from the state and its cotangent.

        Raises UserError before the function was traced (`init` or a call), and for a state of other sites.
        """
        sites = self._programs.sites
        if sites is None:
            raise UserError("update came before init: the function's sites are not known yet")
        state, grad = (under_present_names(values, self._programs.former_names) for values in (state, grad))
        new: States = {}
        reports: dict[str, dict[str, Array]] = {}
        for name, site_state in state.items():
            if name not in sites or name not in grad:
                check_names(state, sites)
                check_names(grad, state)
            new[name], reports[name] = sites[name].update(site_state, grad[name])
        return new, reports

    def tapped(
        self,
        *args: PyTree,
        key: Array,
        added: Mapping[str, Array],
        state: States | None = None,
        chip: Chips | None = None,
        digital: bool = False,
        pass_nested: bool = False,
        **kwargs: PyTree,
    ) -> tuple[R, dict[str, tuple[Value, Value]]]:
        """The function's result, and the operands (lhs, rhs) that each simulated site met: for recording.

        The cotangent of `added` (zeros of every site's output shape) is the gradient at each site's output, as the
        site's backward rule gets it.

        Args:
            digital: every site computes the float product of the original program in place of the array's.
            pass_nested: leave sites in a loop, a branch, `jax.checkpoint` or a custom derivative as they are, unread.

        Raises UserError, naming it, for such a site otherwise.
        """
        with arguments_of(self._fn, args, kwargs, self.weights) as given:
            program = self._program(given)
            state = program.init_states() if state is None else program.present(state)
            added = program.present(added)
            check_names(state, program.sites)
            check_names(added, program.sites)
            state = state if chip is None else program.on_chips(state, program.present(chip))
            taps = Taps(added, digital, pass_nested)
            outputs, _ = evaluate(program.block, given.dynamic, Execution(typed_key(key), state, taps=taps))
            return given.result(program.results, outputs), taps.operands

    def check(self, reports: Reports, *, patience: int = PATIENCE) -> None:
        """Judge the reports of `update`, after each step and outside of jit.

        Warns (`errors.HardwareWarning`), once for each MVM, where the output held no signal in `patience` reports in a
        row. Reports that a scan has stacked are judged one after the other.

        Args:
            patience: 1 judges a single report; a training has a few steps that are no sign of anything.

        Raises UserError where a site with path = "statistical" clipped more than `statistical.clip_limit` in `patience`
        reports in a row, and for reports that are traced or of other sites.
        """
        self._check(self._programs.sites or {}, reports, patience)


def _check_same_everywhere(values: PyTree) -> None:
    """State and telemetry are of all devices: JAX could not prove that they are, where it looks for it."""
    for leaf in jax.tree.leaves(values):
        if axes := varying_axes(leaf) if isinstance(leaf, jax.core.Tracer) else ():
            raise UserError(
                f"on_imc is called in a jax.shard_map that tracks what varies over mesh axis {axes[0]!r}: give that "
                "shard_map check_vma=False, and each device a key of its own"
            )
