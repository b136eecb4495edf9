"""How codes are written and units are used, from what the file and its reader say; refused where that does not do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from imctrain.calibration.reading.codes import CodeForm
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.numbers import Base, bare_hex, base_of, column_prefix
from imctrain.calibration.reading.roles import Roles
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

OFTEN = 0.1
"""Share of rows from which on a prefix of columns is no slip."""


def base_of_file(path: Path, roles: Roles, how: HowToRead, texts: list[str]) -> Base:
    """How codes are written, of which `texts` are a sample. Raises UserError where an option has to tell."""
    if roles.series is not None and roles.series.role == "bit":
        return "decimal"
    field = roles.fields.get("code")
    if how.base is not None:
        return how.base
    if field is not None and field.unit.of in ("hex", "binary"):
        return "hex" if field.unit.of == "hex" else "binary"
    found = base_of(texts)
    if found is None and bare_hex(texts):
        shown = next(text.strip() for text in texts if any(c.isalpha() for c in text))
        raise UserError(
            f"{path}: codes look hexadecimal (such as {shown!r}) and have no prefix like 0x: give --codes hex"
        )
    return found or "decimal"


def form_that_is_told(path: Path, roles: Roles, setup: MeasurementSetup, how: HowToRead, base: Base) -> CodeForm | None:
    """What the bits of codes mean; None for patterns of which nothing is said. Raises UserError for contradictions."""
    bits = roles.series is not None and roles.series.role == "bit"
    if bits and roles.series is not None and len(roles.series.numbers) != setup.bits:
        count = len(roles.series.numbers)
        raise UserError(f"{path}: codes have {count} bits in as many columns: give --bits {count}")
    if how.form is not None:
        if how.form != "signed" and (setup.polarity == "unipolar" or setup.zero_code):
            other = "--polarity unipolar" if setup.polarity == "unipolar" else f"--zero-code {setup.zero_code}"
            raise UserError(f"--codes {how.form} is of bipolar codes around 0: it does not go with {other}")
        return how.form
    patterns = (bits or base != "decimal") and setup.polarity == "bipolar" and not setup.zero_code
    return None if patterns else "signed"


def prefix_of_columns(path: Path, names: list[str]) -> str:
    """What stands before the numbers of named columns (`adc` of ADC6), "" for bare numbers; `names` are a sample.

    Raises:
        UserError: two prefixes, under which one number is two columns.
    """
    import polars as pl

    found = pl.DataFrame({"name": names}, schema={"name": pl.String}).select(
        column_prefix(pl.col("name")).fill_null("")
    )
    counts = Counter(found.to_series().to_list()).most_common()
    if not counts:
        return ""
    often = [prefix for prefix, count in counts if count >= OFTEN * len(names)]
    if len(often) > 1:
        shown = " and ".join(f"{prefix}N" for prefix in sorted(often))
        raise UserError(
            f"{path}: columns are named {shown}: number the array's columns from 0 without gaps, since the same N "
            "would be taken for one column"
        )
    return counts[0][0]


def refuse_units(path: Path, roles: Roles, setup: MeasurementSetup, how: HowToRead) -> None:
    """Raises UserError for units that cannot be used as they stand."""
    for role, field in roles.fields.items():
        unit, header = field.unit, field.header
        if unit.of == "volts" and how.full_scale is None:
            raise UserError(
                f"{path}: {header!r} is in {field.unit_text}: give full scale with --full-scale VOLTS, "
                f"or --unit {role}=FS where it is a fraction of full scale"
            )
        if unit.of == "analog":
            raise UserError(f"{path}: {header!r} is in {field.unit_text}: give the codes of the ADC")
        if unit.of == "lsb" and role == "ideal" and ("range" in roles.fields or setup.range != 1):
            raise UserError(f"{path}: {header!r} is in LSB and there are reference ranges: give v instead")
