"""Measured conversions, read in a stream and checked row by row.

Every batch is a polars DataFrame with `column` (int64), `v` (float64, a fraction of full scale), `code` (int64, the
setup's zero code subtracted), `range` (float64, R) and, where the file has them, `die` (string), `temperature_c`,
`vdd_v`, `time_s` and `repeat` (float64). A row that cannot be right ends the stream with a `UserError` that names it
and the way out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.progress import Progress, untold
from imctrain.calibration.reading.checks import first_missing, first_wrong, full_scale, row_checks
from imctrain.calibration.reading.open_table import open_table
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import Schema
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

REQUIRED = ("column", "code")
OPTIONAL = ("range", "die", "temperature_c", "vdd_v", "time_s", "repeat", "simulated")


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file once it has been read to its end.

    Attributes:
        missing: rows that lack a value and were left out.
        simulated: the virtual chip that drew it, in words; None for a file without its mark.
    """

    name: str
    sha256: str
    rows: int
    missing: int
    simulated: str | None


class Conversions:
    """The conversions in `path`; iterate once over `batches`, then ask for `facts`.

    Args:
        leave_out_missing: go on without rows that lack a value; otherwise they are an error that counts them.

    Attributes:
        names: columns of the file that are read.

    Raises:
        UserError: no such file, not a table, columns missing or given twice.
    """

    def __init__(
        self,
        path: Path,
        setup: MeasurementSetup,
        progress: Progress | None = None,
        leave_out_missing: bool = False,
    ) -> None:
        self.path, self.setup = path, setup
        self._progress = progress or untold
        self._table = open_table(path)
        self.names = wanted_columns(path, self._table.header.names, setup)
        self._marked = False
        self._leave_out_missing = leave_out_missing
        self._missing = 0

    @property
    def facts(self) -> FileFacts:
        """Of the file, once all batches were taken."""
        simulated = self._table.header.simulated
        if simulated is None and self._marked:
            simulated = "not named (the rows are marked `simulated`)"
        return FileFacts(self.path.name, _sha256_of(self.path), self._table.rows_done, self._missing, simulated)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Checked batches, in file order. Raises UserError naming the first row that is wrong."""
        import polars as pl

        schema: Schema = {name: pl.String if name == "die" else pl.Float64 for name in self.names}
        checks = row_checks(self.names, self.setup)
        first: UserError | None = None
        for frame in self._table.frames(schema):
            wrong = first_wrong(frame, checks)
            if wrong is not None:
                raise self._table.error(self._table.rows_done + 1 + wrong.row, wrong.found, wrong.fix)
            missing = first_missing(frame)
            if missing is not None:
                if first is None:
                    first = self._table.error(self._table.rows_done + 1 + missing.row, missing.found, missing.fix)
                rows = frame.height
                frame = frame.drop_nulls()
                self._missing += rows - frame.height
            yield self._canonical(frame)
            self._progress(self._table.fraction)
        rows = self._table.rows_done
        if rows == 0:
            raise self._table.error(1, "there is only a header", "the file needs one row a conversion")
        if first is not None and not (self._leave_out_missing and self._missing < rows):
            raise UserError(f"{first}; {self._missing} of {rows} rows lack a value")

    def _canonical(self, frame: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        names, setup = self.names, self.setup
        if "simulated" in names:
            self._marked = self._marked or bool((frame["simulated"] != 0).any())
        entrance = "ideal" if "ideal" in names else "dot"
        return frame.select(
            pl.col("column").cast(pl.Int64),
            (pl.col(entrance) / full_scale(names, setup)).clip(setup.lowest_v, 1.0).alias("v"),
            (pl.col("code") - setup.zero_code).cast(pl.Int64).alias("code"),
            pl.col("range") if "range" in names else pl.lit(setup.range).alias("range"),
            *(name for name in ("die", "temperature_c", "vdd_v", "time_s", "repeat") if name in names),
        )


def _sha256_of(path: Path) -> str:
    """Of the file as it lies on disk, compressed or not."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wanted_columns(path: Path, names: tuple[str, ...], setup: MeasurementSetup) -> list[str]:
    """The columns of a file that calibration reads.

    Raises:
        UserError: one is missing or there twice, or `dot` comes without the array's rows and levels.
    """
    where = f"{path}: the header (row 0)"
    double = next((name for name in (*REQUIRED, *OPTIONAL, "ideal", "dot") if names.count(name) > 1), None)
    if double is not None:
        raise UserError(f"{where} names {double!r} twice: delete one of the two")
    inputs = [name for name in ("ideal", "dot") if name in names]
    missing = [name for name in REQUIRED if name not in names] + ([] if inputs else ["ideal (or dot)"])
    if missing:
        raise UserError(
            f"{where} has no column {', '.join(missing)}, only {', '.join(map(repr, names))[:120]}: "
            "needed are column, ideal (or dot) and code, one row a conversion"
        )
    if len(inputs) == 2:
        raise UserError(f"{where} has both ideal and dot: delete one, they say the same")
    if inputs == ["dot"] and (setup.rows is None or setup.levels is None):
        raise UserError(f"{where} has dot: say what full scale is with --rows N and --levels L (such as 1152 and 16)")
    return [*REQUIRED, *inputs, *(name for name in OPTIONAL if name in names)]
