"""`adc.range`, or `adc.low_range` where that is enough: two references that a macro switches between."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip.ranges.base import RangePolicy
from imctrain.settings import AdcSpec


class TwoLevel(RangePolicy):
    """See the module."""

    def possible(self, adc: AdcSpec) -> tuple[float, ...]:
        """Both ranges."""
        return tuple(sorted({adc.range, adc.low_range}, reverse=True))

    def choose(self, needed: Array | np.ndarray, adc: AdcSpec) -> Array:
        """The low range for passes that need no more."""
        low = (needed > 0) & (needed <= adc.low_range)
        return jnp.where(low, adc.low_range, adc.range)


MEMBER = TwoLevel()
