"""How a text file is laid out: what stands above the header, its names, and what separates fields."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.numbers import has_decimal_comma, looks_data, looks_decimal
from imctrain.calibration.reading.roles import Roles, find_roles, refuse_roles
from imctrain.calibration.reading.table import SIMULATED_KEY, Header
from imctrain.calibration.reading.units import is_unit
from imctrain.errors import UserError

COMMENT = "#"
SEPARATORS = (",", ";", "\t", "|")
BLANKS = " "
"""Stands for blanks and tabs, any number of them."""
MOST_ABOVE = 2000
"""Lines above a header, at most."""
SAMPLE_LINES = 200
FEWEST_HASHED = 3
"""Rows that all begin with # hold data (`#5,0.1,12`), where there are as many at least."""
IN_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes (|)", BLANKS: "blanks"}
_SEP_LINE = re.compile(r'^"?sep=(.|\\t)"?$', re.IGNORECASE)
_BLANK_FIELDS = re.compile(r"\"[^\"]*\"|[^\s\"\[({]+(?:\s*[\[({][^\])}]*[\])}])?|\S+")
_MAY_NAME = re.compile(r'(?:^|[,;\t| "#%(!/])\s*[A-Za-z]')
EMPTY = "the file is empty: it needs a header and one row per conversion"
_PREFIX = re.compile(r"^[#%!;/*\s]+")


@dataclass(frozen=True)
class Layout:
    """Of a text table.

    Attributes:
        separator: between fields of data. lines_above: lines before the first that may be data.
        commas: a comma is a decimal mark; None: nothing in the file tells yet.
        comments: lines that begin with # are none of data.
        simulated: what a comment says of the virtual chip.
        notes: what was passed over or guessed.
        sample: fields of the first rows of data.
    """

    header: Header
    separator: str
    lines_above: int
    commas: bool | None
    comments: bool
    simulated: str | None
    notes: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Candidate:
    """A line that may be the header: its place from 0, names, separator, and what its names stand for."""

    place: int
    names: tuple[str, ...]
    separator: str
    roles: Roles


def find_layout(path: Path, head: str, whole: bool, how: HowToRead) -> Layout:
    """From the beginning of a file, which ends in a part of a line unless it is `whole`.

    Raises:
        UserError: empty, or no header that can be that of conversions.
    """
    lines = head.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line.rstrip("\r") for line in lines]
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: row 0 (line 1): {EMPTY}")
    given = how.separator
    start = 0
    sep_line = _SEP_LINE.match(lines[0].strip("\ufeff "))
    if sep_line is not None:
        start, given = 1, given or sep_line[1].replace("\\t", "\t")
    found = _header(path, lines, start, given, how)
    return _layout(path, lines, start, found, how, given)


def split_line(line: str, separator: str) -> list[str]:
    """Fields of one line. Raises csv.Error for quotes that make no sense."""
    if separator == BLANKS:
        return line.split() if '"' not in line else [f.strip('"') for f in _BLANK_FIELDS.findall(line)]
    return next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)


def _header(path: Path, lines: list[str], start: int, given: str | None, how: HowToRead) -> _Candidate:
    """The first line that can be a header: in today's place, then behind #, then further down."""
    first = next((i for i in range(start, len(lines)) if lines[i].strip() and not _is_comment(lines[i])), None)
    comments = [i for i in range(start, len(lines) if first is None else first) if _is_comment(lines[i])]
    below = [] if first is None else range(first + 1, min(len(lines), first + MOST_ABOVE))
    nearly: _Candidate | None = None
    for place in (*([] if first is None else [first]), *reversed(comments), *below):
        if place != first and not _MAY_NAME.search(lines[place]):
            continue
        for candidate in _candidates(lines, place, given, how):
            if candidate.roles.complete and _fits(candidate, lines, given):
                return candidate
            better = nearly is None or len(candidate.roles.missing) < len(nearly.roles.missing)
            if (candidate.roles.complete or candidate.roles.nearly) and better:
                nearly = candidate
    if nearly is None and first is None:
        raise UserError(f"{path}: row 0 (line {len(lines)}): {EMPTY}")
    nearly = nearly or next(_candidates(lines, first or 0, given, how))
    where = f"{path}: the header (row 0, line {nearly.place + 1})"
    if not nearly.roles.complete and all(looks_decimal(name, comma=True) for name in nearly.names):
        text = lines[nearly.place].strip()[:60]
        raise UserError(
            f"{where} has no names, it is {text!r}: name the columns in it: column, ideal (or dot) and code"
        )
    refuse_roles(where, nearly.roles, how)
    return nearly


def _is_comment(line: str) -> bool:
    return line.lstrip("\ufeff ").startswith(COMMENT)


def _candidates(lines: list[str], place: int, given: str | None, how: HowToRead) -> Iterator[_Candidate]:
    """A line's names, by each separator that it may have, the most frequent one first; then without a mark in front."""
    line = lines[place].strip("\ufeff \r")
    bare = _PREFIX.sub("", line)
    for text in dict.fromkeys((bare,) if _is_comment(line) else (line, bare)):
        order = sorted(SEPARATORS, key=text.count, reverse=True) if given is None else [given]
        order = [separator for separator in order if separator in text] or order[:1]
        for separator in [*order, BLANKS] if given is None else order:
            names = _BLANK_FIELDS.findall(text) if separator == BLANKS else _fields(text, separator)
            while len(names) > 1 and not names[-1].strip():
                names.pop()
            names = [name.strip().strip('"') for name in names or [text]]
            yield _Candidate(place, tuple(names), separator, find_roles(names, how))


