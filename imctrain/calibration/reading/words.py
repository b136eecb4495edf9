"""Counts and numbers of lines in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MOST_SHOWN = 6


def plural(count: int, word: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


@dataclass
class Numbers:
    """How many numbers there are, and the first of them, in bounded memory."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, numbers: pl.Series) -> None:
        """More of them."""
        self.first += numbers.head(MOST_SHOWN - len(self.first)).to_list()
        self.count += len(numbers)

    def words(self, word: str, example: str = "") -> str:
        """`line 7`, `lines 7, 9, 12`, `lines 7 (code = 200), 9, 12, 14, 15, 20 and 30 more`."""
        more = self.count - len(self.first)
        shown = [str(number) for number in self.first]
        if example:
            shown[0] += f" ({example})" if len(shown) > 1 else f": {example}"
        return f"{word}{'s' if self.count > 1 else ''} {', '.join(shown)}{f' and {more} more' if more else ''}"
