"""The reader that a file needs."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration.reading.csv_table import CsvTable
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.packing import ACCEPTED
from imctrain.calibration.reading.parquet_table import ParquetTable
from imctrain.calibration.reading.table import Table
from imctrain.errors import UserError
from imctrain.paths import is_file, is_folder


def open_table(path: Path, how: HowToRead) -> Table:
    """A table by what is in the file, not by its name.

    Raises:
        UserError: no such file, a folder, or it is neither a text table, packed or not, nor parquet.
    """
    refuse_folder(path)
    if not is_file(path):
        raise UserError(f"{path}: no such file: {ACCEPTED}")
    with path.open("rb") as stream:
        parquet = stream.read(4) == b"PAR1"
    return ParquetTable(path) if parquet else CsvTable(path, how)


def refuse_folder(path: Path) -> None:
    """Raises UserError for a folder, which is no file of conversions though it may hold some."""
    if is_folder(path):
        raise UserError(f"{path}: it is a folder: give a file of conversions in it")
