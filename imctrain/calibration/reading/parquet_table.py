"""Parquet files, some hundred thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.table import SIMULATED_KEY, Header, Schema
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

BATCH_ROWS = 1 << 18
SAMPLE_ROWS = 200


class ParquetTable:
    """A `Table` (which see) of a parquet file.

    Raises:
        UserError: not a readable parquet file.
    """

    def __init__(self, path: Path) -> None:
        import polars as pl

        self.path = path
        self.rows_done = 0
        self.commas = True
        self.last_may_be_cut = False
        self.form = ("parquet",)
        with self._guard():
            self._names = list(pl.read_parquet_schema(path))
            self.simulated = pl.read_parquet_metadata(path).get(SIMULATED_KEY)
            self._rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        self.header = Header(tuple(self._names))

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        return self.rows_done / max(self._rows, 1)

    @property
    def notes(self) -> list[str]:
        """Nothing is guessed."""
        return []

    def sample(self) -> list[list[str]]:
        """Fields of the first rows, as text."""
        import polars as pl

        with self._guard():
            texts = pl.scan_parquet(self.path).head(SAMPLE_ROWS).collect()
        return [["" if value is None else str(value) for value in row] for row in texts.iter_rows()]

    def line(self, row: int) -> None:
        """There are no lines."""
        return

    def error(self, row: int, found: str, fix: str, line: int | None = None) -> UserError:
        """What is wrong with data row `row`, counted from 1."""
        return UserError(f"{self.path}: row {row}: {found}: {fix}")

    def frames(self, schema: Schema, beside: Sequence[int] = ()) -> Iterator[pl.DataFrame]:
        """The wanted columns, and those `beside` as text, batch by batch.

        Raises:
            UserError: types that hold no numbers, and damage.
        """
        import polars as pl

        wanted = [self._names[position] for position in (*schema, *beside)]
        with self._guard():
            frames = pl.scan_parquet(self.path).select(wanted)
            batches = iter(frames.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))
        while True:
            with self._guard():
                frame = next(batches, None)
            if frame is None:
                return
            columns = [self._cast(frame[self._names[at]], at, kind) for at, kind in schema.items()]
            yield pl.DataFrame([*columns, *(self._text(frame[self._names[at]], at) for at in beside)])
            self.rows_done += frame.height

    def _cast(self, values: pl.Series, position: int, kind: type[pl.DataType]) -> pl.Series:
        """Numbers as float64; text as it is."""
        import polars as pl

        name = f"_{position}"
        if values.dtype in (pl.String, pl.Categorical):
            return values.cast(pl.String).alias(name)
        try:
            return values.cast(kind).alias(name)
        except pl.exceptions.PolarsError:
            found = f"{self._names[position].strip()} is of type {values.dtype}"
            raise self.error(self.rows_done + 1, found, "store it as a number") from None

    def _text(self, values: pl.Series, position: int) -> pl.Series:
        """Any values as text; none where their kind has no text (lists)."""
        import polars as pl

        name = f"_{position}"
        try:
            return values.cast(pl.String, strict=False).alias(name)
        except pl.exceptions.PolarsError:
            return pl.Series(name, [None] * len(values), dtype=pl.String)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        import polars as pl

        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise self.error(
                self.rows_done + 1, f"the parquet file is damaged or cut off here ({reason})", "copy it again"
            ) from None
