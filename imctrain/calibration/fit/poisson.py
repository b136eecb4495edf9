"""Poisson counts for the bootstrap, many and fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from imctrain.calibration.arrays import Floats

TABLE_COUNTS = 24
"""Counts up to which Poisson draws are read from a table; above, they are rounded Gaussians."""
MOST_DRAWN = 100
"""Far above what a table holds."""


def poisson_tables() -> NDArray[np.uint8]:
    """Inverse distribution functions of Poisson(1 .. TABLE_COUNTS) at 65536 even steps."""
    steps = (np.arange(65536) + 0.5) / 65536
    # A look-up in the distribution function: scipy's ppf searches for every step anew, which takes seconds.
    values = np.arange(MOST_DRAWN)
    counts = range(1, TABLE_COUNTS + 1)
    return np.stack([np.searchsorted(poisson.cdf(values, count), steps) for count in counts]).astype(np.uint8)


def poisson_changes(
    rng: np.random.Generator, count: Floats, replicates: int, tables: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Poisson(count) - count for each cell and replicate, [c, B]."""
    drawn = np.empty((count.size, replicates), np.float32)
    for value in range(1, TABLE_COUNTS + 1):
        chosen = np.flatnonzero(count == value)
        drawn[chosen] = tables[value - 1].take(rng.integers(0, 65536, (chosen.size, replicates), np.uint16))
    large = np.flatnonzero(count > TABLE_COUNTS)
    many = count[large].astype(np.float32)[:, None]
    drawn[large] = np.round(many + np.sqrt(many) * rng.standard_normal((large.size, replicates), np.float32))
    drawn -= count.astype(np.float32)[:, None]
    return drawn
