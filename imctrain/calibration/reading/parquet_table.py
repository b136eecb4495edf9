"""Parquet files, some hundred thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.table import SIMULATED_KEY, Header, Schema
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

BATCH_ROWS = 1 << 18


class ParquetTable:
    """A `Table` (which see) of a parquet file.

    Raises:
        UserError: not a readable parquet file.
    """

    def __init__(self, path: Path) -> None:
        import polars as pl

        self.path = path
        self.rows_done = 0
        with self._guard():
            self._names = list(pl.read_parquet_schema(path))
            simulated = pl.read_parquet_metadata(path).get(SIMULATED_KEY)
            self._rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        self.header = Header(tuple(name.strip().lower() for name in self._names), simulated)

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        return self.rows_done / max(self._rows, 1)

    def error(self, row: int, found: str, fix: str) -> UserError:
        """What is wrong with data row `row`, counted from 1."""
        return UserError(f"{self.path}: row {row}: {found}: {fix}")

    def frames(self, schema: Schema) -> Iterator[pl.DataFrame]:
        """The wanted columns, batch by batch. Raises UserError for values that are no numbers, and for damage."""
        import polars as pl

        wanted = [self._names[self.header.names.index(name)] for name in schema]
        with self._guard():
            frames = pl.scan_parquet(self.path).select(wanted)
            batches = iter(frames.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))
        while True:
            with self._guard():
                frame = next(batches, None)
            if frame is None:
                return
            cast = pl.DataFrame(
                [self._cast(frame[w], name, schema[name]) for w, name in zip(wanted, schema, strict=True)]
            )
            yield cast
            self.rows_done += frame.height

    def _cast(self, values: pl.Series, name: str, kind: type[pl.DataType]) -> pl.Series:
        import polars as pl

        try:
            cast = values.cast(kind, strict=False).alias(name)
        except pl.exceptions.PolarsError:
            raise self.error(self.rows_done + 1, f"{name} is of type {values.dtype}", "store it as a number") from None
        lost = (cast.is_null() & values.is_not_null()).arg_true()
        if len(lost):
            found = f"{name} = {str(values[lost[0]])[:40]!r} is not a number"
            raise self.error(self.rows_done + 1 + lost[0], found, "correct or delete the row")
        return cast

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
