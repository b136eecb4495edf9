"""What a policy for the ADC's reference range R is: one a file, under the names that `adc.range_policy` takes.

A pass needs |mean(v)| + headroom * std(v) of range. `needed` is the running value of that; where more than
`CLIP_LIMIT` of the conversions clip, the codes understate what is needed, so it is taken as twice the present R.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.settings import AdcSpec

CLIP_LIMIT = 1e-3
SILENT = 1e-6
MEMORY = 0.9
"""Weight of the past in the running need; a larger need is taken over at once."""

Passes: TypeAlias = Float[Array | np.ndarray, " passes"]


class RangePolicy(ABC):
    """How R follows what passes need. States are `needed`, [P], 0 where nothing was seen yet."""

    @abstractmethod
    def possible(self, adc: AdcSpec) -> tuple[float, ...]:
        """Every R that the policy may choose, largest first."""

    @abstractmethod
    def choose(self, needed: Passes, adc: AdcSpec) -> Float[Array, " passes"]:
        """R of each pass; `adc.range` while nothing was seen (needed = 0)."""

    def update(
        self, needed: Passes, current: Passes, clipped: Passes, mean: Passes, power: Passes, adc: AdcSpec
    ) -> Float[Array, " passes"]:
        """The running need of each pass after one step's statistics.

        Args:
            needed: before the step. current: R in use. clipped: fraction of conversions. mean, power: of v and v^2.
        """
        std = jnp.sqrt(jnp.maximum(power - jnp.square(mean), 0.0))
        # A pass whose codes are all zero needs less than can be told: not nothing, which would mean "not seen yet".
        now = jnp.maximum(jnp.abs(mean) + adc.headroom * std, SILENT)
        now = jnp.where(clipped > CLIP_LIMIT, jnp.maximum(now, 2.0 * current), now)
        return jnp.where(needed > 0, jnp.maximum(now, MEMORY * needed + (1.0 - MEMORY) * now), now)
