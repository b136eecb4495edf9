"""Conversions in the order in which they were made, as many as bounded memory holds.

Counts of codes do not tell what came after what. Some runs of consecutive rows are kept besides, evenly spread over the
file: all rows of a short file, every second, fourth ... run of a longer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.arrays import Floats, Ints

if TYPE_CHECKING:
    import polars as pl

KEPT_ROWS = 1 << 19
"""Rows that are kept at most."""
RUN_ROWS = 4096
"""Consecutive rows of a run."""


@dataclass(frozen=True)
class Ordered:
    """Kept conversions, in order.

    Attributes:
        setting: of each row, an index into the histogram's, [T]. u: input in nominal codes, [T]. code: [T].
        row: place in the file, from 0, [T]. time: seconds, [T], or None where the file does not have them; rows are
            sorted by it.
        repeat: [T], or None where the file does not have it.
        rows: of the file.
    """

    setting: Ints
    u: Floats
    code: Ints
    row: Ints
    time: Floats | None
    repeat: Ints | None
    rows: int


class RowKeeper:
    """Keeps runs of consecutive rows of what is added batch by batch."""

    def __init__(self, kept: int = KEPT_ROWS) -> None:
        self._most = kept
        self._every = 1
        self._seen = 0
        self._kept = 0
        self._parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """`setting`, `u` and `code` of a batch, and `time_s` and `repeat` where the file has them."""
        import polars as pl

        row = pl.int_range(self._seen, self._seen + rows.height, dtype=pl.Int64).alias("row")
        self._seen += rows.height
        wanted = [
            pl.col("setting"),
            pl.col("u"),
            pl.col("code").cast(pl.Int32),
            *(pl.col(name) for name in ("time_s", "repeat") if name in rows.columns),
        ]
        part = rows.select(row, *wanted)
        if self._every > 1:
            part = self._thinned(part)
        self._parts.append(part)
        self._kept += part.height
        while self._kept > self._most:
            self._every *= 2
            self._parts = [self._thinned(part) for part in self._parts]
            self._kept = sum(part.height for part in self._parts)

    def _thinned(self, part: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        return part.filter((pl.col("row") // RUN_ROWS) % self._every == 0)

    def finish(self, settings: Ints) -> Ordered:
        """The kept rows; `settings` are those of the histogram, sorted: rows of others are left out."""
        import polars as pl

        table = pl.concat(self._parts)
        self._parts = []
        if "time_s" in table.columns:
            table = table.sort("time_s", maintain_order=True)
        raw = table["setting"].to_numpy()
        index = np.minimum(np.searchsorted(settings, raw), settings.size - 1)
        known = settings[index] == raw

        def values(name: str) -> NDArray[np.generic] | None:
            return table[name].to_numpy()[known] if name in table.columns else None

        time, repeat = values("time_s"), values("repeat")
        return Ordered(
            setting=index[known].astype(np.int64),
            u=table["u"].to_numpy()[known],
            code=table["code"].to_numpy()[known].astype(np.int64),
            row=table["row"].to_numpy()[known],
            time=None if time is None else time.astype(np.float64),
            repeat=None if repeat is None else repeat.astype(np.int64),
            rows=self._seen,
        )
