"""What is understood of a file, before anything is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.progress import Progress
from imctrain.calibration.reading.conversions import Conversions
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

FIRST_ROWS = 5
MOST_MEMBERS = 4
"""Columns of a wide table that are all shown."""
MEANINGS = {
    "column": "column of the array",
    "ideal": "input v",
    "dot": "input, integer sum",
    "code": "code of the ADC",
    "range": "reference range R",
    "die": "die",
    "temperature_c": "temperature, degrees Celsius",
    "vdd_v": "supply, volts",
    "time_s": "time, seconds",
    "repeat": "repeat of an input",
    "bit": "bit of the code",
}


@dataclass(frozen=True)
class Understood:
    """A column of the file: its header, what it stands for, its unit, and its values once they are read."""

    header: str
    meaning: str
    unit: str
    values: str


@dataclass(frozen=True)
class Survey:
    """What is understood of a file.

    Attributes:
        form: packing, encoding, separator. columns: what each stands for. rows: conversions, those left out included.
        left_out: of them. first: the first conversions as they are understood, by role.
        notes: what was guessed, passed over or left out. refused: why calibration would refuse the file, or None.
    """

    form: tuple[str, ...]
    columns: tuple[Understood, ...]
    rows: int
    left_out: int
    first: pl.DataFrame | None
    notes: tuple[str, ...]
    refused: UserError | None


def survey(path: Path, setup: MeasurementSetup, how: HowToRead, progress: Progress | None = None) -> Survey:
    """Read a file to its end and fit nothing.

    Raises:
        UserError: no header, or no columns that can be conversions; what is wrong with rows is in `refused`.
    """
    conversions = Conversions(path, setup, progress, how)
    first: pl.DataFrame | None = None
    dies: set[str] = set()
    refused = None
    try:
        for batch in conversions.batches():
            first = batch.head(FIRST_ROWS) if first is None else first
            if "die" in batch.columns:
                dies |= set(batch["die"].unique())
    except UserError as error:
        refused = error
    tally = conversions.tally
    return Survey(
        conversions.table.form,
        tuple(_columns(conversions, dies)),
        tally.rows,
        tally.wrong + tally.missing,
        first,
        conversions.notes,
        refused,
    )


def _columns(conversions: Conversions, dies: set[str]) -> list[Understood]:
    roles, spans = conversions.roles, conversions.spans
    by_place: dict[int, Understood] = {}
    for role, field in roles.fields.items():
        values = _values(spans, role) if role != "die" else f"{len(dies)}: {', '.join(sorted(dies)[:4])}"
        by_place[field.index] = Understood(field.header, MEANINGS[role], field.unit_text, values)
    if roles.series is not None:
        members = list(zip(roles.series.numbers, roles.series.indices, strict=True))
        number = "bit" if roles.series.role == "bit" else roles.series.role
        few = members if len(members) <= MOST_MEMBERS else members[:2] + members[-1:]
        for n, place in few:
            meaning = f"bit {n} of the code" if number == "bit" else f"codes of {number} {n}"
            by_place[place] = Understood(roles.names[place].header.strip(), meaning, "", _values(spans, "code"))
        if len(few) < len(members):
            by_place[members[2][1]] = Understood("...", f"and {len(members) - len(few)} more of them", "", "")
    for place, name in enumerate(roles.names):
        inside = roles.series is not None and place in roles.series.indices
        if place not in by_place and name.header.strip() and not inside:
            used = "mark of the virtual chip" if place == roles.mark else "not used"
            by_place[place] = Understood(name.header.strip(), used, "", "")
    return [by_place[place] for place in sorted(by_place)]


def _values(spans: dict[str, tuple[float, float]], role: str) -> str:
    if role not in spans:
        return ""
    low, high = spans[role]
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
