"""The reader that a file needs."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration.reading.csv_table import CsvTable
from imctrain.calibration.reading.parquet_table import ParquetTable
from imctrain.calibration.reading.table import Table
from imctrain.errors import UserError


def open_table(path: Path) -> Table:
    """A table by what is in the file, not by its name.

    Raises:
        UserError: no such file, or it is neither CSV (plain or gzip) nor parquet.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file: give a CSV (plain or gzip) or parquet file of conversions")
    with path.open("rb") as stream:
        parquet = stream.read(4) == b"PAR1"
    return ParquetTable(path) if parquet else CsvTable(path)
