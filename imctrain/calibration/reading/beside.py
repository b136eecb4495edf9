"""Columns of a file that nothing is read from, and that may split it: macros, banks, boards under which the same column
numbers stand again. Their rows are taken as those of one chip, which makes noise of what they differ by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imctrain.calibration.reading.names import REPEAT_NAMES, Name, numbered
from imctrain.calibration.reading.roles import Roles
from imctrain.calibration.reading.table import BESIDE

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 300
"""A column with more values counts rows, or notes something of each."""
MOST_GROUPS = 300_000
"""Different (value, die, column) that are kept."""
FEWEST_ROWS, LEAST_SHARE = 20, 1e-3
"""Rows of a value, and their share of the file, below which it is a slip or a remark."""
LEAST_SPAN = 0.6
"""Share of all inputs that a value has to span: one that goes with the input (its level, say) is no part of a chip."""
MOST_SHOWN = 4
_BOOKKEEPING = """
    row row_index row_no index idx i n no nr number line line_no seq sequence sequence_no counter count id uid uuid
    time t timestamp time_stamp date datetime day hour comment comments note notes remark remarks operator user
    file filename file_name path unit units version software firmware script
    seed pass sweep cycle step loop it point test_no test_number
    error err residual diff difference deviation delta expected ideal_code level input_code
    valid ok flag flags status state pass_fail overflow clipped saturated sign parity range_index
"""
"""Names of columns that tell when and how rows were taken, or what follows from the others."""
PASSED_OVER = frozenset(_BOOKKEEPING.split()) | (REPEAT_NAMES - {"sample"})


class Beside:
    """Looks at the columns that are not used, in bounded memory.

    Attributes:
        places: of the columns that are looked at.
    """

    def __init__(self, roles: Roles, ignored: tuple[str, ...]) -> None:
        self._roles = roles
        taken = {field.index for field in roles.fields.values()} | {roles.mark}
        taken |= set(() if roles.series is None else roles.series.indices)
        passed = {text.strip().lower() for text in ignored}
        told = {header for header, _ in roles.could_be}
        families = Counter(found[0] for name in roles.names if (found := numbered(name)) is not None)
        self.places = tuple(
            place
            for place, name in enumerate(roles.names)
            if place not in taken
            and name.header.strip()
            and name.exact not in passed
            and name.header.strip() not in told
            and not _is_bookkeeping(name, families)
        )
        self._groups: dict[int, pl.DataFrame] = {}
        self._left = set(self.places)
        self._rows = 0

    def look_at(self, values: pl.DataFrame) -> None:
        """A batch of rows that are right one by one."""
        import polars as pl

        self._rows += values.height
        entrance = pl.col("ideal" if "ideal" in values.columns else "dot")
        by = ["column", *(("die",) if "die" in values.columns else ())]
        for place in sorted(self._left):
            value = pl.col(f"{BESIDE}{place}").str.strip_chars(' "').alias("value")
            of_batch = values.select(value, *by, entrance.alias("v")).filter(
                pl.col("value").is_not_null() & (pl.col("value") != "")
            )
            if of_batch["value"].n_unique() > MOST_VALUES:
                self._forget(place)
                continue
            found = of_batch.group_by("value", *by).agg(
                pl.len().alias("rows"), pl.col("v").min().alias("low"), pl.col("v").max().alias("high")
            )
            if place in self._groups:
                found = (
                    pl.concat([self._groups[place], found])
                    .group_by("value", *by)
                    .agg(pl.col("rows").sum(), pl.col("low").min(), pl.col("high").max())
                )
            self._groups[place] = found
            if found.height > MOST_GROUPS or found["value"].n_unique() > MOST_VALUES:
                self._forget(place)

    def notes(self) -> Iterator[str]:
        """Once all was read."""
        for place in self.places:
            values = self._values(place)
            if values:
                yield self._told(self._roles.names[place].header.strip(), values)

    def _forget(self, place: int) -> None:
        self._left.discard(place)
        self._groups.pop(place, None)

    def _values(self, place: int) -> list[str]:
        """Those of a column under which the same columns stand with all kinds of inputs; none if it splits nothing."""
        import polars as pl

        groups = self._groups.get(place)
        if groups is None or not groups.height:
            return []
        low, high = groups.select(pl.col("low").min(), pl.col("high").max()).row(0)
        of_value = groups.group_by("value").agg(
            pl.col("rows").sum(), (pl.col("high").max() - pl.col("low").min()).alias("span")
        )
        of_value = of_value.filter(pl.col("rows") >= max(FEWEST_ROWS, LEAST_SHARE * self._rows))
        if of_value.height < 2 or (of_value["span"] < LEAST_SPAN * (high - low)).any():
            return []
        groups = groups.filter(pl.col("value").is_in(of_value["value"].implode()))
        by = [name for name in ("column", "die") if name in groups.columns]
        shared = groups.group_by(by).agg(pl.len().alias("values"))["values"] > 1
        return sorted(of_value["value"].to_list()) if shared.sum() > shared.len() / 2 else []

    def _told(self, header: str, values: list[str]) -> str:
        shown = ", ".join(values[:MOST_SHOWN]) + (", ..." if len(values) > MOST_SHOWN else "")
        apart = "write it into `die` too" if "die" in self._roles.fields else f"say --field die={header!r}"
        return (
            f"{header!r} is not used; it takes {len(values)} values ({shown}), under which the same column numbers "
            f"stand, and their rows were taken as one chip's: if they are different arrays or chips, {apart}, or "
            f"number their columns through (--ignore {header!r} if they are not)"
        )


def _is_bookkeeping(name: Name, families: Counter[str]) -> bool:
    """Whether a header names no part of a chip: an order of rows, a remark, or one of several of its kind (bits)."""
    if name.base in PASSED_OVER:
        return True
    found = numbered(name)
    return found is not None and families[found[0]] > 1
