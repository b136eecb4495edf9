"""Batches of conversions added up to a histogram, in bounded memory.

Each cell keeps the sum of its inputs and of their squares about the bin's centre, so that the mean input of a bin is
exact however wide the bin is, and the spread within bins is known and can be taken off the noise. When there are too
many cells, neighbouring bins are merged, which the sums survive exactly, as long as bins stay narrow beside the noise;
beyond that every second conversion is left out, at random, as often as it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.order import RowKeeper
from imctrain.calibration.reading.setup import MAX_BITS, MeasurementSetup
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

K = TypeVar("K", str, float)

BINS_PER_LSB = 16
NARROW_BINS_PER_LSB = 4
"""Bins that are narrow beside any noise that codes resolve; only louder noise allows wider ones."""
LOUD_MODE = 0.55
"""Share of a bin's conversions in its most frequent code below which noise is about half an LSB or more."""
FEWEST_IN_A_BIN = 8
MARGIN = 1.3
"""Inputs beyond this multiple of the converter's range are all alike: the code is clipped."""
CODE_SPAN = 2 ** (MAX_BITS + 1)
TEMPERATURE_STEP, SUPPLY_STEP = 1.0, 0.01
"""Width of the classes that temperatures (degree Celsius) and supplies (volt) are sorted into."""
MAX_CELLS = 4_000_000


