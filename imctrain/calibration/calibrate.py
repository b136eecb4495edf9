"""From a file of measured conversions to a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from imctrain.calibration.faults.bits import bit_faults
from imctrain.calibration.faults.find import find_faults
from imctrain.calibration.fit.bootstrap import DEFAULT_REPLICATES, bootstrap
from imctrain.calibration.fit.chip_fit import ChipFit, fit_chip
from imctrain.calibration.fit.column_curves import column_curves
from imctrain.calibration.fit.residuals import residuals
from imctrain.calibration.judging.refusals import refuse_bits, refuse_counts, refuse_fit, refuse_residuals, refuse_volts
from imctrain.calibration.judging.warnings import warnings_of
from imctrain.calibration.options import require
from imctrain.calibration.progress import Progress, untold
from imctrain.calibration.reading.conversions import Conversions, FileFacts
from imctrain.calibration.reading.how import AS_THE_FILE_SAYS, HowToRead
from imctrain.calibration.reading.reducer import MAX_CELLS, Reducer
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.schema import Calibration, Source
from imctrain.calibration.schema.consistency import refuse_inconsistent
from imctrain.calibration.sections.assemble import assemble
from imctrain.calibration.sections.evidence import Evidence
from imctrain.errors import UserError

LEAST_REPLICATES, MOST_REPLICATES = 20, 2000


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        name: of the calibration. notes: what to say about it.
        assumed: the conversions are not a chip's (a circuit simulation's, say): nothing may say `measured`.
        die: whose columns go into the file; None: those of the first one.
        single_column: go on with a file of one column. how: what is said of the file's layout and rows.
        replicates: of the bootstrap. seed: of its draws.
    """

    name: str
    notes: str = ""
    assumed: bool = False
    die: str | None = None
    single_column: bool = False
    replicates: int = DEFAULT_REPLICATES
    seed: int = 0
    max_cells: int = MAX_CELLS
    how: HowToRead = AS_THE_FILE_SAYS

    def __post_init__(self) -> None:
        possible = LEAST_REPLICATES <= self.replicates <= MOST_REPLICATES
        require(possible, "--bootstrap", self.replicates, f"{LEAST_REPLICATES} to {MOST_REPLICATES}")


def calibrate_file(
    path: Path,
    setup: MeasurementSetup,
    request: Request,
    reading: Progress | None = None,
    fitting: Progress | None = None,
) -> tuple[Calibration, Evidence]:
    """Read, fit, and summarise.

    Args:
        reading, fitting: told the fraction done.

    Raises:
        UserError: the file cannot be read or nothing sensible can be fitted to it; one line that says what to do.
    """
    conversions = Conversions(path, setup, reading, request.how)
    reducer = Reducer(setup, request.max_cells, request.seed)
    for batch in conversions.batches():
        reducer.add(batch)
    histogram = reducer.finish()
    facts = conversions.facts
    tell = fitting or untold
    where = f"{path}: rows 1 to {facts.rows}"
    refuse_counts(histogram, where, request.single_column)
    bits = bit_faults(histogram, setup)
    try:
        fit = fit_chip(histogram, setup, where, lambda fraction: tell(0.6 * fraction))
        if not facts.range_unit_told:
            refuse_volts(fit, where, facts.range_guess)
        refuse_fit(fit, where)
        found = residuals(fit)
        refuse_residuals(found.r2, where)
    except UserError:
        # A fit that fails for a broken bit would be told as something that it is not.
        refuse_bits(bits, where)
        raise
    tell(0.7)
    replicates = bootstrap(fit, request.replicates, request.seed)
    curves = column_curves(fit, request.replicates, request.seed)
    tell(0.9)
    faults = find_faults(fit, replicates, curves, bits)
    evidence = Evidence(fit, replicates, found, curves, _die(fit, request.die), faults, facts.notes)
    tell(1.0)
    provenance, source, notes = _origin(path, facts, request)
    calibration = assemble(
        evidence,
        name=request.name,
        provenance=provenance,
        notes=notes,
        source=source,
        warnings=warnings_of(evidence),
    )
    try:
        refuse_inconsistent(calibration, f"{where}: the fit")
    except UserError:
        refuse_bits(bits, where)
        raise
    return calibration, evidence


def _die(fit: ChipFit, wanted: str | None) -> str:
    dies = fit.transfer.dies
    if wanted is None:
        return dies[0]
    if wanted not in dies:
        there = ", ".join(dies[:20]) if dies != [""] else "no column `die`"
        raise UserError(f"--die {wanted} is not in the file: it has {there}")
    return wanted


def _origin(
    path: Path, facts: FileFacts, request: Request
) -> tuple[Literal["measured", "assumed"], Source | None, str]:
    """Provenance, source and notes. What was drawn by the virtual chip, or said to be no chip's, is not measured."""
    if facts.simulated is None and not request.assumed:
        date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
        return "measured", Source(file=facts.name, sha256=facts.sha256, rows=facts.rows, date=date), request.notes
    origin = f"fitted to {facts.rows} conversions in {facts.name}, SHA-256 {facts.sha256}"
    if facts.simulated is not None:
        note = f"Not a measurement: {origin}, drawn by imctrain's virtual chip, {facts.simulated}."
    else:
        note = f"Not a measurement of a chip: {origin}."
    return "assumed", None, f"{note} {request.notes}".strip()