def _fits(candidate: _Candidate, lines: list[str], given: str | None) -> bool:
    """Whether what follows can be data under these names. An exact header is believed."""
    if all(field.rank <= 0 for field in candidate.roles.fields.values()) and candidate.roles.series is None:
        return True
    sample = list(_data_lines(lines, candidate.place + 1, 3))
    separator = _data_separator(candidate, [line for _, line in sample], given)
    rows = [_fields(line, separator) for _, line in sample]
    used = [field.index for role, field in candidate.roles.fields.items() if role != "die"]
    return not rows or any(
        len(row) >= len(candidate.names) and all(looks_data(row[i]) or not row[i].strip() for i in used) for row in rows
    )


def _data_lines(lines: list[str], start: int, most: int) -> Iterator[tuple[int, str]]:
    """(place, line) of what may be data."""
    for place in range(start, len(lines)):
        if lines[place].strip() and not _is_comment(lines[place]):
            yield place, lines[place]
            most -= 1
            if most == 0:
                return


def _fields(line: str, separator: str) -> list[str]:
    try:
        return split_line(line, separator)
    except (csv.Error, StopIteration):
        return []


def _data_separator(header: _Candidate, sample: list[str], given: str | None) -> str:
    """That of the header, unless rows of data are as wide as the header with another one only."""
    wide = len(header.names)
    if given is not None or not sample:
        return header.separator if given is None else given

    def agree(separator: str) -> int:
        fitting = 0
        for line in sample:
            fields = _fields(line, separator)
            while len(fields) > wide and not fields[-1].strip():
                fields.pop()
            fitting += len(fields) == wide
        return fitting

    if wide == 1 or agree(header.separator) > len(sample) // 2:
        return header.separator
    best = max((*SEPARATORS, BLANKS), key=agree)
    return best if agree(best) > len(sample) // 2 else header.separator


def _layout(path: Path, lines: list[str], start: int, header: _Candidate, how: HowToRead, given: str | None) -> Layout:
    above = header.place + 1
    following = [place for place in range(above, len(lines)) if lines[place].strip()][:SAMPLE_LINES]
    hashed = [_is_comment(lines[place]) for place in following]
    comments = len(hashed) < FEWEST_HASHED or not all(hashed)
    sample = [lines[place] for place in following if not (comments and _is_comment(lines[place]))]
    separator = _data_separator(header, sample, given)
    units: tuple[str, ...] = ()
    if following and _is_units_row(_fields(lines[following[0]], separator), header):
        units = tuple(field.strip() for field in _fields(lines[following[0]], separator))[: len(header.names)]
        above = following[0] + 1
        sample = sample[1:] if sample and sample[0] == lines[following[0]] else sample
    rows = tuple(tuple(_fields(line, separator)) for line in sample)
    notes = _above_notes(path, lines, start, header, separator)
    if units:
        notes.append(f"line {above} holds units, no conversion")
    return Layout(
        Header(header.names, units, header.place + 1),
        separator,
        above,
        _commas(header.roles, rows, separator, how),
        comments,
        _simulated(lines[:above]),
        tuple(notes),
        rows,
    )


def _above_notes(
    path: Path,
    lines: list[str],
    start: int,
    header: _Candidate,
    separator: str,
) -> list[str]:
    """What is told of lines above the header. Raises UserError where they may be data."""
    passed = [(place, line) for place, line in _data_lines(lines[: header.place], start, MOST_ABOVE)]
    if not passed:
        return []
    used = [field.index for role, field in header.roles.fields.items() if role != "die"]
    for place, line in passed:
        fields = _fields(line, separator)
        if len(fields) == len(header.names) and all(looks_decimal(fields[i], comma=True) for i in used):
            raise UserError(
                f"{path}: the header is on line {header.place + 1}, and line {place + 1} above it holds data "
                f"({line.strip()[:60]!r}): move the header up, or delete what does not belong to it"
            )
    shown = passed[0][1].strip()[:40]
    return [
        f"{len(passed)} line{'s' if len(passed) > 1 else ''} above the header on line {header.place + 1} "
        f"{'were' if len(passed) > 1 else 'was'} passed over, the first {shown!r}"
    ]


def _is_units_row(fields: list[str], header: _Candidate) -> bool:
    """A line below the names of which every used field is a unit, and one at least is told in letters."""
    used = [field.index for role, field in header.roles.fields.items() if role != "die"]
    if header.roles.series is not None:
        used += header.roles.series.indices
    if not used or len(fields) <= max(used):
        return False
    told = [fields[i].strip() for i in used]
    return all(is_unit(text) for text in told) and any(not looks_decimal(text) for text in told)


def _commas(roles: Roles, rows: tuple[tuple[str, ...], ...], separator: str, how: HowToRead) -> bool | None:
    """Whether numbers have decimal commas; between commas they can only be quoted."""
    if how.decimal is not None:
        return how.decimal == "comma"
    used = [field.index for role, field in roles.fields.items() if role != "die"]
    if roles.series is not None:
        used += roles.series.indices
    texts = [row[i] for row in rows for i in used if i < len(row)]
    if any(has_decimal_comma(text) for text in texts):
        return True
    return False if separator == "," or any("." in text for text in texts) else None


def _simulated(lines: list[str]) -> str | None:
    told = None
    for line in lines:
        if _is_comment(line):
            told = mark_in(line) or told
    return told


def mark_in(comment: str) -> str | None:
    """What a comment tells of the virtual chip that drew the file."""
    key, colon, value = comment.lstrip("\ufeff# ").partition(":")
    return value.strip() if colon and key.strip() == SIMULATED_KEY else None