class Reducer:
    """Adds up batches of conversions (see `conversions`) in bounded memory.

    Args:
        seed: draws the conversions that are left out, where that is needed.
    """

    def __init__(self, setup: MeasurementSetup, max_cells: int = MAX_CELLS, seed: int = 0) -> None:
        self.setup = setup
        self._max_cells = max_cells
        self._resolution = BINS_PER_LSB
        self._share = 1.0
        self._rng = np.random.default_rng([seed, 3])
        self._parts: list[pl.DataFrame] = []
        self._dies: dict[str, int] = {}
        self._ranges: dict[float, int] = {}
        self._has: set[str] = set()
        self._keeper = RowKeeper()

    def add(self, batch: pl.DataFrame) -> None:
        """Count a batch."""
        import polars as pl

        self._has |= set(batch.columns)
        setting = pl.col("column") + self._index(batch, "range", self._ranges, 64) * 2**16
        if "die" in batch.columns:
            setting += self._index(batch, "die", self._dies, 1024) * 2**22
        if "temperature_c" in batch.columns:
            setting += ((pl.col("temperature_c") / TEMPERATURE_STEP).round().cast(pl.Int64) + 274) * 2**32
        if "vdd_v" in batch.columns:
            setting += (pl.col("vdd_v") / SUPPLY_STEP).round().cast(pl.Int64) * 2**42
        limit = MARGIN * 2**self.setup.bits
        u = (pl.col("v") * self.setup.codes_per_v / pl.col("range")).clip(-limit, limit)
        beside = [name for name in ("time_s", "repeat") if name in batch.columns]
        placed = batch.select(setting.alias("setting"), "code", u.alias("u"), *beside)
        self._keeper.add(placed)
        if self._share < 1:
            placed = placed.filter(pl.Series(self._rng.random(placed.height) < self._share))
        binned = placed.with_columns((pl.col("u") * self._resolution).floor().cast(pl.Int64).alias("bin"))
        distance = pl.col("u") - (pl.col("bin") + 0.5) / self._resolution
        self._parts.append(
            binned.select(
                "setting",
                (pl.col("bin") * CODE_SPAN + pl.col("code") + CODE_SPAN // 2).alias("key"),
                distance.alias("du"),
            )
            .group_by("setting", "key")
            .agg(pl.len().cast(pl.Int64).alias("n"), pl.col("du").sum(), (pl.col("du") ** 2).sum().alias("du2"))
        )
        # The parts are merged when they hold as much as they may together: half new, half merged before.
        if len(self._parts) > 1 and sum(part.height for part in self._parts) > self._max_cells:
            self._merge()

    def _index(self, batch: pl.DataFrame, name: str, known: dict[K, int], most: int) -> pl.Expr:
        """A small integer for each value of a column, the same in every batch."""
        import polars as pl

        for value in batch[name].unique(maintain_order=True):
            known.setdefault(value, len(known))
        if len(known) > most:
            raise UserError(f"{name} takes more than {most} different values: calibrate fewer at a time")
        return pl.col(name).replace_strict(known, return_dtype=pl.Int64)

    def _merge(self) -> None:
        import polars as pl

        merged = pl.concat(self._parts, rechunk=False)
        self._parts = []
        while True:
            merged = merged.group_by("setting", "key").agg(pl.col("n", "du", "du2").sum())
            if merged.height <= self._max_cells // 2:
                break
            narrow = self._resolution > NARROW_BINS_PER_LSB
            if narrow or (self._resolution > 1 and _is_loud(merged)):
                merged = self._halve(merged)
            else:
                merged = self._thin(merged)
        self._parts = [merged]

    def _thin(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Half of the conversions, drawn at random.

        Which inputs of a cell go with them is not known any more; their sum is drawn with the mean and variance that
        it has over all ways to choose. (Its mean alone would hide part of the inputs' spread, and so lower the noise.)
        """
        import polars as pl

        self._share /= 2
        # In one order, whatever the order of groups, so that the same file gives the same calibration.
        cells = cells.sort("setting", "key")
        n, du, du2 = (cells[name].to_numpy() for name in ("n", "du", "du2"))
        kept = self._rng.binomial(n, 0.5)
        scatter = np.maximum(du2 - du**2 / n, 0.0) / np.maximum(n - 1, 1)
        drawn = du * kept / n + np.sqrt(scatter * kept * (n - kept) / n) * self._rng.standard_normal(n.size)
        squares = drawn**2 / np.maximum(kept, 1) + np.maximum(kept - 1, 0) * scatter
        some = kept > 0
        return (
            cells.select("setting", "key")
            .filter(pl.Series(some))
            .with_columns(pl.Series("n", kept[some]), pl.Series("du", drawn[some]), pl.Series("du2", squares[some]))
        )

    def _halve(self, cells: pl.DataFrame) -> pl.DataFrame:
        """The same cells with bins twice as wide."""
        import polars as pl

        old = pl.col("key").floordiv(CODE_SPAN)
        new = old.floordiv(2)
        shift = (old + 0.5) / self._resolution - (new + 0.5) * 2 / self._resolution
        self._resolution //= 2
        return cells.select(
            "setting",
            (new * CODE_SPAN + pl.col("key") - old * CODE_SPAN).alias("key"),
            "n",
            (pl.col("du") + pl.col("n") * shift).alias("du"),
            (pl.col("du2") + 2 * shift * pl.col("du") + pl.col("n") * shift**2).alias("du2"),
        )

    def finish(self) -> Histogram:
        """The counts of all batches."""
        self._merge()
        cells = self._parts.pop().sort("setting", "key")
        setting, key = cells["setting"].to_numpy(), cells["key"].to_numpy()
        n, du, du2 = (cells[name].to_numpy().astype(np.float64) for name in ("n", "du", "du2"))
        del cells
        at = key // CODE_SPAN
        first = np.flatnonzero(np.append(True, (setting[1:] != setting[:-1]) | (at[1:] != at[:-1])))
        inside = np.add.reduceat(n, first)
        mean = np.add.reduceat(du, first) / inside
        variance = np.add.reduceat(du2, first) - inside * mean**2
        distinct, index = np.unique(setting[first], return_inverse=True)
        dies = np.array(list(self._dies) or [""])
        return Histogram(
            die=dies[(distinct >> 22) & 1023],
            column=distinct & 0xFFFF,
            range=np.array(list(self._ranges))[(distinct >> 16) & 63],
            temperature=(((distinct >> 32) & 1023) - 274) * TEMPERATURE_STEP if "temperature_c" in self._has else None,
            supply=(distinct >> 42) * SUPPLY_STEP if "vdd_v" in self._has else None,
            setting=index.astype(np.int64),
            u=(at[first] + 0.5) / self._resolution + mean,
            first_cell=first,
            code=key - at * CODE_SPAN - CODE_SPAN // 2,
            count=n,
            input_variance=max(0.0, float(variance.sum() / inside.sum())),
            share=self._share,
            order=self._keeper.finish(distinct),
        )


def _is_loud(cells: pl.DataFrame) -> bool:
    """Whether the noise is far above the spread of inputs in bins of half an LSB; bad rows do not matter here."""
    import polars as pl

    bins = cells.group_by("setting", pl.col("key").floordiv(CODE_SPAN)).agg(
        pl.col("n").sum().alias("all"), pl.col("n").max().alias("mode")
    )
    full = bins.filter(pl.col("all") >= FEWEST_IN_A_BIN)
    return full.height > 0 and bool(full.select(pl.col("mode").sum() < LOUD_MODE * pl.col("all").sum()).item())
