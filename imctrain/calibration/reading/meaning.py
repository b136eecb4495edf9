"""From the columns of a file to values of the roles that they stand for: numbers in the units that are meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.codes import CodeForm, form_of, to_code
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.numbers import Base, column_number, number
from imctrain.calibration.reading.roles import Field, Roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import BESIDE, LINE, PROBLEM, ROW, SHOWN, Schema, Table
from imctrain.calibration.reading.told import base_of_file, form_that_is_told, prefix_of_columns, refuse_units
from imctrain.calibration.reading.units import Unit
from imctrain.calibration.reading.values import MELTED, code_value, converted, melted, with_bits
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl


class Meaning:
    """Values of a file's roles, batch by batch.

    Attributes:
        schema: the columns of the file that are needed. prefix: before the numbers of named columns, "" for bare ones.
            base: how codes are written. form: what their bits mean; None
            until `values` has seen a first batch, where the file has to tell.

    Args:
        beside: places of columns that are passed on as they are, named BESIDE and their place.

    Raises:
        UserError: units or codes that need an option.
    """

    def __init__(
        self,
        path: Path,
        table: Table,
        roles: Roles,
        setup: MeasurementSetup,
        how: HowToRead,
        beside: Sequence[int] = (),
    ) -> None:
        import polars as pl

        self._beside = beside
        self._path, self._table, self.roles, self.setup, self.how = path, table, roles, setup, how
        refuse_units(path, roles, setup, how)
        sample = table.sample()
        column = roles.fields.get("column")
        names = [] if column is None else [row[column.index] for row in sample if column.index < len(row)]
        self.prefix = prefix_of_columns(path, names)
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

        made: list[pl.Expr] = [pl.col(name) for name in (ROW, LINE, PROBLEM) if name in frame.columns]
        made += [pl.col(f"_{place}").alias(f"{BESIDE}{place}") for place in self._beside]
        for role, field in self.roles.fields.items():
            if role != "code":
                made += self._of_role(role, field, frame.schema[f"_{field.index}"])
        series = self.roles.series
        if series is not None and ROW not in frame.columns:
            first = self._table.rows_done + 1
            made.append(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW))

        def code(name: str, table: pl.DataFrame) -> list[pl.Expr]:
            return code_value(name, table.schema[name], self.base, self._table.commas)

        if series is None:
            values = frame.select(*made, *code(f"_{self.roles.fields['code'].index}", frame))
        elif series.role == "bit":
            values = with_bits(frame, made, [code(f"_{index}", frame)[0] for index in series.indices])
        else:
            zero = self.how.first_column if series.role == "column" else 0
            rows = melted(frame, made, series, zero)
            values = rows.with_columns(*code(MELTED, rows)).drop(MELTED)
        return self._formed(values)

    def _of_role(self, role: str, field: Field, dtype: pl.DataType) -> list[pl.Expr]:
        import polars as pl

        source = pl.col(f"_{field.index}")
        if role == "die":
            text = source.str.strip_chars()
            return [pl.when(text != "").then(text).alias(role)]
        is_text = dtype == pl.String
        if not is_text:
            value = source
        elif role == "column":
            value = column_number(source, self._table.commas, self.prefix)
        else:
            value = number(source, self._table.commas)
        unit = self.unit(role, field)
        changed = converted(value, unit, self.how.full_scale, self.setup.codes_per_v)
        if role == "column" and self.how.first_column:
            changed = value - self.how.first_column
        plain = unit.plain and not (role == "column" and self.how.first_column)
        shown = [] if plain and not is_text else [source.alias(SHOWN + role)]
        return [changed.alias(role), *shown]

    def _code_places(self) -> Iterator[tuple[int, None]]:
        if self.roles.series is not None:
            yield from ((index, None) for index in self.roles.series.indices)
        elif "code" in self.roles.fields:
            yield self.roles.fields["code"].index, None

    def unit(self, role: str, field: Field) -> Unit:
        """That of a role; inputs are in volts where full scale is given and no column says that it is in volts."""
        said = any(other.unit.of == "volts" for other in self.roles.fields.values())
        if role == "ideal" and self.how.full_scale is not None and not field.unit_text and not said:
            return Unit(of="volts")
        return field.unit

    def _formed(self, values: pl.DataFrame) -> pl.DataFrame:
        """With codes as signed numbers."""
        import polars as pl

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
