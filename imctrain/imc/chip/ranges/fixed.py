"""One range for all passes and steps: `adc.range`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip.ranges.base import RangePolicy
from imctrain.settings import AdcSpec


class Fixed(RangePolicy):
    """See the module."""

    def possible(self, adc: AdcSpec) -> tuple[float, ...]:
        """`adc.range` alone."""
        return (adc.range,)

    def choose(self, needed: Array | np.ndarray, adc: AdcSpec) -> Array:
        """`adc.range`."""
        return jnp.full_like(needed, adc.range)


MEMBER = Fixed()
