"""What is possible in every row and yet unlikely of a file as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.reading.checks import ROUNDING
from imctrain.calibration.reading.roles import Roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.reading.table import LINE, SHOWN, Table
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

HOTTEST = 200.0
"""Degrees Celsius above which a temperature is more likely in kelvin."""
CUT_FACTOR = 8.0
"""A last row without an end of line is told of where its code is off by so many times what half of the rows are."""


class Plausible:
    """Looks at every batch; tells and refuses at the end.

    Attributes:
        spans: least and greatest value of every role.
    """

    def __init__(self, setup: MeasurementSetup, roles: Roles) -> None:
        self._setup, self._roles = setup, roles
        self.spans: dict[str, tuple[float, float]] = {}
        self._clipped = 0
        self._first_clipped = ""
        self._last: pl.DataFrame | None = None

    def look_at(self, values: pl.DataFrame, table: Table) -> None:
        """A batch of rows that are right one by one."""
        import polars as pl

        if not values.height:
            return
        roles = [n for n in values.columns if values.schema[n] == pl.Float64 and not n.startswith((SHOWN, "_"))]
        low, high = (values.select(pl.col(roles).min()).row(0), values.select(pl.col(roles).max()).row(0))
        for name, least, most in zip(roles, low, high, strict=True):
            before = self.spans.get(name, (least, most))
            self.spans[name] = (min(before[0], least), max(before[1], most))
        self._count_clipped(values, table)
        self._last = values

    def notes(self) -> Iterator[str]:
        """Once all was read."""
        if self._clipped:
            what = "input lies" if self._clipped == 1 else "inputs lie"
            yield (
                f"{self._clipped} {what} a hair beyond full scale ({self._first_clipped}), less than a tenth of an "
                "LSB, and were clipped to it"
            )
        column = self.spans.get("column")
        if column is not None and column[0] == 1.0 and column[1] > 1.0:
            yield (
                f"columns run from 1 to {column[1]:.0f} and none is 0: are they counted from 1 (--first-column 1)? "
                "They are taken as they stand"
            )
        if self._last is not None and (told := self._cut_value()):
            yield told

    def refuse(self, path: Path, table: Table) -> None:
        """Raises UserError for a file whose numbers have an unlikely unit."""
        if not table.last_may_be_cut:
            self._last = None
        temperature = self.spans.get("temperature_c")
        field = self._roles.fields.get("temperature_c")
        if temperature is not None and field is not None and temperature[1] > HOTTEST and not field.unit_text:
            raise UserError(
                f"{path}: {field.header} goes from {temperature[0]:g} to {temperature[1]:g}, which looks like kelvin: "
                "give --unit temperature_c=K, or --unit temperature_c=C if it is right"
            )

    def _count_clipped(self, values: pl.DataFrame, table: Table) -> None:
        import polars as pl

        if "ideal" not in values.columns:
            return
        low, high = self._setup.lowest_v - ROUNDING, 1 + ROUNDING
        if self.spans["ideal"][0] >= low and self.spans["ideal"][1] <= high:
            return
        beyond = values.filter(~pl.col("ideal").is_between(low, high))
        if beyond.height and not self._clipped:
            shown = beyond[SHOWN + "ideal" if SHOWN + "ideal" in beyond.columns else "ideal"][0]
            place = f"line {beyond[LINE][0]}: " if LINE in beyond.columns else ""
            self._first_clipped = f"{place}{shown if isinstance(shown, str) else repr(float(shown))}"
        self._clipped += beyond.height

    def _cut_value(self) -> str:
        """What is told of a last code that does not follow its input, in a file whose last line has no end."""
        import polars as pl

        values = self._last
        if values is None or "ideal" not in values.columns or values.height < 20:
            return ""
        reference = pl.col("range") if "range" in values.columns else pl.lit(self._setup.range)
        nominal = pl.col("ideal") * self._setup.codes_per_v / reference
        setup = self._setup
        off = values.select(
            (pl.col("code") - setup.zero_code - nominal.clip(setup.lowest, setup.highest)).abs()
        ).to_series()
        usual = max(float(np.median(off.to_numpy())), 1.0)
        if off[-1] <= CUT_FACTOR * usual:
            return ""
        code = values["code"][-1]
        return (
            f"the last line has no end and its code ({code:.0f}) does not follow its input: it may be cut off, and the "
            "file with it"
        )
