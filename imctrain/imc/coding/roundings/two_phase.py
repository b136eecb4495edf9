"""To nearest on two grids: s 4**k for input_grad, 2 s 4**k for weight_grad (X. Sun et al., NeurIPS 2020)."""

from __future__ import annotations

from jax import Array

from imctrain.formats import round_nearest
from imctrain.imc.coding.levels import Levels, fixed_levels


class TwoPhase:
    """Nearest level of the even or the odd grid."""

    encodes_twice = True
    unbiased = False

    def encode(self, g: Array, scale: Array, seed: Array, *, odd: bool, samples: int) -> Levels:
        """Levels of g; the same for every sample."""
        del seed
        scale = 2.0 * scale if odd else scale
        return fixed_levels(round_nearest(g / scale), scale, samples)


MEMBER = TwoPhase()
