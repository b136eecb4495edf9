"""What must hold of every measured conversion, and what to tell where it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from imctrain.calibration.reading.setup import MeasurementSetup

if TYPE_CHECKING:
    import polars as pl

MAX_COLUMN = 2**16 - 1
ROUNDING = 5e-7
"""Inputs written with six decimals still count as at full scale."""


class Check(NamedTuple):
    """A condition that a right row does not meet.

    Attributes:
        name: the column of the file. wrong: polars expression, True for a wrong row.
        found: what is wrong, with {value}. fix: the way out.
    """

    name: str
    wrong: pl.Expr
    found: str
    fix: str


class Finding(NamedTuple):
    """The first wrong row of a batch, from 0, and what to tell."""

    row: int
    found: str
    fix: str


def row_checks(names: list[str], setup: MeasurementSetup) -> list[Check]:
    """Checks of the columns `names`, in the order in which they are told when one row fails several."""
    import polars as pl

    numbers = [name for name in names if name != "die"]
    measure = "delete the row or measure it again"
    checks = [Check(name, ~pl.col(name).is_finite(), "is {value}", measure) for name in numbers]

    def between(name: str, low: float, high: float, found: str, fix: str) -> None:
        checks.append(Check(name, ~pl.col(name).is_between(low, high), "= {value} is " + found, fix))

    swapped = "give v as a fraction of full scale; are ideal and code swapped, or is it a dot product (call it dot)?"
    lowest = setup.lowest_v
    if "ideal" in names:
        kind = "-1..1" if lowest else "0..1 of a unipolar converter"
        between("ideal", lowest - ROUNDING, 1 + ROUNDING, f"outside {kind}", swapped)
    if "dot" in names:
        full = full_scale(names, setup)
        found = f"beyond full scale, --rows {setup.rows} x --levels {setup.levels} = {full:g}"
        between("dot", lowest * full, full, found, "give the array's own --rows and --levels")
    for name in ("dot", "column", "code", "repeat"):
        if name in names:
            fix = "for v in [-1, 1] call the column ideal" if name == "dot" else "are columns swapped?"
            checks.append(Check(name, pl.col(name) != pl.col(name).round(), "= {value} is not an integer", fix))
    between("column", 0, MAX_COLUMN, f"outside 0..{MAX_COLUMN}", "columns count from 0; are columns swapped?")
    if setup.columns is not None:
        found = f"beyond the {setup.columns} columns of --columns"
        between("column", 0, setup.columns - 1, found, "columns count from 0; give the array's own --columns")
    low, high = setup.lowest + setup.zero_code, setup.highest + setup.zero_code
    found = f"outside {low}..{high}, the codes of a {setup.polarity} {setup.bits}-bit ADC"
    between("code", low, high, found, "give its own --bits, --polarity or --zero-code; are columns swapped?")
    tiny = math.ulp(0.0)
    limits = {"range": (tiny, 1.0), "temperature_c": (-273.15, 700.0), "vdd_v": (tiny, 10.0)}
    for name, (least, most) in limits.items():
        if name in names:
            allowed = f"above 0 and at most {most:g}" if least == tiny else f"{least:g}..{most:g}"
            between(name, least, most, f"outside what is allowed, {allowed}", "correct it")
    return checks


def full_scale(names: list[str], setup: MeasurementSetup) -> float:
    """The input at full scale: 1 for `ideal`, N * L for `dot`."""
    return 1.0 if "ideal" in names else float((setup.rows or 1) * (setup.levels or 1))


def first_missing(frame: pl.DataFrame) -> Finding | None:
    """The first row of `frame` that lacks a value (null)."""
    import polars as pl

    if not any(column.has_nulls() for column in frame):
        return None
    row = int(frame.select(pl.any_horizontal(pl.all().is_null()).arg_max()).item())
    name = next(name for name in frame.columns if frame[name][row] is None)
    return Finding(row, f"{name} is missing", "fill it in, delete the row, or give --leave-out-missing")


def first_wrong(frame: pl.DataFrame, checks: list[Check]) -> Finding | None:
    """The first row of `frame` that fails a check; what is missing (null) fails none."""
    import polars as pl

    masks = [check.wrong.fill_null(False).alias(str(i)) for i, check in enumerate(checks)]
    if not frame.select(pl.any_horizontal(masks).any()).item():
        return None
    wrong = frame.select(masks)
    row = int(wrong.select(pl.any_horizontal(pl.all()).arg_max()).item())
    check = checks[next(i for i, failed in enumerate(wrong.row(row)) if failed)]
    value = frame[check.name][row]
    shown = "NaN" if value is not None and value != value else f"{value:g}" if isinstance(value, float) else value
    return Finding(row, f"{check.name} {check.found.format(value=shown)}", check.fix)
