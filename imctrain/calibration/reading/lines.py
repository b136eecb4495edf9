"""A block of lines to a frame of texts, where a fast parser stumbles: every line keeps its number, and may be wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imctrain.calibration.reading.layout import BLANKS, COMMENT, Layout, mark_in, split_line
from imctrain.calibration.reading.numbers import BLANKS as BLANK_CHARACTERS
from imctrain.calibration.reading.numbers import MISSING, looks_data, looks_decimal
from imctrain.calibration.reading.table import LINE, PROBLEM, ROW, SIMULATED_KEY, Schema
from imctrain.calibration.reading.words import Numbers

if TYPE_CHECKING:
    import polars as pl

_TEXT, _FIELDS = "_text", "_fields"


@dataclass
class PassedOver:
    """Lines that are no data.

    Attributes:
        count: all of them. comments: lines that begin with #. repeated: lines that repeat the header.
        other_header: a line that names the columns in another order, and that line. cut: a last line that is cut off.
        simulated: what a comment tells of the virtual chip.
    """

    count: int = 0
    comments: Numbers = field(default_factory=Numbers)
    repeated: Numbers = field(default_factory=Numbers)
    other_header: tuple[int, str] | None = None
    cut: tuple[int, str] | None = None
    simulated: str | None = None


def frame_of_lines(
    block: bytes,
    layout: Layout,
    schema: Schema,
    row: int,
    line: int,
    passed: PassedOver,
    unended: bool,
    beside: Sequence[int] = (),
) -> pl.DataFrame:
    """The wanted columns of whole lines, as text.

    Args:
        row, line: numbers of the first data row and of the first line in `block`.
        passed: is added to.
        unended: the block's last line has no end of line in the file.
        beside: places of more columns, whatever is in them.
    """
    import polars as pl

    lines = block.decode("utf-8", "replace").split("\n")[:-1]
    frame = pl.DataFrame({_TEXT: pl.Series(lines, dtype=pl.String)}).with_columns(
        pl.int_range(line, line + len(lines), dtype=pl.Int64).alias(LINE),
        pl.col(_TEXT).str.strip_chars("\r"),
    )
    height = frame.height
    frame = frame.filter(pl.col(_TEXT).str.strip_chars(BLANK_CHARACTERS) != "")
    if layout.comments:
        commented = pl.col(_TEXT).str.strip_chars_start(" ").str.starts_with(COMMENT)
        told = frame.filter(commented)
        passed.comments.add(told[LINE])
        for text in told.filter(pl.col(_TEXT).str.contains(SIMULATED_KEY, literal=True))[_TEXT]:
            passed.simulated = passed.simulated or mark_in(text)
        frame = frame.filter(~commented)
    frame = _split(frame, layout)
    frame = _without_headers(frame, layout, schema, passed)
    frame = _wanted(frame, layout, schema, beside)
    if unended and frame.height and frame[LINE][-1] == line + len(lines) - 1 and _is_cut(frame, layout, schema):
        passed.cut = (int(frame[LINE][-1]), lines[-1])
        frame = frame.head(-1)
    passed.count += height - frame.height
    rows = pl.int_range(row, row + frame.height, dtype=pl.Int64).alias(ROW)
    return frame.select(rows, LINE, PROBLEM, *(f"_{position}" for position in (*schema, *beside)))


def _split(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """With a list of fields, and PROBLEM where a line is no CSV."""
    import polars as pl

    none = pl.lit(None, dtype=pl.String).alias(PROBLEM)
    if frame[_TEXT].str.contains('"', literal=True).any():
        fields: list[list[str]] = []
        problems: list[str | None] = []
        for text in frame[_TEXT]:
            try:
                fields.append(split_line(text, layout.separator))
                problems.append(None)
            except (csv.Error, StopIteration) as error:
                fields.append([])
                problems.append(f"the line is not CSV ({error})")
        split = pl.Series(_FIELDS, fields, dtype=pl.List(pl.String))
        return frame.with_columns(split, pl.Series(PROBLEM, problems, dtype=pl.String))
    if layout.separator == BLANKS:
        text = pl.col(_TEXT).str.strip_chars(" \t").str.replace_all(r"[ \t]+", "\t")
        return frame.with_columns(text.str.split("\t").alias(_FIELDS), none)
    return frame.with_columns(pl.col(_TEXT).str.split(layout.separator).alias(_FIELDS), none)


def _without_headers(frame: pl.DataFrame, layout: Layout, schema: Schema, passed: PassedOver) -> pl.DataFrame:
    """Without lines that repeat the header; one that names the wanted columns otherwise is kept in `passed`."""
    import polars as pl

    names = [name.strip().lower() for name in layout.header.names]
    wanted = [position for position in schema if names[position]]
    fields = {position: pl.col(_FIELDS).list.get(position, null_on_oob=True) for position in wanted}
    clean = {
        position: text.str.strip_chars(BLANK_CHARACTERS + '"').str.to_lowercase() for position, text in fields.items()
    }
    # Nearly all lines are none: the first column whose name is no number decides for them.
    named = [position for position in wanted if not looks_decimal(names[position])]
    suspects = frame.filter(clean[named[0]].is_in([names[position] for position in named])) if named else frame.head(0)
    if not suspects.height:
        return frame
    same = suspects.filter(pl.all_horizontal(text == names[position] for position, text in clean.items()))
    passed.repeated.add(same[LINE])
    others = suspects.filter(~pl.col(LINE).is_in(same[LINE].implode()))
    own = {names[position] for position in wanted}
    for number, text, texts in others.select(LINE, _TEXT, _FIELDS).iter_rows():
        if own <= {t.strip().lower() for t in texts} and passed.other_header is None:
            passed.other_header = (number, text)
    return frame.filter(~pl.col(LINE).is_in(same[LINE].implode()))


def _wanted(frame: pl.DataFrame, layout: Layout, schema: Schema, beside: Sequence[int]) -> pl.DataFrame:
    """The fields of `schema` and those `beside`, and PROBLEM where a line has too few or too many."""
    import polars as pl

    width = len(layout.header.names)
    count = pl.col(_FIELDS).list.len()
    beyond = pl.col(_FIELDS).list.slice(width).list.join("", ignore_nulls=True).str.strip_chars(BLANK_CHARACTERS)
    filled = beyond != "" if frame.select((count > width).any()).item() else pl.lit(False)
    lacks = count <= max(schema)
    several = pl.when(count == 1).then(pl.lit("")).otherwise(pl.lit("s"))
    ragged = pl.format("{} field{} where the header has {}", count, several, pl.lit(width))
    return frame.with_columns(
        pl.coalesce(PROBLEM, pl.when(lacks | filled).then(ragged)).alias(PROBLEM),
        *(pl.col(_FIELDS).list.get(p, null_on_oob=True).alias(f"_{p}") for p in (*schema, *beside)),
    )


def _is_cut(frame: pl.DataFrame, layout: Layout, schema: Schema) -> bool:
    """Whether the last row ends before its last field does: too few fields, or none that can be data."""
    fields = [text or "" for text in frame[_FIELDS][-1]]
    if len(fields) < len(layout.header.names):
        return frame[PROBLEM][-1] is not None
    last = fields[-1].strip()
    return len(fields) - 1 in schema and (last.lower() in MISSING or not looks_data(last))
