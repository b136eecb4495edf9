"""What a clip is: the magnitude alpha that the largest code of an integer format stands for.

One policy a file, found by the name that users type (`formats.weight_clip`, `formats.activation_clip`).
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from jax import Array

from imctrain.formats.integer import INT4, UINT4, IntegerFormat

TINY = 1e-30
"""Keeps the scale of an all-zero operand finite; its codes are all zero whatever the scale."""
CLIPS = np.concatenate([np.geomspace(0.25, 5.0, 241), 5.0 * 20.0 ** (np.arange(1, 41) / 240)])
"""Clips looked through for a Gaussian, in units of the operand's rms; those above 5 serve 6 bits and more."""


class Clip(Protocol):
    """A policy. `learned`: its clip is trained, and starts from the statistic."""

    learned: bool

    def statistic(self, x: Array, fmt: IntegerFormat) -> Array:
        """alpha of an operand from its statistics, scalar > 0."""
        ...

    def of_gaussian(self, fmt: IntegerFormat) -> float:
        """What alpha is of a Gaussian operand (signed codes) or of a rectified one, over its rms: for predictions."""
        ...


@functools.cache
def distortion(fmt: IntegerFormat) -> np.ndarray:
    """The squared error of a format's codes at CLIPS, on a Gaussian of unit power (rectified for unsigned codes)."""
    z = np.linspace(-8.0, 8.0, 16001)
    density = np.exp(-0.5 * z * z)
    x = z if fmt.signed else np.maximum(z, 0.0)
    density /= density.sum()
    x = x / np.sqrt(np.sum(density * x * x))
    scale = (CLIPS / fmt.top)[:, None]
    codes = np.clip(np.round(x / scale), fmt.lowest, fmt.top)
    return np.sum(density * (x - codes * scale) ** 2, axis=1)


@functools.cache
def gaussian_clip(fmt: IntegerFormat) -> float:
    """The clip of least squared error on a Gaussian or a rectified one, over its rms: 2.5 for int4, 4.1 for uint4."""
    rounded = {INT4: 2.5, UINT4: 4.1}
    return rounded.get(fmt) or float(CLIPS[np.argmin(distortion(fmt))])
