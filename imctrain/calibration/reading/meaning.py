"""From the columns of a file to values of the roles that they stand for: numbers in the units that are meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.codes import CodeForm, form_of, to_code
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.numbers import Base, column_number, column_prefix, number, pattern
from imctrain.calibration.reading.roles import Field, Roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import LINE, PROBLEM, ROW, SHOWN, Schema, Table
from imctrain.calibration.reading.told import base_of_file, form_that_is_told, refuse_units
from imctrain.calibration.reading.units import Unit
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl


class Meaning:
    """Values of a file's roles, batch by batch.

    Attributes:
        schema: the columns of the file that are needed. base: how codes are written. form: what their bits mean; None
            until `values` has seen a first batch, where the file has to tell.

    Raises:
        UserError: units or codes that need an option.
    """

    def __init__(self, path: Path, table: Table, roles: Roles, setup: MeasurementSetup, how: HowToRead) -> None:
        import polars as pl

        self._path, self._table, self.roles, self.setup, self.how = path, table, roles, setup, how
        refuse_units(path, roles, setup, how)
        self.prefix: str | None = None
        sample = table.sample()
        self._places = dict(self._code_places())
        texts = [row[i] for row in sample for i in self._places if i < len(row)]
        self.base: Base = base_of_file(path, roles, how, texts)
        self.form: CodeForm | None = form_that_is_told(path, roles, setup, how, self.base)
        self.form_guessed = False
        text_codes = self.base != "decimal"
        self.schema: Schema = {
            **{f.index: pl.String if role == "die" else pl.Float64 for role, f in roles.fields.items()},
            **dict.fromkeys(self._places, pl.String if text_codes else pl.Float64),
        }

    def values(self, frame: pl.DataFrame) -> pl.DataFrame:
        """One row a conversion: a float64 column for each role (`die`: text), SHOWN columns, and ROW, LINE, PROBLEM.

        Raises:
            UserError: names of columns that lead to the same number.
        """
        import polars as pl

        self._check_prefix(frame)
        made: list[pl.Expr] = [pl.col(name) for name in (ROW, LINE, PROBLEM) if name in frame.columns]
        for role, field in self.roles.fields.items():
            if role != "code":
                made += self._one(role, field, frame.schema[f"_{field.index}"])
        series = self.roles.series
        if series is not None and ROW not in frame.columns:
            first = self._table.rows_done + 1
            made.append(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW))
        if series is None or series.role == "bit":
            values = frame.select(*made, *self._codes(frame))
        else:
            values = self._melted(frame, made)
        return self._formed(values)

    def _code_places(self) -> Iterator[tuple[int, None]]:
        if self.roles.series is not None:
            yield from ((index, None) for index in self.roles.series.indices)
        elif "code" in self.roles.fields:
            yield self.roles.fields["code"].index, None

    def unit(self, role: str, field: Field) -> Unit:
        """That of a role; inputs are in volts where full scale is given and nothing else says what they are in."""
        if role == "ideal" and self.how.full_scale is not None and field.unit.plain and not field.unit_text:
            return Unit(of="volts")
        return field.unit

    def _one(self, role: str, field: Field, dtype: pl.DataType) -> list[pl.Expr]:
        import polars as pl

        source = pl.col(f"_{field.index}")
        if role == "die":
            text = source.str.strip_chars()
            return [pl.when(text != "").then(text).alias(role)]
        is_text = dtype == pl.String
        value = source
        if is_text:
            value = (column_number if role == "column" else number)(source, self._table.commas)
        unit = self.unit(role, field)
        converted = not unit.plain
        if unit.shift:
            value = value + unit.shift
        if unit.factor != 1.0:
            value = value * unit.factor
        if unit.of == "volts":
            value = value / (self.how.full_scale or 1.0)
        if unit.of == "lsb":
            value = value / self.setup.codes_per_v
        if role == "column" and self.how.first_column:
            value, converted = value - self.how.first_column, True
        shown = [source.alias(SHOWN + role)] if is_text or converted else []
        return [value.alias(role), *shown]

    def _codes(self, frame: pl.DataFrame) -> list[pl.Expr]:
        import polars as pl

        series = self.roles.series
        if series is None:
            return self._code(f"_{self.roles.fields['code'].index}", frame)
        bits = [self._code(f"_{index}", frame)[0] for index in series.indices]
        possible = pl.all_horizontal((bit == 0) | (bit == 1) for bit in bits)
        code = sum((bit * 2.0**k for k, bit in enumerate(bits)), pl.lit(0.0))
        wrong = pl.when(~possible).then(pl.lit("a bit of the code is neither 0 nor 1"))
        before = [pl.col(PROBLEM)] if PROBLEM in frame.columns else []
        return [code.alias("code"), pl.coalesce(*before, wrong).alias("_bits")]

    def _code(self, name: str, frame: pl.DataFrame) -> list[pl.Expr]:
        import polars as pl

        source = pl.col(name)
        if frame.schema[name] != pl.String:
            return [source.alias("code")]
        value = number(source, self._table.commas) if self.base == "decimal" else pattern(source, self.base)
        return [value.alias("code"), source.alias(SHOWN + "code")]

    def _melted(self, frame: pl.DataFrame, made: list[pl.Expr]) -> pl.DataFrame:
        """A row for each code of a wide table's row, in the table's order."""
        import polars as pl

        series = self.roles.series
        assert series is not None
        names = [f"_{index}" for index in series.indices]
        texts = pl.String in {frame.schema[name] for name in names}
        together = pl.concat_list(pl.col(name).cast(pl.String if texts else pl.Float64) for name in names)
        numbers = pl.lit(pl.Series([[float(n - self._first(series.role)) for n in series.numbers]]))
        rows = frame.select(*made, together.alias("_code"), numbers.first().alias(series.role))
        rows = rows.explode("_code", series.role)
        return rows.with_columns(*self._code("_code", rows)).drop("_code")

    def _first(self, role: str) -> int:
        return self.how.first_column if role == "column" else 0

    def _formed(self, values: pl.DataFrame) -> pl.DataFrame:
        """With codes as signed numbers."""
        import polars as pl

        if "_bits" in values.columns:
            values = values.with_columns(pl.col("_bits").alias(PROBLEM)).drop("_bits")
        if self.form is None:
            self.form, self.form_guessed = form_of(values, self.setup), True
            if self.form is None:
                raise UserError(
                    f"{self._path}: codes are patterns of bits, and they follow the input neither as two's complement "
                    "nor as offset binary: give --codes twos-complement, offset-binary or signed"
                )
        if self.form == "signed":
            return values
        if SHOWN + "code" not in values.columns:
            values = values.with_columns(pl.col("code").alias(SHOWN + "code"))
        return values.with_columns(to_code(pl.col("code"), self.form, self.setup.bits).alias("code"))

    def _check_prefix(self, frame: pl.DataFrame) -> None:
        import polars as pl

        field = self.roles.fields.get("column")
        if field is None or frame.schema[f"_{field.index}"] != pl.String:
            return
        found = (
            frame.select(column_prefix(pl.col(f"_{field.index}")).unique().drop_nulls()).to_series().sort().to_list()
        )
        if self.prefix is None and found:
            self.prefix = found[0]
        other = next((prefix for prefix in found if prefix != self.prefix), None)
        if other is not None:
            raise UserError(
                f"{self._path}: columns are named {self.prefix}N and {other}N: number the array's columns from 0 "
                "without gaps, since the same N would be taken for one column"
            )
