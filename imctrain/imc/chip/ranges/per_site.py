"""The smallest of a ladder of halved ranges that is enough, for each pass of each site."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip.ranges.base import RangePolicy
from imctrain.settings import AdcSpec


class PerSite(RangePolicy):
    """See the module."""

    def possible(self, adc: AdcSpec) -> tuple[float, ...]:
        """`adc.range` and its halves, down to `adc.min_range`."""
        ladder = [adc.range]
        while ladder[-1] / 2.0 >= adc.min_range:
            ladder.append(ladder[-1] / 2.0)
        return tuple(ladder)

    def choose(self, needed: Array | np.ndarray, adc: AdcSpec) -> Array:
        """The lowest rung that is enough."""
        # exp2 is not exact on every backend; a ladder of constants is.
        chosen = jnp.full_like(needed, adc.range)
        for step in self.possible(adc)[1:]:
            chosen = jnp.where((needed > 0) & (needed <= step), step, chosen)
        return chosen


MEMBER = PerSite()
