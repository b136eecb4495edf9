"""What must hold of every measured conversion, and what to tell where it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from imctrain.calibration.reading.numbers import is_missing
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import PROBLEM, SHOWN

if TYPE_CHECKING:
    import polars as pl

MAX_COLUMN = 2**16 - 1
ROUNDING = 5e-7
"""Inputs written with six decimals still count as at full scale."""
HAIR_LSB, HAIR = 0.1, 1e-3
"""How far beyond full scale an input is a meter's noise, and is clipped: in LSB, and as a fraction of full scale."""
MISSING_KIND = "lack a value"


class Check(NamedTuple):
    """A condition that a right row does not meet.

    Attributes:
        name: of the role; "" for a line as a whole. wrong: polars expression, True for a wrong row.
        found: what is wrong, with {value}. fix: the way out. kind: in the words of a count of such rows.
    """

    name: str
    wrong: pl.Expr
    found: str
    fix: str
    kind: str


def hair(setup: MeasurementSetup) -> float:
    """How far beyond full scale an input may lie and is clipped, as a fraction of full scale."""
    return max(ROUNDING, min(HAIR, HAIR_LSB / setup.codes_per_v))


def row_checks(frame: pl.DataFrame, setup: MeasurementSetup, patterns: bool) -> list[Check]:
    """Checks of the values in `frame`, in the order in which they are told when one row fails several.

    Args:
        patterns: codes are patterns of bits; those that no pattern is are infinite.
    """
    import polars as pl

    names = frame.columns
    roles = [name for name in ROLES_CHECKED if name in names]
    measure = "delete the row or measure it again"
    checks = []
    if PROBLEM in names:
        problem = pl.col(PROBLEM).is_not_null()
        checks.append(Check("", problem, "{value}", "correct or delete the line", "are no rows of the table"))
    for name in roles:
        shown = SHOWN + name
        if shown in names and frame.schema[shown] == pl.String and frame[name].has_nulls():
            wrong = pl.col(name).is_null() & ~is_missing(pl.col(shown))
            kind = f"have {_a(name)} {name} that is no number"
            checks.append(Check(name, wrong, "= {value} is not a number", "correct or delete the row", kind))
    if patterns:
        span = f"outside 0..{2**setup.bits - 1}, the patterns of {setup.bits} bits"
        fix = "give the ADC's own --bits, or other --codes"
        checks.append(Check("code", pl.col("code").is_infinite(), "= {value} is " + span, fix, f"have a code {span}"))
    checks += [Check(n, ~pl.col(n).is_finite(), "is {value}", measure, f"have no finite {n}") for n in roles]

    def between(name: str, low: float, high: float, found: str, fix: str) -> None:
        outside = ~pl.col(name).is_between(low, high)
        kind = f"have {_a(name)} {name} {found.split(',')[0]}"
        checks.append(Check(name, outside, "= {value} is " + found, fix, kind))

    swapped = "give v as a fraction of full scale; are ideal and code swapped, or is it a dot product (call it dot)?"
    lowest = setup.lowest_v
    if "ideal" in names:
        kind = "-1..1" if lowest else "0..1 of a unipolar converter"
        beyond = hair(setup)
        between("ideal", lowest - beyond, 1 + beyond, f"outside {kind}", swapped)
    if "dot" in names:
        full = full_scale(names, setup)
        found = f"beyond full scale, --rows {setup.rows} x --levels {setup.levels} = {full:g}"
        between("dot", lowest * full, full, found, "give the array's own --rows and --levels")
    for name in ("dot", "column", "code", "repeat"):
        if name in names:
            fix = "for v in [-1, 1] call the column ideal" if name == "dot" else "are columns swapped?"
            wrong = pl.col(name) != pl.col(name).round()
            kind = f"have {_a(name)} {name} that is no integer"
            checks.append(Check(name, wrong, "= {value} is not an integer", fix, kind))
    between("column", 0, MAX_COLUMN, f"outside 0..{MAX_COLUMN}", "columns count from 0; are columns swapped?")
    if setup.columns is not None:
        found = f"beyond the {setup.columns} columns of --columns"
        fix = "columns count from 0 (--first-column 1 where the file counts from 1); give the array's own --columns"
        between("column", 0, setup.columns - 1, found, fix)
    low, high = setup.lowest + setup.zero_code, setup.highest + setup.zero_code
    found = f"outside {low}..{high}, the codes of a {setup.polarity} {setup.bits}-bit ADC"
    between("code", low, high, found, "give its own --bits, --polarity or --zero-code; are columns swapped?")
    tiny = math.ulp(0.0)
    limits = {"range": (tiny, 1.0), "temperature_c": (-273.15, 700.0), "vdd_v": (tiny, 10.0)}
    units = {"range": "; in volts? --unit range=V --full-scale VOLTS", "vdd_v": "; in mV? --unit vdd_v=mV"}
    for name, (least, most) in limits.items():
        if name in names:
            allowed = f"above 0 and at most {most:g}" if least == tiny else f"{least:g}..{most:g}"
            between(name, least, most, f"outside what is allowed, {allowed}", "correct it" + units.get(name, ""))
    return checks


ROLES_CHECKED = ("column", "code", "ideal", "dot", "range", "temperature_c", "vdd_v", "time_s", "repeat")


def full_scale(names: list[str], setup: MeasurementSetup) -> float:
    """The input at full scale: 1 for `ideal`, N * L for `dot`."""
    return 1.0 if "ideal" in names else float((setup.rows or 1) * (setup.levels or 1))


def _a(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"
