"""The INL that all columns share."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.schema import Estimate, Inl
from imctrain.calibration.sections.bounds import rounded
from imctrain.calibration.sections.evidence import Evidence


def inl_of(e: Evidence) -> Inl:
    """Knots that linear interpolation can do without are left out: the simulator's cost grows with them."""
    knots = e.fit.transfer.knots
    if knots.size == 0:
        return Inl()
    k = e.fit.parameters.inl.size
    value = np.pad(e.fit.parameters.inl, 1)
    half = np.pad(half_width(e.replicates.shared[:, :k]), 1)
    kept = _needed(knots, value, max(0.005, 0.25 * float(np.median(half))))
    rms = None
    if e.curves is not None:
        # Curves are seen at the columns' outputs; as the INL, they lie before the gain.
        gain = float(np.sqrt(np.mean(e.fit.parameters.gain[e.fit.usable & ~e.fit.outliers] ** 2)))
        low, value_rms, high = (rounded(x / gain) for x in (e.curves.low, e.curves.rms, e.curves.high))
        rms = Estimate(value=value_rms, low=low, high=high)
    return Inl(
        v=tuple(rounded(x) for x in knots[kept]),
        lsb=tuple(rounded(x) for x in value[kept]),
        low=tuple(rounded(x) for x in (value - half)[kept]),
        high=tuple(rounded(x) for x in (value + half)[kept]),
        column_rms_lsb=rms,
    )


def _needed(x: Floats, y: Floats, tolerance: float) -> list[int]:
    """Indices of the points that keep a polyline within `tolerance` (Douglas and Peucker)."""
    kept, spans = {0, x.size - 1}, [(0, x.size - 1)]
    while spans:
        first, last = spans.pop()
        inner = np.arange(first + 1, last)
        if inner.size == 0:
            continue
        distance = np.abs(y[inner] - np.interp(x[inner], x[[first, last]], y[[first, last]]))
        at = int(inner[np.argmax(distance)])
        if distance.max() > tolerance:
            kept.add(at)
            spans += [(first, at), (at, last)]
    return sorted(kept)
