"""What the reader of a calibration must be told."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.fit.column_curves import FEWEST_ROWS_A_SEGMENT
from imctrain.calibration.fit.design import FEWEST_LEVELS
from imctrain.calibration.judging.faults import faults_in_words
from imctrain.calibration.sections.assemble import DEFAULT_INPUT_BITS, DEFAULT_ROWS
from imctrain.calibration.sections.conditions import untold_of_conditions
from imctrain.calibration.sections.evidence import Evidence
from imctrain.calibration.sections.noise import noise_of, ranges_of

USUAL_GAIN = (0.85, 1.1)


def warnings_of(e: Evidence) -> tuple[str, ...]:
    """How the file was read, what the calibration does not know, and what is unusual about the chip."""
    return (*e.notes, *faults_in_words(e), *_unknown(e), *_unusual(e))


def _unknown(e: Evidence) -> list[str]:
    fit = e.fit
    transfer, h = fit.transfer, fit.transfer.histogram
    setup = transfer.setup
    told: list[str] = []
    guessed = []
    if setup.rows is None:
        guessed.append(f"rows = {DEFAULT_ROWS} (--rows)")
    if setup.columns is None:
        guessed.append(f"columns = {h.column.max() + 1}, the highest measured + 1 (--columns)")
    if setup.levels is None:
        guessed.append(f"input_bits = {DEFAULT_INPUT_BITS} (--levels)")
    if guessed:
        told.append("array geometry was not given and is assumed: " + ", ".join(guessed))
    if h.share < 1:
        told.append(
            f"too many different settings, inputs and codes to hold them all: one in {1 / h.share:g} conversions was "
            "used, drawn at random"
        )
    if not fit.noise.split:
        told.append(
            f"one reference range only ({h.range[0]:g}): the noise before the range and that of the converter "
            "cannot be told apart"
        )
        if h.range[0] < 1:
            told.append(
                "the noise in LSB at R = 1 takes all of it as present before the range; what is the converter's would "
                f"be up to {1 / h.range[0]:.3g} times that"
            )
    if int((fit.usable & ~fit.outliers).sum()) < 2:
        told.append("one column only: the spread between columns is not known and set to 0")
    if transfer.knots.size == 0:
        told.append(f"fewer than {FEWEST_LEVELS} different inputs: no INL was fitted")
    elif e.curves is None:
        told.append(
            f"too few conversions a column (or inputs) for what single columns deviate from the shared INL: "
            f"{FEWEST_ROWS_A_SEGMENT} in each of several parts of the range are needed"
        )
    for name, values in (("temperature_c", h.temperature), ("vdd_v", h.supply)):
        if values is not None and np.ptp(values) == 0:
            told.append(f"{name} is {values[0]:g} throughout: no dependence on it was fitted")
    told.extend(untold_of_conditions(e))
    dies = transfer.dies
    if len(dies) > 1:
        told.append(f"of {len(dies)} dies, `columns` is that of die {e.die} (choose another with --die)")
    missing = transfer.column[fit.unmeasured & (transfer.die == e.die)]
    if missing.size:
        told.append(f"too few conversions or inputs to fit {_columns(missing)}")
    if not fit.converged:
        told.append("the fit did not settle: treat its figures with care")
    return told


def _unusual(e: Evidence) -> list[str]:
    fit, residuals = e.fit, e.residuals
    transfer = fit.transfer
    of_die = transfer.die == e.die
    told: list[str] = []
    sigma = noise_of(e).sigma_lsb
    if sigma.value == 0:
        told.append(f"the noise is below what codes resolve, {sigma.high:.2g} LSB, and given as 0")
    elif sigma.high - sigma.low > 0.2 * sigma.value:
        told.append("the noise is uncertain by more than 10 %: too few conversions lie near a code transition")
    if e.temporal_share < 1 and e.curves is not None:
        told.append(
            f"single columns deviate from the shared INL by {e.curves.rms:.3g} LSB rms; that was taken off the noise"
        )
    if not residuals.counts.any():
        told.append("the noise is so wide that every conversion may clip: nothing is known about its tails")
    kurtosis = residuals.kurtosis
    if abs(kurtosis - 3) > max(0.3, 3 * residuals.kurtosis_error) and sigma.value > 0:
        tails = "heavier" if kurtosis > 3 else "lighter"
        told.append(f"the noise has {tails} tails than a Gaussian: kurtosis {kurtosis:.2f}")
    if residuals.bad > 1e-3:
        told.append(f"{residuals.bad:.2%} of the rows have a code unrelated to their input and were left out")
    clipped = residuals.clipped / max(residuals.rows, 1)
    if clipped > 0.2:
        told.append(f"{clipped:.0%} of the codes are clipped: inputs closer to 0 would tell more")
    gain = float(np.median(fit.parameters.gain[fit.usable]))
    if not USUAL_GAIN[0] <= gain <= USUAL_GAIN[1]:
        told.append(
            f"the columns' median gain is {gain:.3g} of nominal: are --rows, --levels, --range and --full-scale right?"
        )
    if fit.noise.split:
        for measured in ranges_of(e):
            law = float(np.sqrt(fit.noise.array / measured.range**2 + fit.noise.adc)) * e.freedom
            if not measured.sigma_lsb.low * 0.9 <= law <= measured.sigma_lsb.high * 1.1:
                told.append(
                    f"noise at range {measured.range:g} is {measured.sigma_lsb.value:.3g} LSB where its two parts make "
                    f"{law:.3g}: it follows another law"
                )
    for flags, what in ((fit.dead, "do not follow their input"), (fit.outliers, "are unlike the others")):
        found = transfer.column[flags & of_die]
        if found.size:
            told.append(f"{_columns(found)} {what} and do not count for the spread")
    return told


def _columns(numbers: np.ndarray) -> str:
    shown = ", ".join(str(number) for number in numbers[:12])
    return f"columns {shown}" + (f" and {numbers.size - 12} more" if numbers.size > 12 else "")
