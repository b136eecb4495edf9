"""One of the two neighbouring levels, with the mean of the gradient itself; draws of its own for each gradient MVM."""

from __future__ import annotations

from jax import Array

from imctrain.formats import mean_of_roundings, round_stochastic, shifted_draw
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.levels import Levels


class Stochastic:
    """Several samples are a systematic sample: the share that rounds up is within 1/n of what it should be."""

    encodes_twice = True
    unbiased = True

    def encode(self, g: Array, scale: Array, seed: Array, *, odd: bool, samples: int) -> Levels:
        """Levels of g, and of every sample."""
        x, uniform = g / scale, noise.uniform(noise.derive(seed, int(odd)), g.shape)
        if samples == 1:
            levels = round_stochastic(x, uniform)
            return Levels(levels, 1, lambda i: levels, scale)
        mean = mean_of_roundings(x, uniform, samples)
        return Levels(mean, samples, lambda i: round_stochastic(x, shifted_draw(uniform, i, samples)), scale)


MEMBER = Stochastic()
