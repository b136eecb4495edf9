"""From a fit to the calibration file: every field that the measurements support."""

from __future__ import annotations

from typing import Literal

from imctrain.calibration.schema import Adc, Array, Calibration, Source
from imctrain.calibration.sections.bounds import rounded
from imctrain.calibration.sections.columns import columns_of, spread_of
from imctrain.calibration.sections.conditions import dependence_of
from imctrain.calibration.sections.dies import dies_of
from imctrain.calibration.sections.dnl import dnl_of
from imctrain.calibration.sections.evidence import Evidence
from imctrain.calibration.sections.inl import inl_of
from imctrain.calibration.sections.noise import noise_of, ranges_of
from imctrain.calibration.sections.quality import fit_of

DEFAULT_ROWS, DEFAULT_INPUT_BITS = 1152, 5


def assemble(
    e: Evidence,
    *,
    name: str,
    provenance: Literal["measured", "published", "assumed"],
    notes: str,
    source: Source | None,
    warnings: tuple[str, ...],
) -> Calibration:
    """The calibration file of a fit."""
    setup, h = e.fit.transfer.setup, e.fit.transfer.histogram
    dies = dies_of(e)
    levels = setup.levels
    return Calibration(
        name=name,
        provenance=provenance,
        notes=notes,
        source=source,
        array=Array(
            rows=setup.rows or DEFAULT_ROWS,
            columns=setup.columns or int(h.column.max()) + 1,
            input_bits=DEFAULT_INPUT_BITS if levels is None else levels.bit_length(),
            cell=setup.cell,
        ),
        adc=Adc(bits=setup.bits, range=rounded(h.range.max()), polarity=setup.polarity),
        noise=noise_of(e),
        columns=columns_of(e),
        spread=spread_of(e),
        inl=inl_of(e),
        dnl=dnl_of(e),
        fit=fit_of(e, warnings),
        ranges=ranges_of(e),
        temperature=dependence_of(e, "temperature"),
        supply=dependence_of(e, "supply"),
        dies=None if dies is None else dies[0],
        die_spread=None if dies is None else dies[1],
    )
