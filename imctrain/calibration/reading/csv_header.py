"""What stands above the data of a CSV: comments, one of which may tell the virtual chip, and the names of columns."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import NamedTuple

from imctrain.calibration.reading.table import SIMULATED_KEY, Header
from imctrain.errors import UserError

LONGEST_LINE = 1 << 20
GZIP_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)
SEPARATORS = (",", ";", "\t")


class CsvHeader(NamedTuple):
    """The header, what separates fields, and how many lines were read."""

    header: Header
    separator: str
    lines: int


def read_header(path: Path, text: io.BufferedIOBase) -> CsvHeader:
    """From the beginning of `text`, which is left at the first line of data.

    Raises:
        UserError: empty, not text, no header, or a gzip file that is damaged or cut off.
    """
    simulated, lines = None, 0
    while True:
        try:
            raw = text.readline(LONGEST_LINE)
        except GZIP_DAMAGE as error:
            raise UserError(f"{path}: row 1 (line {lines + 1}): {': '.join(damage(error))}") from None
        lines += 1
        where = f"{path}: row 0 (line {lines})"
        if not raw:
            raise UserError(f"{where}: the file is empty: it needs a header and one row a conversion")
        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8 text: give a CSV (plain or gzip) or parquet file") from None
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition(":")
            if key.strip() == SIMULATED_KEY:
                simulated = value.strip()
        elif line:
            break
    separator = max(SEPARATORS, key=line.count)
    try:
        fields = next(csv.reader([line], delimiter=separator))
    except csv.Error as error:
        raise UserError(f"{where}: not a CSV header ({error}): name the columns in it") from None
    return CsvHeader(Header(tuple(name.strip().lower() for name in fields), simulated), separator, lines)


def damage(reason: Exception) -> tuple[str, str]:
    """What is told of a gzip file that ends or breaks in the middle: what was found, and the way out."""
    return f"the gzip file is damaged or cut off here ({reason})", "copy it again; gzip -t checks it"
