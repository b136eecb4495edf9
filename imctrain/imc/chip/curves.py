"""INL deviation of single columns: a smooth curve of its own that each column adds to the INL that all share.

    curve_k(v) = sum over l of c_kl s_l(u),   s_l = sqrt(2 l + 1) P_l, l = 2, 3, 4

with u from -1 to 1 over the inputs of the calibrated converter, and the end's value beyond (`calibration.variation`).

The statistical path needs lines. Over the range in use, |v| <= R or 0 <= v <= R, a smooth curve is close to one, the
closer the smaller R. Of pass p it is a_p + b v, with one slope b for all passes, whose products are one, and a height
a_p of its own:

    b    = sum over p of w_p b_p      b_p: least squares over R_p; w_p proportional to (c_p R_p)^2
    a_p  = mean of curve - b v over R_p

What a curve is off this line decides whether statistics may stand for conversions (`engines.validity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from imctrain.calibration.variation import CURVE_SHAPES

GRID = 33
"""Places over a range at which lines are fitted and held against the curves."""


class Lines(NamedTuple):
    """Of each shape, over the ranges of the passes: slope, scalar; height and largest distance of each pass, [P]."""

    slope: tuple[Any, ...]
    height: tuple[Any, ...]
    distance: tuple[Any, ...]


def shapes(v: Any, lowest_v: float) -> tuple[Any, ...]:
    """s_l at inputs, for l = 2, 3, 4; arrays of numpy or of JAX, in the shape of v."""
    u = ((2.0 * v - (1.0 + lowest_v)) / (1.0 - lowest_v)).clip(-1.0, 1.0)
    square = u * u
    two, three, four = CURVE_SHAPES.tolist()
    return (
        two[0] + two[2] * square,
        u * (three[1] + three[3] * square),
        four[0] + square * (four[2] + four[4] * square),
    )


def curve(coefficients: Sequence[Any], v: Any, lowest_v: float) -> Any:
    """sum over l of c_l s_l(v); coefficients broadcast to v."""
    return sum(c * s for c, s in zip(coefficients, shapes(v, lowest_v), strict=True))


def lines(ranges: Any, coefficients: Sequence[float], unipolar: bool, lowest_v: float) -> Lines:
    """Lines that stand for the shapes.

    Args:
        ranges: R of each pass, [P], of numpy or of JAX. coefficients: c_p of each pass. unipolar: whether v is 0 to R.
        lowest_v: of the calibrated converter.
    """
    place = np.linspace(0.0 if unipolar else -1.0, 1.0, GRID).astype(np.float32)
    middle = float(place.mean())
    lever = (place - middle) / float(np.sum(np.square(place - middle)))
    power = (np.asarray(coefficients, np.float32) * ranges) ** 2
    weight = power / power.sum()
    v = ranges[:, None] * place
    slope, height, distance = [], [], []
    for values in shapes(v, lowest_v):
        b = (weight * (values @ lever) / ranges).sum()
        a = values.mean(axis=1) - b * ranges * middle
        slope.append(b)
        height.append(a)
        distance.append(abs(values - a[:, None] - b * v).max(axis=1))
    return Lines(tuple(slope), tuple(height), tuple(distance))
