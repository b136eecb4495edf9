"""Which reference ranges a panel is of."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.sections.evidence import Evidence


def ranges_in(e: Evidence) -> int:
    """How many there are."""
    return np.unique(e.fit.transfer.histogram.range).size


def at_range(e: Evidence) -> str:
    """Named where it is not the only one, or not full scale."""
    ranges = np.unique(e.fit.transfer.histogram.range)
    return f" at R = {ranges[-1]:g}" if ranges.size > 1 or ranges[-1] < 1 else ""
