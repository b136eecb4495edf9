"""From the columns of a file to values of the roles that they stand for: numbers in the units that are meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.reading.codes import CodeForm, form_of, to_code
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.numbers import (
    bare_hex,
    base_of,
    column_number,
    column_prefix,
    number,
    pattern,
)
from imctrain.calibration.reading.roles import Field, Roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import LINE, PROBLEM, ROW, SHOWN, Schema, Table
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

        self._path, self._table, self.roles, self._setup, self._how = path, table, roles, setup, how
        self._refuse_units()
        self._prefix: str | None = None
        sample = table.sample()
        self._places = dict(self._code_places())
        texts = [row[i] for row in sample for i in self._places if i < len(row)]
        self.base = self._base(texts)
        self.form: CodeForm | None = self._given_form()
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

    def in_words(self) -> Iterator[str]:
        """What was understood of names, units and codes that is not simply the page's own."""
        roles, told = self.roles, self._how
        for role, field in roles.fields.items():
            if field.rank == 2:
                yield f"{field.header!r} is taken as `{role}` (--field {role}=HEADER, or --ignore {field.header!r})"
            unit = self._unit(role, field)
            if not unit.plain:
                way = f"; full scale is {told.full_scale:g} V" if unit.of == "volts" else ""
                yield f"{field.header!r} is in {field.unit_text or 'V'}{way} (--unit {role}=UNIT)"
        for header in roles.unknown_units:
            yield f"the unit of {header!r} is not known and taken as the usual one (--unit)"
        if self._prefix:
            yield f"columns are named: {self._prefix!r} and a number, which is taken as the column's"
        if roles.series is not None:
            yield self._series_in_words()
        if self.base != "decimal":
            yield f"codes are {'hexadecimal' if self.base == 'hex' else 'binary'} (--codes)"
        if self.form is not None and self.form != "signed":
            words = {"twos-complement": "two's complement", "offset-binary": "offset binary"}[self.form]
            yield f"codes are read as {words} of {self._setup.bits} bits{' (--codes)' if self.form_guessed else ''}"
        if told.first_column:
            yield f"columns count from {told.first_column} in the file and from 0 here (--first-column)"

    def _series_in_words(self) -> str:
        series = self.roles.series
        assert series is not None
        first, last = (f"{self.roles.names[series.indices[i]].header.strip()!r}" for i in (0, -1))
        if series.role == "bit":
            return f"codes are put together from bits {first} to {last}, of which {first} counts least"
        what = "columns of the array" if series.role == "column" else "repeats of one conversion"
        return f"a wide table: {first} to {last} hold codes of {len(series.numbers)} {what}"

    def _code_places(self) -> Iterator[tuple[int, None]]:
        if self.roles.series is not None:
            yield from ((index, None) for index in self.roles.series.indices)
        elif "code" in self.roles.fields:
            yield self.roles.fields["code"].index, None

    def _base(self, texts: list[str]) -> str:
        if self.roles.series is not None and self.roles.series.role == "bit":
            return "decimal"
        field = self.roles.fields.get("code")
        said = self._how.base or (field.unit.of if field is not None and field.unit.of in ("hex", "binary") else None)
        if said is not None:
            return said
        found = base_of(texts)
        if found is None and bare_hex(texts):
            shown = next(text.strip() for text in texts if any(c.isalpha() for c in text))
            raise UserError(
                f"{self._path}: codes look hexadecimal (such as {shown!r}) and have no prefix like 0x: give --codes hex"
            )
        return found or "decimal"

    def _given_form(self) -> CodeForm | None:
        how, setup = self._how, self._setup
        bits = self.roles.series is not None and self.roles.series.role == "bit"
        if bits and self.roles.series is not None and len(self.roles.series.numbers) != setup.bits:
            count = len(self.roles.series.numbers)
            raise UserError(f"{self._path}: codes have {count} bits in as many columns: give --bits {count}")
        if how.form is not None:
            if how.form != "signed" and (setup.polarity == "unipolar" or setup.zero_code):
                other = "--polarity unipolar" if setup.polarity == "unipolar" else f"--zero-code {setup.zero_code}"
                raise UserError(f"--codes {how.form} is of bipolar codes around 0: it does not go with {other}")
            return how.form
        patterns = (bits or self.base != "decimal") and setup.polarity == "bipolar" and not setup.zero_code
        return None if patterns else "signed"

    def _refuse_units(self) -> None:
        for role, field in self.roles.fields.items():
            unit, header = field.unit, field.header
            if unit.of == "volts" and self._how.full_scale is None:
                raise UserError(
                    f"{self._path}: {header!r} is in {field.unit_text}: give full scale with --full-scale VOLTS, "
                    f"or --unit {role}=FS where it is a fraction of full scale"
                )
            if unit.of == "analog":
                raise UserError(f"{self._path}: {header!r} is in {field.unit_text}: give the codes of the ADC")
            if unit.of == "lsb" and role == "ideal" and ("range" in self.roles.fields or self._setup.range != 1):
                raise UserError(f"{self._path}: {header!r} is in LSB and there are reference ranges: give v instead")

    def _unit(self, role: str, field: Field) -> Unit:
        """That of a role; inputs are in volts where full scale is given and nothing else says what they are in."""
        if role == "ideal" and self._how.full_scale is not None and field.unit.plain and not field.unit_text:
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
        unit = self._unit(role, field)
        converted = not unit.plain
        if unit.shift:
            value = value + unit.shift
        if unit.factor != 1.0:
            value = value * unit.factor
        if unit.of == "volts":
            value = value / (self._how.full_scale or 1.0)
        if unit.of == "lsb":
            value = value / self._setup.codes_per_v
        if role == "column" and self._how.first_column:
            value, converted = value - self._how.first_column, True
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
        return self._how.first_column if role == "column" else 0

    def _formed(self, values: pl.DataFrame) -> pl.DataFrame:
        """With codes as signed numbers."""
        import polars as pl

        if "_bits" in values.columns:
            values = values.with_columns(pl.col("_bits").alias(PROBLEM)).drop("_bits")
        if self.form is None:
            self.form, self.form_guessed = form_of(values, self._setup), True
            if self.form is None:
                raise UserError(
                    f"{self._path}: codes are patterns of bits, and they follow the input neither as two's complement "
                    "nor as offset binary: give --codes twos-complement, offset-binary or signed"
                )
        if self.form == "signed":
            return values
        if SHOWN + "code" not in values.columns:
            values = values.with_columns(pl.col("code").alias(SHOWN + "code"))
        return values.with_columns(to_code(pl.col("code"), self.form, self._setup.bits).alias("code"))

    def _check_prefix(self, frame: pl.DataFrame) -> None:
        import polars as pl

        field = self.roles.fields.get("column")
        if field is None or frame.schema[f"_{field.index}"] != pl.String:
            return
        found = (
            frame.select(column_prefix(pl.col(f"_{field.index}")).unique().drop_nulls()).to_series().sort().to_list()
        )
        if self._prefix is None and found:
            self._prefix = found[0]
        other = next((prefix for prefix in found if prefix != self._prefix), None)
        if other is not None:
            raise UserError(
                f"{self._path}: columns are named {self._prefix}N and {other}N: number the array's columns from 0 "
                "without gaps, since the same N would be taken for one column"
            )
