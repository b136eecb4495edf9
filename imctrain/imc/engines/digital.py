"""The formats-only engine: the same codes, products computed digitally. No array, never reported as analog."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from imctrain.imc.engines.averaged import OfTheMean, Reader, Repeated
from imctrain.imc.engines.base import FORMATS_SCOPE, Execution, Ran
from imctrain.imc.engines.kernels import digital
from imctrain.imc.mvm.plan import MvmPlan


@dataclass(frozen=True)
class FormatsOnly:
    """See the module."""

    reader: Reader
    path: str = "digital"
    scope: str = FORMATS_SCOPE

    def execute(self, execution: Execution) -> Ran:
        """The product of the codes; of several roundings their mean."""
        return Ran(self.reader.read(execution), jnp.zeros((), jnp.float32))


def engine(plan: MvmPlan) -> FormatsOnly:
    """For any plan."""
    return FormatsOnly(OfTheMean(noisy=False) if plan.samples > 1 else Repeated(digital))


MEMBER = engine
