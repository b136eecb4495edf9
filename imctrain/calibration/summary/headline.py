"""Where a calibration comes from and what was measured, in a line each."""

from __future__ import annotations

from imctrain.calibration.schema import Calibration


def origin(c: Calibration) -> str:
    """Where a calibration comes from, in one line."""
    others = _from_elsewhere(c)
    if c.source is not None:
        return f"{c.provenance}: {c.source.rows:,} conversions in {c.source.file}, {c.source.date}{others}"
    return (f"{c.provenance}, not measured" if c.provenance == "assumed" else c.provenance) + others


def _from_elsewhere(c: Calibration) -> str:
    """ "; published: array, adc.bits": the figures whose provenance is not the file's; "" where there are none."""
    named: dict[str, list[str]] = {}
    for name, provenance in (c.provenance_of or {}).items():
        named.setdefault(provenance, []).append(name)
    return "".join(f"; {provenance}: {', '.join(names)}" for provenance, names in sorted(named.items()))


def geometry(c: Calibration) -> str:
    """Array and converter in one line."""
    array, adc = c.array, c.adc
    return (
        f"{array.rows} rows x {array.columns} column{'s' if array.columns > 1 else ''}, "
        f"{array.input_bits}-b inputs, {array.cell.upper()} cells; "
        f"{adc.bits}-b {adc.polarity} ADC"
    )
