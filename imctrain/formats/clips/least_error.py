"""The clip that leaves the least squared error on the operand itself: right for bell-shaped, sparse and peaked ones.

A clip alpha = k * rms suits one family of distributions. The largest elements of a one-hot look-up, of peaked attention
or of a sparse activation are far beyond any such k, and they hold its power: cut to k * rms, the product comes out
scaled. So the error of the codes is measured on the operand itself, at CANDIDATES clips, and the least wins:

    D(alpha) = sum (x - q(x; alpha))^2 / sum x^2

For 4 bits and a Gaussian that is 2.5 rms (SAWB's clip), for a rectified Gaussian about 4 rms, for a one-hot its 1.

Looking at every element CANDIDATES times would cost more than many a product. A large operand is cut into RUNS runs of
equal length. Each stands for its largest magnitude, so that no outlier is missed, and for one element that is smaller,
at another place of each run, which counts as many times as there are smaller ones. This project's decision
(`formats.activation_clip`, `formats.weight_clip`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.formats.clips.base import TINY, gaussian_clip
from imctrain.formats.integer import IntegerFormat

CANDIDATES = 24
STEP = 2.0 ** (-1 / 4)
"""Clips looked at: max * STEP^i, from the maximum down to 1/54 of it."""
RUNS = 2048
"""Of a large operand; up to twice as many elements are all looked at."""
_STRIDE = 40503
"""Odd, and close to no multiple of a small power of two: places within runs do not follow an operand's channels."""


class ErrorCurve(NamedTuple):
    """clips: alpha, [CANDIDATES], from the largest magnitude down. errors: D(alpha), [CANDIDATES]. rms: scalar."""

    clips: Array
    errors: Array
    rms: Array


def error_curve(x: Array, fmt: IntegerFormat) -> ErrorCurve:
    """Squared error of a format's codes over the operand's power, float32, at each clip that is looked at."""
    values, counts = _representatives(jnp.abs(x) if fmt.signed else x)
    top = fmt.top
    clips = jnp.maximum(jnp.max(jnp.abs(values)), TINY) * jnp.asarray(STEP ** np.arange(CANDIDATES), jnp.float32)
    scale = (clips / top)[:, None]
    each = values[None]
    codes = jnp.clip(jnp.round(each / scale), 0, top)  # signed codes are symmetric: magnitudes tell all
    # In units of the largest value: squares of what is far from 1 leave float32.
    errors = jnp.sum(counts[None] * jnp.square((each - codes * scale) / clips[0]), axis=1)
    power = jnp.sum(counts * jnp.square(values / clips[0]))
    return ErrorCurve(clips, errors / jnp.maximum(power, TINY), clips[0] * jnp.sqrt(power / x.size))


def least_error_clip(x: Array, fmt: IntegerFormat) -> Array:
    """alpha of the least squared error, scalar; the larger one between clips that err alike."""
    return clip_of(error_curve(x, fmt))


def clip_of(curve: ErrorCurve) -> Array:
    """The clip of a curve's least error, scalar."""
    return curve.clips[_least(curve.errors)]


def _least(errors: Array) -> Array:
    """The first of the errors that are least, 0.1 % apart or less: which one of two must not hang on a last bit."""
    flat = errors.reshape(-1)
    return jnp.argmax(flat <= jnp.min(flat) * 1.001)


def least_error_with_noise(
    driven: ErrorCurve, stored: ErrorCurve, tops: tuple[int, int], nu: Array
) -> tuple[Array, Array]:
    """Clips of both operands of a product whose noise counts as well (see `noise_aware`, with D of the operands).

    Args:
        tops: largest codes of the two. nu: noise variance of the integer product over the elements contracted.

    Where the noise outweighs whatever a clip can do (the error would be above two thirds of the signal), the least
    error is had by saying nothing; clips are then those without noise.
    """
    steps = [
        jnp.square(curve.clips / (top * curve.rms + TINY)) for curve, top in zip((driven, stored), tops, strict=True)
    ]
    quiet = driven.errors[:, None] + stored.errors
    total = quiet + nu * steps[0][:, None] * steps[1]
    chosen = jnp.where(jnp.min(total) < 2.0 / 3.0, _least(total), _least(quiet))
    row, column = chosen // CANDIDATES, chosen % CANDIDATES
    return driven.clips[row], stored.clips[column]


def _representatives(x: Array) -> tuple[Array, Array]:
    """(values [n], how many elements each stands for [n]) of an operand, float32."""
    flat = x.reshape(-1)
    if flat.size <= 2 * RUNS:
        return flat, jnp.ones(flat.size, jnp.float32)
    length = -(-flat.size // RUNS)
    runs = flat.size // length
    whole, tail = flat[: runs * length].reshape(runs, length), flat[runs * length :]
    parts = [_peaks_and_others(whole, (np.arange(runs) * _STRIDE) % length)]
    if tail.size:
        parts.append(_peaks_and_others(tail[None], np.array([tail.size // 2])))
    values, counts = zip(*parts, strict=True)
    return jnp.concatenate(values), jnp.concatenate(counts)


def _peaks_and_others(runs: Array, places: np.ndarray) -> tuple[Array, Array]:
    """Of runs [n, length]: their largest values and the ones at `places` [n], with their counts; [2n] each."""
    peaks = jnp.max(runs, axis=1)
    equal = jnp.sum(runs == peaks[:, None], axis=1, dtype=jnp.float32)
    rows, length = np.arange(runs.shape[0]), runs.shape[1]
    first, second = runs[rows, places], runs[rows, (places + 1) % length]
    others = jnp.where(first == peaks, second, first)
    smaller = jnp.where(others == peaks, 0.0, length - equal)
    return jnp.concatenate([peaks, others]), jnp.concatenate([equal, smaller])


class LeastError:
    """The clip of least squared error on the operand itself."""

    learned = False

    def statistic(self, x: Array, fmt: IntegerFormat) -> Array:
        """alpha, scalar."""
        return least_error_clip(x, fmt)

    def of_gaussian(self, fmt: IntegerFormat) -> float:
        """alpha over rms of a Gaussian (signed) or a rectified one."""
        return gaussian_clip(fmt)


MEMBER = LeastError()
