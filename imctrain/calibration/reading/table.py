"""A file of measurements as a stream of tables in bounded memory: what CSV and parquet have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

SIMULATED_KEY = "imctrain-virtual-chip"
"""Marks a file of the virtual chip: in a comment of a CSV, or in a parquet file's metadata."""
ROW, LINE, PROBLEM = "_row", "_line", "_problem"
"""Beside the columns of a frame: data row (from 1), line in the file, and why it cannot be read (null: it can)."""
SHOWN = "shown:"
"""Prefix of columns that hold a value as the file has it, where that is not the value itself."""
BESIDE = "_beside:"
"""Prefix of columns that are looked at and not used, before their place in the file."""

Schema = Mapping[int, "type[pl.DataType]"]
"""Columns to read, by place in the file from 0, and the type that is hoped for."""


@dataclass(frozen=True)
class Header:
    """What stands above the data.

    Attributes:
        names: of columns, as written. units: of a row of units below them, "" where there is none. line: of the names.
    """

    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    line: int | None = None


class Table(Protocol):
    """One file.

    Attributes:
        header: what stands above the data.
        rows_done: rows of the batches before the one that `frames` gave last.
    """

    header: Header
    rows_done: int

    @property
    def form(self) -> tuple[str, ...]:
        """What the file is, in words: packing, encoding, separator, decimal mark."""
        ...

    @property
    def simulated(self) -> str | None:
        """What the file says of the virtual chip that drew it; None for a file without that mark."""
        ...

    @property
    def commas(self) -> bool:
        """Whether a comma is the decimal mark."""
        ...

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        ...

    @property
    def notes(self) -> list[str]:
        """What was guessed or passed over so far."""
        ...

    @property
    def last_may_be_cut(self) -> bool:
        """Once all was read: whether the last row has no end of line."""
        ...

    def sample(self) -> list[list[str]]:
        """Fields of the first rows, as text."""
        ...

    def frames(self, schema: Schema, beside: Sequence[int] = ()) -> Iterator[pl.DataFrame]:
        """The wanted columns, some hundred thousand rows at a time, named by their place; null where a field is empty.

        A column that does not hold numbers is given as text. ROW, LINE and PROBLEM are there where rows do not simply
        follow each other.

        Args:
            beside: places of more columns, given as text; whatever is in them, no row is wrong for it.

        Raises:
            UserError: for what cannot be read at all.
        """
        ...

    def line(self, row: int) -> int | None:
        """The line of data row `row` of a batch without LINE; None for a file that has no lines."""
        ...

    def error(self, row: int, found: str, fix: str, line: int | None = None) -> UserError:
        """What is wrong with data row `row`, counted from 1, on `line` where that is known."""
        ...
