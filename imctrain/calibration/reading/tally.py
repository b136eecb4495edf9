"""Rows that cannot be right, counted by kind: how many, on which lines, and what the first of them says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from imctrain.calibration.reading.checks import MISSING_KIND, Check
from imctrain.calibration.reading.table import LINE, PROBLEM, ROW, SHOWN, Table
from imctrain.calibration.reading.words import Numbers, plural

if TYPE_CHECKING:
    import polars as pl

_KIND = "_kind"
MANY, MANY_SHARE = 1000, 0.1
"""So many wrong rows, and so large a share, end the reading: the file as a whole is not as was said."""
LONGEST = 40
MISSING_FIX = "fill it in, delete the row, or give --leave-out-missing"


@dataclass
class Kind:
    """Rows that are wrong alike. example: of the first one."""

    name: str
    rows: Numbers
    example: str


class Wrong(NamedTuple):
    """The first row of its kind: where, the role (of a value, "" of a line), what was found, and the way out."""

    row: int
    line: int | None
    role: str
    found: str
    fix: str


@dataclass
class Tally:
    """Wrong rows of a file.

    Attributes:
        rows: conversions looked at. kinds: by the check that failed. missing: rows that lack a value.
        first: what is told of the first wrong row; first_missing: of the first one that only lacks a value.
    """

    table: Table
    rows: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    first: Wrong | None = None
    first_missing: Wrong | None = None

    @property
    def missing(self) -> int:
        """Rows that lack a value."""
        kind = self.kinds.get(MISSING_KIND)
        return 0 if kind is None else kind.rows.count

    @property
    def wrong(self) -> int:
        """Rows with a value that cannot be right."""
        return sum(kind.rows.count for kind in self.kinds.values()) - self.missing

    @property
    def hopeless(self) -> bool:
        """Whether so many rows are wrong that no more of them need to be looked at."""
        return self.wrong > max(MANY, MANY_SHARE * self.rows)

    def sound(self, frame: pl.DataFrame, checks: list[Check], needed: list[str]) -> pl.DataFrame:
        """The rows of `frame` that pass all checks and lack none of the `needed` values; the others are counted."""
        import polars as pl

        self.rows += frame.height
        wrong = [check.wrong.fill_null(False) for check in checks]
        lacking = any(frame[name].has_nulls() for name in needed)
        if not lacking and not frame.select(pl.any_horizontal(wrong).any()).item():
            return frame
        kinds = [pl.when(expression).then(pl.lit(i)) for i, expression in enumerate(wrong)]
        missing = pl.when(pl.any_horizontal(pl.col(name).is_null() for name in needed)).then(pl.lit(len(checks)))
        marked = self._placed(frame.with_columns(pl.coalesce(*kinds, missing).alias(_KIND)))
        bad = marked.filter(pl.col(_KIND).is_not_null())
        for (kind,), group in bad.group_by(_KIND, maintain_order=True):
            self._add(int(str(kind)), group, checks, needed)
        self._note_first(bad, checks, needed)
        return frame.filter(marked[_KIND].is_null())

    def in_words(self) -> str:
        """`3 lack a value (lines 3, 5, 9), 1 have a code ... (line 7: code = 200)`, the most frequent kind first."""
        kinds = sorted(self.kinds.values(), key=lambda kind: -kind.rows.count)
        word = "row" if self.table.line(1) is None else "line"
        return ", ".join(f"{kind.rows.count} {kind.name} ({kind.rows.words(word, kind.example)})" for kind in kinds)

    def _placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """With ROW and LINE."""
        import polars as pl

        first = self.table.rows_done + 1
        line = self.table.line(first)
        if ROW not in frame.columns:
            frame = frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW))
        if LINE not in frame.columns and line is not None:
            frame = frame.with_columns((pl.col(ROW) + (line - first)).alias(LINE))
        return frame

    def _add(self, index: int, rows: pl.DataFrame, checks: list[Check], needed: list[str]) -> None:
        name = checks[index].kind if index < len(checks) else MISSING_KIND
        numbers = rows[LINE] if LINE in rows.columns else rows[ROW]
        if name not in self.kinds:
            example = ""
            if index < len(checks) and checks[index].name:
                example = f"{checks[index].name} = {_value(rows, 0, checks[index].name)}"
            elif index < len(checks):
                example = _value(rows, 0, "")
            self.kinds[name] = Kind(name, Numbers(), example)
        self.kinds[name].rows.add(numbers)

    def _note_first(self, bad: pl.DataFrame, checks: list[Check], needed: list[str]) -> None:
        import polars as pl

        wrong = bad.filter(pl.col(_KIND) < len(checks))
        if self.first is None and wrong.height:
            check = checks[wrong[_KIND][0]]
            self.first = Wrong(*_place(wrong), check.name, *_told(wrong, check))
        missing = bad.filter(pl.col(_KIND) == len(checks))
        if self.first_missing is None and missing.height:
            name = next(name for name in needed if missing[name][0] is None)
            self.first_missing = Wrong(*_place(missing), name, f"{name} is missing", MISSING_FIX)


def _place(rows: pl.DataFrame) -> tuple[int, int | None]:
    return int(rows[ROW][0]), int(rows[LINE][0]) if LINE in rows.columns else None


def _told(rows: pl.DataFrame, check: Check) -> tuple[str, str]:
    """What is found in the first of `rows`, and the way out."""
    value = _value(rows, 0, check.name)
    if "\N{REPLACEMENT CHARACTER}" in value:
        return "the line is not UTF-8 text", "save the file as UTF-8, or give its --encoding"
    return f"{check.name} {check.found.format(value=value)}".strip(), check.fix


def _value(rows: pl.DataFrame, at: int, name: str) -> str:
    """A value as the file has it, with all of its digits."""
    if not name:
        return str(rows[PROBLEM][at])
    shown = rows[SHOWN + name][at] if SHOWN + name in rows.columns else rows[name][at]
    if isinstance(shown, str):
        text = shown.strip()[:LONGEST]
        try:
            value = float("_" if "_" in text else text)
        except ValueError:
            return repr(text)
        return text if math.isfinite(value) else _in_digits(value)
    return _in_digits(float(shown))


def _in_digits(value: float) -> str:
    """As few as tell it exactly."""
    if value != value:
        return "NaN"
    return f"{value:.0f}" if abs(value) < 1e15 and value == round(value) else repr(value)


def rows_in_words(part: int, rows: int, more: bool = False) -> str:
    """`12 of 4000 rows (0.3 %)`; `more`: these are the first rows of a file."""
    return f"{part} of {'the first ' if more else ''}{plural(rows, 'row')} ({100 * part / max(rows, 1):.3g} %)"
