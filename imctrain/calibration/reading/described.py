"""What was understood of a file's columns, in words."""

from __future__ import annotations

from collections.abc import Iterator

from imctrain.calibration.reading.meaning import Meaning
from imctrain.calibration.reading.roles import Roles, Series


def meaning_in_words(meaning: Meaning) -> Iterator[str]:
    """What was understood of names, units and codes that is not simply the page's own."""
    roles, told = meaning.roles, meaning.how
    for role, field in roles.fields.items():
        if field.rank == 2:
            yield f"{field.header!r} is taken as `{role}` (--field {role}=HEADER, or --ignore {field.header!r})"
        unit = meaning.unit(role, field)
        if not unit.plain:
            way = f"; full scale is {told.full_scale:g} V" if unit.of == "volts" else ""
            yield f"{field.header!r} is in {field.unit_text or 'V'}{way} (--unit {role}=UNIT)"
    for header in roles.unknown_units:
        yield f"the unit of {header!r} is not known and taken as the usual one (--unit)"
    if meaning.prefix:
        yield f"columns are named: {meaning.prefix!r} and a number, which is taken as the column's"
    if roles.series is not None:
        yield _series_in_words(roles.series, roles)
    if meaning.base != "decimal":
        yield f"codes are {'hexadecimal' if meaning.base == 'hex' else 'binary'} (--codes)"
    if meaning.form is not None and meaning.form != "signed":
        words = {"twos-complement": "two's complement", "offset-binary": "offset binary"}[meaning.form]
        yield f"codes are read as {words} of {meaning.setup.bits} bits{' (--codes)' if meaning.form_guessed else ''}"
    if told.first_column:
        yield f"columns count from {told.first_column} in the file and from 0 here (--first-column)"


def _series_in_words(series: Series, roles: Roles) -> str:
    first, last = (f"{roles.names[series.indices[i]].header.strip()!r}" for i in (0, -1))
    if series.role == "bit":
        return f"codes are put together from bits {first} to {last}, of which {first} counts least"
    what = "columns of the array" if series.role == "column" else "repeats of one conversion"
    return f"a wide table: {first} to {last} hold codes of {len(series.numbers)} {what} (--ignore leaves one out)"
