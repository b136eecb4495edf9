"""Clips that weigh the array's noise against saturation and rounding (this project's decision).

A clip alpha = k * rms sets the scale of an operand's codes. A lower one saturates more elements and drives all others
harder, so that noise added to the product, whose size in codes is given, weighs less. Of an MVM's output, relative to
its power,

    error(k_x, k_w) = D_x(k_x) + D_w(k_w) + nu * (k_x / Q_x)^2 * (k_w / Q_w)^2

with D the squared error of saturating and rounding an operand of unit power (a Gaussian for signed codes, a rectified
one for unsigned codes), Q the top codes (7 or 15), and nu = N^2 / K the noise variance of the integer product over the
elements contracted. `lowering` tabulates k(nu) / k(0) at the minimum over both clips. k(0) is 2.5 for int4, which is
where SAWB has a Gaussian's clip, and 4.1 for uint4, where the minimum is flat (3.6 of `rms_clip` errs 1 % more).
"""

from __future__ import annotations

import functools

import numpy as np

from imctrain.formats.integers import top_code

CLIPS = np.geomspace(0.25, 5.0, 241)
"""Clips looked through, in units of the operand's rms."""
NOISE = np.concatenate([[0.0], np.geomspace(1e-1, 3e3, 65)])
"""Noise variances nu of the table, in squared codes. At the last, the error is two thirds of the signal; beyond, the
least error is had by saying nothing, and clips stay where they are."""


@functools.cache
def distortion(signed: bool) -> np.ndarray:
    """D(k) at CLIPS: the squared error of 4-bit codes on an operand of unit power."""
    z = np.linspace(-8.0, 8.0, 16001)
    density = np.exp(-0.5 * z * z)
    x = z if signed else np.maximum(z, 0.0)
    density /= density.sum()
    x = x / np.sqrt(np.sum(density * x * x))
    top = top_code(signed)
    scale = (CLIPS / top)[:, None]
    codes = np.clip(np.round(x / scale), -top if signed else 0, top)
    return np.sum(density * (x - codes * scale) ** 2, axis=1)


@functools.cache
def lowering(driven_signed: bool, stored_signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """k(nu) / k(0) of the driven and of the stored operand at NOISE, float32 each."""
    driven, stored = distortion(driven_signed), distortion(stored_signed)
    steps = [(CLIPS / top_code(signed)) ** 2 for signed in (driven_signed, stored_signed)]
    best = np.empty((2, len(NOISE)))
    for i, nu in enumerate(NOISE):
        error = driven[:, None] + stored + nu * np.outer(*steps)
        best[:, i] = CLIPS[list(np.unravel_index(np.argmin(error), error.shape))]
    relative = (best / best[:, :1]).astype(np.float32)
    return relative[0], relative[1]
