"""Typical codes of a site's operands, before any data is seen: what the hardware check assumes (`predict`).

Every operand is taken for Gaussian, and its elements for independent of each other:

    weight        of mean 0, at the clip of least error or of SAWB (2.5 rms both), or at its largest magnitude, taken
                  for 4 rms
    activation    the same at 2.5 (least error) or 2.6 rms; one that is never negative is the Gaussian rectified, at
                  4.1 or 3.6 rms
    gradient      of mean 0; its largest magnitude, which sets its scale, is 20 rms (heavy tails), or `gradient_clip`

The 20 is what trained networks without a gradient clip show (docs/reproduction.md: clipping at 6 rms raises the SNR of
their gradient MVMs by 8 to 10 dB). All of this is this project's decision, for an estimate within a few dB.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from imctrain.formats import RADIX4, IntegerFormat
from imctrain.imc.coding.levels import rounding
from imctrain.imc.mvm.operand import OperandInfo, integer_format
from imctrain.imc.site.encode import policy_of
from imctrain.settings import FormatSpec

GRADIENT_CREST = 20.0
"""The largest magnitude of a gradient over its rms, where no clip lowers it."""
GRID = np.linspace(-8.0, 8.0, 16001)
"""Where the Gaussian is looked at, in standard deviations."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A distribution over integer codes or radix-4 levels: values and their probabilities, float64 [n] each."""

    values: np.ndarray
    probabilities: np.ndarray

    @property
    def power(self) -> float:
        """Mean square."""
        return float(np.sum(self.probabilities * self.values**2))


def typical_codes(info: OperandInfo, formats: FormatSpec, lowered: float = 1.0) -> Codes:
    """Codes of one operand.

    Args:
        lowered: multiplies the clip of a weight or an activation (`noise_aware` formats).
    """
    if info.kind == "gradient":
        crest = min(formats.gradient_clip or GRADIENT_CREST, GRADIENT_CREST)
        return gradient_levels(crest, rounding(formats).unbiased)
    fmt = integer_format(info, formats)
    scaled = formats.weight_clip_scale if info.kind == "weight" else formats.activation_clip_scale
    return integer_codes(fmt, lowered * scaled * policy_of(info, formats).of_gaussian(fmt))


@functools.cache
def integer_codes(fmt: IntegerFormat, clip: float) -> Codes:
    """Codes of a Gaussian, or unsigned codes of a rectified one, clipped at `clip` times the operand's rms."""
    weight = _density()
    x = GRID if fmt.signed else np.maximum(GRID, 0.0)
    x = x / math.sqrt(np.sum(weight * x * x))
    codes = np.clip(np.round(x / (clip / fmt.top)), fmt.lowest, fmt.top)
    values = np.unique(codes)
    return Codes(values, np.array([weight[codes == value].sum() for value in values]))


@functools.cache
def gradient_levels(crest: float, stochastic: bool) -> Codes:
    """Radix-4 levels of a Gaussian whose top level stands for `crest` times its rms; what is above saturates."""
    weight = _density()
    magnitude = np.minimum(np.abs(GRID) * RADIX4.top / crest, RADIX4.top)
    exponent = np.floor(np.log2(np.maximum(magnitude, 1.0)) / 2 + 1e-9)
    low = np.where(magnitude < 1, 0.0, 4.0**exponent)
    high = np.where(magnitude < 1, 1.0, 4.0 ** (exponent + 1))
    up = (magnitude - low) / (high - low)
    if not stochastic:
        # To nearest, the switch is at 0.625 of the upper level (2.5 times the lower one).
        up = (magnitude >= 0.625 * high).astype(float)
    levels = np.array([0.0, *(4.0**k for k in range(RADIX4.exponents))])
    shares = np.array([(weight * (1 - up))[low == v].sum() + (weight * up)[high == v].sum() for v in levels])
    values = np.concatenate([-levels[:0:-1], levels])
    return Codes(values, np.concatenate([shares[:0:-1] / 2, shares[:1], shares[1:] / 2]))


def _density() -> np.ndarray:
    density = np.exp(-0.5 * GRID**2)
    return density / density.sum()
