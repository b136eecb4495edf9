"""Measured conversions, read in a stream and checked row by row.

Every batch is a polars DataFrame with `column` (int64), `v` (float64, a fraction of full scale), `code` (int64, the
setup's zero code subtracted), `range` (float64, R) and, where the file has them, `die` (string), `temperature_c`,
`vdd_v`, `time_s` and `repeat` (float64). Rows that cannot be right are counted, and are an error unless they may
be left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.progress import Progress, untold
from imctrain.calibration.reading.beside import Beside
from imctrain.calibration.reading.checks import full_scale, row_checks
from imctrain.calibration.reading.copies import Copies
from imctrain.calibration.reading.described import meaning_in_words
from imctrain.calibration.reading.diagnosis import look
from imctrain.calibration.reading.how import AS_THE_FILE_SAYS, HowToRead
from imctrain.calibration.reading.mark import Mark
from imctrain.calibration.reading.meaning import Meaning
from imctrain.calibration.reading.open_table import open_table
from imctrain.calibration.reading.plausible import Plausible
from imctrain.calibration.reading.roles import Roles, find_roles, refuse_roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.symbol import range_by_values
from imctrain.calibration.reading.table import Schema
from imctrain.calibration.reading.tally import Tally, rows_in_words
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

MOST_SKIPPED = 0.2
"""Share of wrong rows up to which leaving them out is worth a word: beyond it the file is something else."""


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file once it has been read to its end.

    Attributes:
        rows: conversions in it. left_out: those that were not used.
        simulated: the virtual chip that drew it, in words; None for a file without its mark.
        notes: what was guessed, passed over or left out, a line each.
        range_unit_told: someone said what ranges are in. range_guess: the header that was taken for the range, "" where
            its name says it.
    """

    name: str
    sha256: str
    rows: int
    left_out: int
    simulated: str | None
    notes: tuple[str, ...]
    range_unit_told: bool = False
    range_guess: str = ""


