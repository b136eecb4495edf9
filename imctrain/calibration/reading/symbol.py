"""A column that the page's own symbol names, R: the reference range where its values can be ranges."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.names import RANGE_BY_VALUES
from imctrain.calibration.reading.numbers import number
from imctrain.calibration.reading.open_table import open_table
from imctrain.calibration.reading.roles import Roles

MOST_RANGES = 64
"""Different reference ranges in a file: more are a quantity that varies."""


def range_by_values(path: Path, roles: Roles, how: HowToRead) -> str | None:
    """The header that is the reference range by its values, all of them above 0 and at most 1; None where none is.

    The file is read for that column alone, to its end: a file that is sorted by ranges begins with many equal ones.
    """
    import polars as pl

    headers = {header for header, role in roles.could_be if role == "range"}
    suspects = [
        place
        for place, name in enumerate(roles.names)
        if name.header.strip() in headers and name.base in RANGE_BY_VALUES and not name.unit
    ]
    if len(suspects) != 1 or "range" in dict(how.units):
        return None
    (place,) = suspects
    table = open_table(path, how)
    found: set[float] = set()
    for frame in table.frames({place: pl.Float64}):
        values = frame[f"_{place}"]
        if values.dtype == pl.String:
            values = frame.select(number(pl.col(f"_{place}"), table.commas)).to_series()
        found |= set(values.drop_nulls().unique().to_list())
        if values.has_nulls() or len(found) > MOST_RANGES or any(not 0.0 < value <= 1.0 for value in found):
            return None
    return roles.names[place].header.strip() if found else None
