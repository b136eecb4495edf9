"""Rows that stand twice because a file was pasted together with itself, told from repeats of an input.

A repeat draws its noise anew: where there is some, two codes of one column at one input differ now and then. Copies
never do. What noise there is shows beside: codes of a column at neighbouring inputs. So no assumption is made of the
inputs: fine sweeps and few levels are both fine, as long as their repeats are real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.reading.setup import MeasurementSetup

if TYPE_CHECKING:
    import polars as pl

MOST_KEPT = 60_000
"""Rows that are kept: those whose input, column and time have a hash of a certain kind, so that copies are kept too."""
NEAR_LSB = 4.0
"""Inputs of a column so near to each other tell its noise."""
FEWEST_NEAR = 100
ERRORS = 3.0
"""Standard errors that are taken off the variance that these pairs tell."""
LEAST_VARIANCE = 0.02
"""LSB^2 of noise below which repeats may well agree."""
FEWEST_EXPECTED, MOST_FOUND = 20.0, 0.1
"""Repeats that would disagree by chance, at least, and the share of them that copies may show."""
_SEED = 7


class Copies:
    """Looks at every batch, in bounded memory."""

    def __init__(self, setup: MeasurementSetup) -> None:
        self._setup = setup
        self._kept: list[pl.DataFrame] = []
        self._mask = 0
        self._count = 0
        self._rows = 0

    def look_at(self, batch: pl.DataFrame) -> None:
        """A canonical batch (see `conversions`)."""
        import polars as pl

        self._rows += batch.height
        key = ["column", "v", *(("time_s",) if "time_s" in batch.columns else ())]
        hashed = batch.select(key).hash_rows(_SEED).alias("_hash")
        kept = batch.with_columns(hashed)
        if self._mask:
            kept = kept.filter(pl.col("_hash") & self._mask == 0)
        self._kept.append(kept)
        self._count += kept.height
        while self._count > MOST_KEPT:
            self._mask = 2 * self._mask + 1
            self._kept = [part.filter(pl.col("_hash") & self._mask == 0) for part in self._kept]
            self._count = sum(part.height for part in self._kept)

    def notes(self) -> list[str]:
        """Once all was read."""
        import polars as pl

        if not self._kept:
            return []
        rows = pl.concat(self._kept).drop("_hash")
        setting = [name for name in rows.columns if name != "code"]
        of_setting = (
            rows.filter(self._unclipped())
            .group_by(setting)
            .agg(pl.len().alias("rows"), pl.col("code").n_unique().alias("codes"))
        )
        repeated = of_setting.filter(pl.col("rows") > 1)
        if not repeated.height:
            return []
        variance = self._variance(rows)
        # Two codes differ by E|n1 - n2| = 2 sigma / sqrt(pi) on average; one code apart is what they mostly are.
        disagree = min(0.5, 2.0 * np.sqrt(max(variance, 0.0) / np.pi))
        expected = disagree * repeated.height
        found = int((repeated["codes"] > 1).sum())
        if variance < LEAST_VARIANCE or expected < FEWEST_EXPECTED or found > MOST_FOUND * expected:
            return []
        counts = rows.group_by(rows.columns).len()["len"]
        twice = int(counts.filter(counts > 1).sum())
        number = round(twice / rows.height * self._rows)
        about = "about " if self._mask else ""
        same = "input, column, code and time" if "time_s" in rows.columns else "input, column and code"
        return [
            f"{about}{number} of {self._rows} rows stand twice or more with the same {same}, where noise would make "
            "repeats differ: if the file was pasted together with itself, intervals are too narrow and faults may be "
            "invented: remove the copies"
        ]

    def _unclipped(self) -> pl.Expr:
        import polars as pl

        return pl.col("code").is_between(self._setup.lowest + 1, self._setup.highest - 1)

    def _variance(self, rows: pl.DataFrame) -> float:
        """Of the noise in codes, LSB^2, at the least, from codes of a column at neighbouring inputs; 0 for too few."""
        import polars as pl

        names = [n for n in ("column", "range", "die", "temperature_c", "vdd_v") if n in rows.columns]
        u = (pl.col("v") * self._setup.codes_per_v / pl.col("range")).alias("u")
        single = rows.filter(self._unclipped()).with_columns(u).unique([*names, "u"], keep="first").sort(*names, "u")
        gain = (pl.cov("u", "code") / pl.col("u").var()).over(names)
        pairs = single.select(
            (pl.col("code").diff().over(names)).alias("codes"), (pl.col("u").diff().over(names) * gain).alias("step")
        ).filter(pl.col("step").is_not_null() & pl.col("step").is_finite() & (pl.col("step").abs() < NEAR_LSB))
        if pairs.height < FEWEST_NEAR:
            return 0.0
        step = pairs["step"].to_numpy()
        off = pairs["codes"].to_numpy() - step
        part = np.abs(step) % 1.0
        # Rounding alone makes f (1 - f) of the squared difference, f the part of a step beyond whole codes.
        variances = (off**2 - part * (1.0 - part)) / 2.0
        return float(variances.mean() - ERRORS * variances.std() / np.sqrt(variances.size))
