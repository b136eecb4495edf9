"""Expressions that make values of what stands in a file, and tables with a conversion a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imctrain.calibration.reading.numbers import Base, number, pattern
from imctrain.calibration.reading.roles import Series
from imctrain.calibration.reading.table import PROBLEM, SHOWN
from imctrain.calibration.reading.units import Unit

if TYPE_CHECKING:
    import polars as pl

MELTED = "_code"


def converted(value: pl.Expr, unit: Unit, full_scale: float | None, codes_per_v: int) -> pl.Expr:
    """Numbers of a unit in the unit that is meant; the very same where that is the same."""
    if unit.shift:
        value = value + unit.shift
    if unit.factor != 1.0:
        value = value * unit.factor
    if unit.of == "volts":
        value = value / (full_scale or 1.0)
    return value / codes_per_v if unit.of == "lsb" else value


def code_value(name: str, dtype: pl.DataType, base: Base, commas: bool) -> list[pl.Expr]:
    """`code` from a column, and how it is shown."""
    import polars as pl

    source = pl.col(name)
    if dtype != pl.String:
        return [source.alias("code")]
    value = number(source, commas) if base == "decimal" else pattern(source, base)
    return [value.alias("code"), source.alias(SHOWN + "code")]


def with_bits(frame: pl.DataFrame, made: list[pl.Expr], bits: list[pl.Expr]) -> pl.DataFrame:
    """`code` from bits, the least significant one first."""
    import polars as pl

    possible = pl.all_horizontal((bit == 0) | (bit == 1) for bit in bits)
    code = sum((bit * 2.0**k for k, bit in enumerate(bits)), pl.lit(0.0)).alias("code")
    before = [pl.col(PROBLEM)] if PROBLEM in frame.columns else []
    wrong = pl.when(~possible).then(pl.lit("a bit of the code is neither 0 nor 1"))
    return frame.with_columns(pl.coalesce(*before, wrong).alias(PROBLEM)).select(
        *(column for column in made if column.meta.output_name() != PROBLEM), PROBLEM, code
    )


def melted(frame: pl.DataFrame, made: list[pl.Expr], series: Series, zero: int) -> pl.DataFrame:
    """A row for each code of a wide table's row, in the table's order, the code in MELTED.

    Args:
        zero: number of the first column.
    """
    import polars as pl

    names = [f"_{index}" for index in series.indices]
    kind = pl.String if pl.String in {frame.schema[name] for name in names} else pl.Float64
    together = pl.concat_list(pl.col(name).cast(kind) for name in names).alias(MELTED)
    numbers = pl.lit(pl.Series([[float(n - zero) for n in series.numbers]])).first().alias(series.role)
    return frame.select(*made, together, numbers).explode(MELTED, series.role)
