"""Clips that weigh the array's noise against saturation and rounding (this project's decision).

A clip alpha = k * rms sets the scale of an operand's codes. A lower one saturates more elements and drives all others
harder, so that noise added to the product, whose size in codes is given, weighs less. Of an MVM's output, relative to
its power,

    error(k_x, k_w) = D_x(k_x) + D_w(k_w) + nu * (k_x / Q_x)^2 * (k_w / Q_w)^2

with D the squared error of saturating and rounding an operand of unit power (a Gaussian for signed codes, a rectified
one for unsigned codes), Q the top codes (7 or 15 of 4 bits), and nu = N^2 / K the noise variance of the integer product
over the elements contracted. `lowering` tabulates k(nu) / k(0) at the minimum over both clips. k(0) is 2.5 for int4,
which is where SAWB has a Gaussian's clip, and 4.1 for uint4, where the minimum is flat (3.6 of `rms_clip` errs 1 %
more).
"""

from __future__ import annotations

import functools

import numpy as np

from imctrain.formats.clips.base import CLIPS, distortion
from imctrain.formats.integer import INT4, UINT4, IntegerFormat

NOISE = np.concatenate([[0.0], np.geomspace(1e-1, 3e3, 65)])
"""Noise variances nu of the table, in squared codes of 4 bits; `levels` has them for other widths.

At the last, the error is two thirds of the signal; beyond, the least error is had by saying nothing, and clips stay
where they are."""


@functools.cache
def levels(driven: IntegerFormat, stored: IntegerFormat) -> np.ndarray:
    """Noise variances nu of the table, in squared codes of two formats: where they weigh as NOISE does at 4 bits."""
    usual = [UINT4 if not fmt.signed else INT4 for fmt in (driven, stored)]
    ratios = [(fmt.top / four.top) ** 2 for fmt, four in zip((driven, stored), usual, strict=True)]
    return NOISE * (ratios[0] * ratios[1])


@functools.cache
def lowering(driven: IntegerFormat, stored: IntegerFormat) -> tuple[np.ndarray, np.ndarray]:
    """k(nu) / k(0) of the driven and of the stored operand at `levels`, float32 each."""
    errors = distortion(driven), distortion(stored)
    steps = [(CLIPS / fmt.top) ** 2 for fmt in (driven, stored)]
    noise = levels(driven, stored)
    best = np.empty((2, len(noise)))
    for i, nu in enumerate(noise):
        error = errors[0][:, None] + errors[1] + nu * np.outer(*steps)
        best[:, i] = CLIPS[list(np.unravel_index(np.argmin(error), error.shape))]
    relative = (best / best[:, :1]).astype(np.float32)
    return relative[0], relative[1]
