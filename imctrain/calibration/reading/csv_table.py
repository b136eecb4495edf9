"""CSV, plain or gzipped, read block by block.

Blocks of whole lines go to polars' parser. Where it stumbles, the block is read line by line: that finds the line that
is wrong, and reads what the fast parser is too strict for.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.csv_header import GZIP_DAMAGE, damage, read_header
from imctrain.calibration.reading.table import Schema
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 8 << 20


class CsvTable:
    """A `Table` (which see) of a CSV.

    Raises:
        UserError: empty, not text, no header, or a gzip file that is damaged or cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows_done = 0
        self._blank_lines = 0
        self._bytes = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        gzipped = self._raw.peek(2)[:2] == b"\x1f\x8b"
        self._text = gzip.GzipFile(fileobj=self._raw) if gzipped else self._raw
        try:
            self.header, self._separator, self._lines_above = read_header(path, self._text)
        except BaseException:
            self._close()
            raise

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._bytes)

    def error(self, row: int, found: str, fix: str) -> UserError:
        """What is wrong with data row `row`, counted from 1."""
        line = self._lines_above + row + self._blank_lines
        return UserError(f"{self.path}: row {row} (line {line}): {found}: {fix}")

    def frames(self, schema: Schema) -> Iterator[pl.DataFrame]:
        """The wanted columns, block by block."""
        try:
            for block in self._blocks():
                frame = self._parse(block, schema)
                yield frame
                self.rows_done += frame.height
        finally:
            self._close()

    def _close(self) -> None:
        self._text.close()
        self._raw.close()

    def _blocks(self) -> Iterator[bytes]:
        """Whole data lines, some MiB at a time; what comes before damage is given before the damage is told."""
        rest, ended = b"", False
        while not ended:
            broken: Exception | None = None
            parts = [rest]
            size = 0
            while size < BLOCK_BYTES and not ended:
                try:
                    part = self._text.read1(BLOCK_BYTES)
                except GZIP_DAMAGE as error:
                    part, broken = b"", error
                parts.append(part)
                size += len(part)
                ended = not part
            block = b"".join(parts)
            cut = block.rfind(b"\n") + 1
            if cut:
                yield block[:cut]
            rest = block[cut:]
            if broken is not None:
                raise self.error(self.rows_done + 1, *damage(broken))
            if len(rest) > BLOCK_BYTES:
                raise self.error(self.rows_done + 1, f"no line break in {len(rest)} bytes", "give a CSV file")
        if rest.strip():
            yield rest + b"\n"

    def _parse(self, block: bytes, schema: Schema) -> pl.DataFrame:
        import polars as pl

        types: dict[str, type[pl.DataType]] = {f"_{i}": pl.String for i in range(len(self.header.names))}
        positions = [self.header.names.index(name) for name in schema]
        wanted = dict(zip((f"_{position}" for position in positions), schema, strict=True))
        types |= {field: schema[name] for field, name in wanted.items()}
        try:
            frame = pl.read_csv(block, has_header=False, schema=types, columns=positions, separator=self._separator)
        except pl.exceptions.PolarsError:
            return self._parse_slowly(block, schema)
        if frame.height != block.count(b"\n") or any(column.has_nulls() for column in frame):
            # Blank lines and missing fields: find out which they are.
            return self._parse_slowly(block, schema)
        return frame.select(pl.col(field).alias(name) for field, name in wanted.items())

    def _parse_slowly(self, block: bytes, schema: Schema) -> pl.DataFrame:
        import polars as pl

        row, width = self.rows_done, len(self.header.names)
        wanted = [(self.header.names.index(name), name) for name in schema]
        values: dict[str, list[float | str | None]] = {name: [] for name in schema}
        for raw in block.split(b"\n")[:-1]:
            if not raw.strip():
                self._blank_lines += 1
                continue
            row += 1
            try:
                fields = next(csv.reader([raw.decode("utf-8").rstrip("\r")], delimiter=self._separator))
            except UnicodeDecodeError:
                raise self.error(row, "the line is not UTF-8 text", "save the file as UTF-8") from None
            except (csv.Error, StopIteration) as error:
                raise self.error(row, f"the line is not CSV ({error})", "correct or delete it") from None
            if len(fields) != width:
                found = f"{len(fields)} fields where the header has {width}"
                raise self.error(row, found, "correct or delete the line")
            for position, name in wanted:
                values[name].append(self._value(fields[position].strip(), name, schema[name] is pl.String, row))
        return pl.DataFrame(values, schema=dict(schema))

    def _value(self, text: str, name: str, is_text: bool, row: int) -> float | str | None:
        if not text:
            return None
        if is_text:
            return text
        try:
            # Python alone reads 1_000 as a number.
            return float("_" if "_" in text else text)
        except ValueError:
            raise self.error(row, f"{name} = {text[:40]!r} is not a number", "correct or delete the row") from None
