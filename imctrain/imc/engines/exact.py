"""The exact engine: every conversion is simulated."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from imctrain.imc.engines.averaged import Reader, exact_reader
from imctrain.imc.engines.base import ARRAY_SCOPE, Execution, Ran
from imctrain.imc.mvm.plan import MvmPlan


@dataclass(frozen=True)
class Exact:
    """See the module."""

    reader: Reader
    path: str = "exact"
    scope: str = ARRAY_SCOPE

    def execute(self, execution: Execution) -> Ran:
        """The reading of all conversions."""
        return Ran(self.reader.read(execution), jnp.zeros((), jnp.float32))


def engine(plan: MvmPlan) -> Exact:
    """For any plan."""
    return Exact(exact_reader(plan))


MEMBER = engine
