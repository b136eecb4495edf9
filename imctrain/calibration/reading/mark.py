"""The column `simulated`, by which rows of the virtual chip are marked where its comment is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imctrain.calibration.reading.numbers import cleaned, looks_decimal, number
from imctrain.calibration.reading.roles import MARK, Roles
from imctrain.calibration.reading.table import Schema

if TYPE_CHECKING:
    import polars as pl

WORDS = {"true": 1.0, "yes": 1.0, "t": 1.0, "y": 1.0, "false": 0.0, "no": 0.0, "f": 0.0, "n": 0.0}


class Mark:
    """A column `simulated` counts as the mark where it holds nothing but 0 and 1 (or no and yes).

    Attributes:
        schema: the column, while it can be the mark.
    """

    def __init__(self, roles: Roles, sample: list[list[str]]) -> None:
        import polars as pl

        self._place = roles.mark
        texts = [] if self._place is None else [row[self._place].strip() for row in sample if self._place < len(row)]
        self._own = any(text.lower() not in WORDS and text and not _is_flag(text) for text in texts)
        numeric = all(looks_decimal(text) for text in texts)
        self._marked = 0
        self.schema: Schema = (
            {} if self._place is None or self._own else {self._place: pl.Float64 if numeric else pl.String}
        )

    def look_at(self, frame: pl.DataFrame) -> None:
        """Count the marked rows of a batch."""
        import polars as pl

        if not self.schema or self._own:
            return
        source = pl.col(f"_{self._place}")
        if frame.schema[f"_{self._place}"] == pl.String:
            words = cleaned(source).str.to_lowercase()
            source = pl.coalesce(
                words.replace_strict(WORDS, default=None, return_dtype=pl.Float64), number(source, False)
            )
            unread = source.is_null() & (words != "")
        else:
            unread = pl.lit(False)
        ones, others = frame.select(
            (source == 1).sum().alias("ones"), (unread | ((source != 0) & (source != 1))).sum().alias("others")
        ).row(0)
        self._marked += int(ones or 0)
        self._own = self._own or bool(others)

    @property
    def in_words(self) -> str | None:
        """Of the chip that drew the file; None where the column is none, or someone's own."""
        if self._own or not self._marked:
            return None
        return f"not named (the column `{MARK}` marks {self._marked} rows)"

    @property
    def notes(self) -> list[str]:
        """Why a file counts as simulated by this column, or why it does not."""
        if self._own:
            return [
                f"the column `{MARK}` has other values than 0 and 1, so that it does not mark the file as simulated"
            ]
        if self._marked:
            return [
                f"the file counts as simulated, since its column `{MARK}` is 1 in {self._marked} rows: the calibration "
                f"says `assumed` (--ignore {MARK} if the column means something else)"
            ]
        return []


def _is_flag(text: str) -> bool:
    try:
        return float(text) in (0.0, 1.0)
    except ValueError:
        return False
