"""To the nearest level, once for both gradient MVMs."""

from __future__ import annotations

from jax import Array

from imctrain.formats import round_nearest
from imctrain.imc.coding.levels import Levels, fixed_levels


class Nearest:
    """Nearest level."""

    encodes_twice = False
    unbiased = False

    def encode(self, g: Array, scale: Array, seed: Array, *, odd: bool, samples: int) -> Levels:
        """Levels of g; the same for every sample."""
        del seed, odd
        return fixed_levels(round_nearest(g / scale), scale, samples)


MEMBER = Nearest()