class Conversions:
    """The conversions in `path`; iterate once over `batches`, then ask for `facts`.

    Args:
        how: what is said of the file, and which rows may be left out.

    Attributes:
        table: the file. roles: what its columns stand for. meaning: how their values are made.

    Raises:
        UserError: no such file, not a table, columns missing or given twice.
    """

    def __init__(
        self, path: Path, setup: MeasurementSetup, progress: Progress | None = None, how: HowToRead = AS_THE_FILE_SAYS
    ) -> None:
        self.path, self.setup, self.how = path, setup, how
        self._progress = progress or untold
        self.table = open_table(path, self.how)
        self.roles = _roles(path, self.table.header.names, self.table.header.units, setup, self.how)
        self._beside, self._copies = Beside(self.roles, self.how.ignore), Copies(setup)
        self.meaning = Meaning(path, self.table, self.roles, setup, self.how, self._beside.places)
        self._mark = Mark(self.roles, self.table.sample())
        self._plausible = Plausible(setup, self.roles)
        self.tally = Tally(self.table)

    @property
    def facts(self) -> FileFacts:
        """Of the file, once all batches were taken."""
        simulated = self.table.simulated or self._mark.in_words
        left_out = self.tally.wrong + self.tally.missing
        field = self.roles.fields.get("range")
        told = "range" in dict(self.how.units) or (field is not None and field.unit_text != "")
        guess = field.header if field is not None and field.rank == 2 else ""
        name, digest, rows = self.path.name, _sha256_of(self.path), self.tally.rows
        return FileFacts(name, digest, rows, left_out, simulated, self.notes, told, guess)

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value of every role so far."""
        return self._plausible.spans

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed, passed over or left out so far."""
        tally = self.tally
        told: list[str] = []
        if tally.missing and not tally.wrong and self.how.leave_out_missing:
            told.append(f"{tally.missing} rows lack a value and were left out (--leave-out-missing)")
        elif tally.missing or tally.wrong:
            told.append(f"{rows_in_words(tally.missing + tally.wrong, tally.rows)} were left out: {tally.in_words()}")
        told += [*self.table.notes, *meaning_in_words(self.meaning), *self._plausible.notes()]
        told += self._mark.notes if self.table.simulated is None else []
        told += [
            f"{header!r} is not used; it may be `{role}` (--field {role}={header!r})"
            for header, role in self.roles.could_be
        ]
        told += [*self._beside.notes(), *self._copies.notes()]
        return tuple(told)

    def batches(self) -> Iterator[pl.DataFrame]:
        """Checked batches, in file order. Raises UserError naming the first row that is wrong, with a count of all."""
        schema: Schema = {**self.meaning.schema, **self._mark.schema}
        first_values: pl.DataFrame | None = None
        frames = self.table.frames(schema, self._beside.places)
        for frame in frames:
            self._mark.look_at(frame)
            values = self.meaning.values(frame)
            first_values = values if first_values is None else first_values
            checks = row_checks(values, self.setup, self.meaning.form != "signed")
            sound = self.tally.sound(values, checks, self._needed(values))
            if self.tally.hopeless and self.tally.wrong > self.how.skip_bad * self.tally.rows:
                self._refuse(first_values, next(frames, None) is not None)
            self._plausible.look_at(sound, self.table)
            if sound.height:
                self._beside.look_at(sound)
                batch = self._canonical(sound)
                self._copies.look_at(batch)
                yield batch
            self._progress(self.table.fraction)
        if self.tally.rows == 0 or first_values is None:
            raise self.table.error(1, "there is only a header", "the file needs one row per conversion")
        self._refuse(first_values, False)
        self._plausible.refuse(self.path, self.table)

    def _needed(self, values: pl.DataFrame) -> list[str]:
        told = ["column", "ideal", "dot", "code", "range", "die", "temperature_c", "vdd_v", "time_s", "repeat"]
        return [name for name in told if name in values.columns]

    def _refuse(self, first_values: pl.DataFrame, stopped: bool) -> None:
        """Raises UserError where more rows are wrong than may be left out."""
        tally, how = self.tally, self.how
        bad = tally.wrong + tally.missing
        allowed = how.skip_bad * tally.rows
        if bad < tally.rows and tally.wrong + (0 if how.leave_out_missing else tally.missing) <= allowed:
            return
        first = tally.first or tally.first_missing
        if first is None:
            return
        looks = look(first_values, self.setup) if tally.first is not None else ""
        fix = looks if looks and first.role in ("code", *self.roles.inputs) else first.fix
        told = str(self.table.error(first.row, first.found, fix, first.line))
        if tally.first is None:
            raise UserError(f"{told}; {tally.missing} of {tally.rows} rows lack a value{self._more_than()}")
        if bad > 1 or how.skip_bad:
            rows = rows_in_words(bad, tally.rows, stopped)
            told += f"; {rows} are wrong: {tally.in_words()}{self._more_than()}"
        if not how.skip_bad and bad <= MOST_SKIPPED * tally.rows:
            told += "; --skip-bad FRACTION leaves such rows out"
        raise UserError(told)

    def _more_than(self) -> str:
        return f"; that is more than --skip-bad {self.how.skip_bad:g} allows" if self.how.skip_bad else ""

    def _canonical(self, frame: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        names, setup = frame.columns, self.setup
        entrance = "ideal" if "ideal" in names else "dot"
        return frame.select(
            pl.col("column").cast(pl.Int64),
            (pl.col(entrance) / full_scale(names, setup)).clip(setup.lowest_v, 1.0).alias("v"),
            (pl.col("code") - setup.zero_code).cast(pl.Int64).alias("code"),
            pl.col("range") if "range" in names else pl.lit(setup.range).alias("range"),
            *(name for name in ("die", "temperature_c", "vdd_v", "time_s", "repeat") if name in names),
        )


def _roles(
    path: Path, names: tuple[str, ...], units: tuple[str, ...], setup: MeasurementSetup, how: HowToRead
) -> Roles:
    """What the columns stand for. Raises UserError for what is no table of conversions."""
    roles = find_roles(names, how, units)
    where = f"{path}: the header (row 0)"
    refuse_roles(where, roles, how)
    ranged = None if "range" in roles.fields else range_by_values(path, roles, how)
    roles = roles if ranged is None else find_roles(names, how, units, ranged)
    if roles.inputs == ["dot"] and (setup.rows is None or setup.levels is None):
        raise UserError(f"{where} has dot: say what full scale is with --rows N and --levels L (such as 1152 and 16)")
    return roles


def _sha256_of(path: Path) -> str:
    """Of the file as it lies on disk, compressed or not."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
