"""Text tables, packed or not, read block by block.

Blocks of whole lines go to polars' parser. Where it stumbles, the block is split line by line: that finds lines that
are wrong, and reads what the fast parser is too strict for. Both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.layout import BLANKS, IN_WORDS, find_layout
from imctrain.calibration.reading.lines import PassedOver, frame_of_lines
from imctrain.calibration.reading.table import Schema
from imctrain.calibration.reading.text import NoLineBreak, TextFile, blocks
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

BLOCK_BYTES = 8 << 20
GIVE_UP = 2
"""Blocks in a row that the fast parser did not read, after which it is asked no more."""


class CsvTable:
    """A `Table` (which see) of a text file.

    Raises:
        UserError: empty, not text, no header, or a packed file that is damaged or cut off.
    """

    def __init__(self, path: Path, how: HowToRead) -> None:
        self.path = path
        self.rows_done = 0
        self.last_may_be_cut = False
        self._passed = PassedOver()
        self._text = TextFile(path, how.encoding)
        try:
            if not self._text.head.strip() and self._text.damage is not None:
                raise UserError(f"{path}: row 1 (line 1): {': '.join(self._text.damage)}")
            self._layout = find_layout(path, self._text.head, self._text.whole, how)
        except BaseException:
            self._text.close()
            raise
        self.header = self._layout.header
        self._failed = 0

    @property
    def commas(self) -> bool:
        """Whether a comma is the decimal mark, as far as is known."""
        return self._layout.commas is not False

    @property
    def simulated(self) -> str | None:
        """What a comment says of the virtual chip."""
        return self._layout.simulated or self._passed.simulated

    @property
    def form(self) -> tuple[str, ...]:
        """What the file is, in words."""
        layout, text = self._layout, self._text
        told = [*text.packings, text.encoding.words, f"fields separated by {IN_WORDS[layout.separator]}"]
        told += ["decimal commas"] if layout.commas else []
        told += ["lines end in CR"] if text.old_line_ends else []
        return (*told, f"header on line {layout.header.line}")

    @property
    def notes(self) -> list[str]:
        """What was guessed or passed over so far."""
        passed = self._passed
        told = [self._text.encoding.guess, *self._layout.notes]
        if self._layout.commas:
            told.append("numbers have decimal commas (--decimal)")
        if passed.repeated.count:
            told.append(
                f"the header is repeated on {passed.repeated.words('line')}, as where files were joined: the rows of "
                "all parts are read"
            )
        if passed.comments.count:
            told.append(f"comments among the rows were passed over ({passed.comments.words('line')})")
        if passed.cut is not None:
            line, text = passed.cut
            told.append(f"the last line ({line}) is cut off ({text[:40]!r}) and was left out: is the file complete?")
        return [note for note in told if note]

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        return self._text.fraction

    def sample(self) -> list[list[str]]:
        """Fields of the first rows."""
        return [list(row) for row in self._layout.sample]

    def line(self, row: int) -> int:
        """The line of data row `row` of a batch in which rows follow each other."""
        return self._layout.lines_above + row + self._passed.count

    def error(self, row: int, found: str, fix: str, line: int | None = None) -> UserError:
        """What is wrong with data row `row`, counted from 1."""
        return UserError(f"{self.path}: row {row} (line {self.line(row) if line is None else line}): {found}: {fix}")

    def frames(self, schema: Schema, beside: Sequence[int] = ()) -> Iterator[pl.DataFrame]:
        """The wanted columns, and those `beside` as text, block by block."""
        try:
            for block, ended in blocks(self._text, self._layout.lines_above, BLOCK_BYTES):
                self.last_may_be_cut = not ended
                frame = self._parse(block, schema, beside)
                if self._passed.other_header is not None:
                    line, text = self._passed.other_header
                    raise UserError(
                        f"{self.path}: line {line} is a header that names the columns in another order "
                        f"({text.strip()[:80]!r}) than line {self.header.line}: calibrate the parts one by one, or "
                        "bring them into one order"
                    )
                if frame.height:
                    yield frame
                self.rows_done += frame.height
            if self._text.damage is not None:
                raise self.error(self.rows_done + 1, *self._text.damage)
        except NoLineBreak as error:
            raise self.error(self.rows_done + 1, str(error), "give a CSV file") from None
        finally:
            self._text.close()

    def _parse(self, block: bytes, schema: Schema, beside: Sequence[int]) -> pl.DataFrame:
        frame = self._parse_fast(block, schema, beside) if self._failed < GIVE_UP else None
        if frame is not None:
            self._failed = 0
            return frame
        self._failed += 1
        row = self.rows_done + 1
        cut = self.last_may_be_cut
        return frame_of_lines(block, self._layout, schema, row, self.line(row), self._passed, cut, beside)

    def _parse_fast(self, block: bytes, schema: Schema, beside: Sequence[int]) -> pl.DataFrame | None:
        """All rows as numbers; None where any line is not simply that."""
        import polars as pl

        layout = self._layout
        if layout.separator == BLANKS and (
            block.startswith(b" ") or b"  " in block or b"\n " in block or b"\t" in block
        ):
            return None
        types: dict[str, type[pl.DataType]] = {f"_{i}": pl.String for i in range(len(self.header.names))}
        types |= {f"_{position}": kind for position, kind in schema.items()}
        for extra in range(self._empty_fields(block)):
            types[f"_empty{extra}"] = pl.String
        try:
            wanted = [*schema, *beside]
            frame = pl.read_csv(block, has_header=False, schema=types, columns=wanted, separator=layout.separator)
        except pl.exceptions.PolarsError:
            return None
        if frame.height != block.count(b"\n") or any(frame[f"_{n}"].has_nulls() for n in schema):
            # Blank lines, missing fields, comments: find out which they are.
            return None
        return frame.select(f"_{position}" for position in wanted)

    def _empty_fields(self, block: bytes) -> int:
        """Separators at the end of the first line beyond the header's fields."""
        separator = self._layout.separator.encode()
        line = block[: block.find(b"\n")].rstrip(b"\r")
        more = line.count(separator) + 1 - len(self.header.names)
        return more if 0 < more <= len(line) - len(line.rstrip(separator)) else 0
