"""What an engine is: how one MVM of a site is executed. One a file, under the names that `imc.path` takes.

An engine is put together for a plan, once: `engine_for(plan)` gives, say, the auto engine around a probe, statistical
kernels and exact ones, with chopping and averaging where the plan asks for them. A site never looks at a path's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from jax import Array
from jaxtyping import Float

from imctrain.families import member
from imctrain.imc.coding.levels import Levels
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Kernels, Reading

ARRAY_SCOPE, FORMATS_SCOPE = "imc_array", "imc_formats"
"""Name scope of every product that a site computes, so that a jaxpr tells array, formats and float matmuls apart."""


class Execution(NamedTuple):
    """One execution of an MVM.

    Attributes:
        plan: on the chip at hand. levels: what is driven.
        run: (kernels, driven codes or levels, seed) -> reading, with the stored operand in it.
        ranges: R of each pass, [P]. seed: see `random_numbers`.
        clipped: fraction of conversions that clipped in the last step, of the worst pass; scalar.
    """

    plan: MvmPlan
    levels: Levels
    run: Callable[[Kernels, Array, Array], Reading]
    ranges: Float[Array, " passes"]
    seed: Array
    clipped: Float[Array, ""]


class Ran(NamedTuple):
    """What an execution gave.

    Attributes:
        statistical: 1.0 where it ran on the statistical path, else 0.0; scalar float32.
        codes: where codes are counted (`Hardware.count_codes`): passes of an element whose code is not 0, mean
            |code| / L, and the share of cells that are on, [3].
    """

    reading: Reading
    statistical: Float[Array, ""]
    codes: Float[Array, " 3"] | None = None


class Engine(Protocol):
    """How an MVM is executed.

    Attributes:
        path: the name under which reports and ledgers have it. scope: ARRAY_SCOPE or FORMATS_SCOPE.
    """

    @property
    def path(self) -> str: ...

    @property
    def scope(self) -> str: ...

    def execute(self, execution: Execution) -> Ran:
        """The MVM's reading."""
        ...


Make = Callable[[MvmPlan], Engine]
"""A member of the family: the engine of a plan. Raises UserError where the plan has none."""


def engine_for(plan: MvmPlan) -> Engine:
    """The engine of `imc.path` for a plan; the digital one for an MVM that is not on the array."""
    name = "digital" if plan.is_digital else plan.hardware.path
    make: Make = member("imctrain.imc.engines", name)
    return make(plan)
