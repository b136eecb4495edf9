"""The auto engine: the statistical path where it holds, the exact one elsewhere, chosen in every execution.

Clipping is measured in the very call, on a probe: neither a first call nor one with another state takes the statistical
path on trust.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from imctrain.imc.engines.averaged import FirstSample, Reader, chopped, exact_reader, statistical_reader
from imctrain.imc.engines.base import ARRAY_SCOPE, Engine, Execution, Ran
from imctrain.imc.engines.exact import engine as exact_engine
from imctrain.imc.engines.kernels import probe
from imctrain.imc.engines.validity import dithered, validity
from imctrain.imc.mvm.plan import MvmPlan


@dataclass(frozen=True)
class Auto:
    """See the module. `path`: "auto", or "statistical" where that is what was asked for."""

    probe: Reader
    statistical: Reader
    exact: Reader
    path: str = "auto"
    scope: str = ARRAY_SCOPE

    def execute(self, execution: Execution) -> Ran:
        """Of either path; clipping and voltages of the probe where it is the statistical one."""
        seen = self.probe.read(execution)
        holds = dithered(execution.plan, execution.ranges, jnp.maximum(jnp.max(seen.clipped), execution.clipped))
        reading = jax.lax.cond(
            holds,
            lambda: seen._replace(product=self.statistical.read(execution).product),
            lambda: self.exact.read(execution),
        )
        return Ran(reading, holds.astype(jnp.float32))


def auto(plan: MvmPlan, path: str) -> Auto:
    """The engine under the name of a path."""
    return Auto(FirstSample(chopped(probe, plan)), statistical_reader(plan), exact_reader(plan), path)


def engine(plan: MvmPlan) -> Engine:
    """Exact alone where the statistical path holds at no range."""
    answer, _ = validity(plan)
    return exact_engine(plan) if answer == "never" else auto(plan, "auto")


MEMBER = engine
