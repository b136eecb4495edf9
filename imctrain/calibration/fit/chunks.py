"""All cells of a histogram in pieces that a core's cache holds, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.reading.histogram import Histogram

S = TypeVar("S")
T = TypeVar("T")
V = TypeVar("V", bound=np.generic)
CHUNK_CELLS = 1 << 16


class Chunk(NamedTuple):
    """Cells of the consecutive bins `bins`; `counts` is how many cells each has."""

    bins: slice
    cells: slice
    counts: Ints

    def to_cells(self, per_bin: NDArray[V]) -> NDArray[V]:
        """Values of bins repeated for their cells."""
        return np.repeat(per_bin, self.counts)

    def per_bin(self, per_cell: Floats) -> Floats:
        """Sums of cells over their bins."""
        return np.add.reduceat(per_cell, np.append(0, np.cumsum(self.counts)[:-1]), axis=0)


def chunks(histogram: Histogram, cells: int = CHUNK_CELLS) -> Iterator[Chunk]:
    """All bins in order, about `cells` cells at a time: what a core's cache holds."""
    ends = np.append(histogram.first_cell, histogram.code.size)
    bins = histogram.u.size
    start = 0
    while start < bins:
        stop = max(start + 1, int(np.searchsorted(ends, ends[start] + cells, side="right")) - 1)
        stop = min(stop, bins)
        yield Chunk(slice(start, stop), slice(int(ends[start]), int(ends[stop])), np.diff(ends[start : stop + 1]))
        start = stop


def in_parallel(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """`work` on every item, in order, on up to four threads (numpy lets go of the interpreter's lock)."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, items)
