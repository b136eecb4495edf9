"""A file of measurements as a stream of tables in bounded memory: what CSV and parquet have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

SIMULATED_KEY = "imctrain-virtual-chip"
"""Marks a file of the virtual chip: in a comment above a CSV's header, or in a parquet file's metadata."""

Schema = Mapping[str, "type[pl.DataType]"]
"""Columns to read, by lower-case name, and the type that each must have."""


@dataclass(frozen=True)
class Header:
    """What stands above the data.

    Attributes:
        names: column names, lower case.
        simulated: what the file says of the virtual chip that drew it; None for a file without that mark.
    """

    names: tuple[str, ...]
    simulated: str | None


class Table(Protocol):
    """One file.

    Attributes:
        header: what stands above the data.
        rows_done: rows that `frames` has given so far.
    """

    header: Header
    rows_done: int

    @property
    def fraction(self) -> float:
        """Share of the file that has been read."""
        ...

    def frames(self, schema: Schema) -> Iterator[pl.DataFrame]:
        """The wanted columns, some hundred thousand rows at a time; null where a field is empty.

        Raises:
            UserError: for what cannot be read.
        """
        ...

    def error(self, row: int, found: str, fix: str) -> UserError:
        """What is wrong with data row `row`, counted from 1."""
        ...
