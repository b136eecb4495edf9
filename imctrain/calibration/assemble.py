"""From a fit to the calibration file: every field that the measurements support."""

from __future__ import annotations

from typing import Literal

import numpy as np

from imctrain.calibration.bootstrap import LEVEL, half_width
from imctrain.calibration.evidence import Evidence, fraction_interval, interval, rounded
from imctrain.calibration.histogram import Floats
from imctrain.calibration.schema import (
    Adc,
    Array,
    Calibration,
    Confidence,
    Estimate,
    Fit,
    Inl,
    Source,
    Tails,
)
from imctrain.calibration.summarise_columns import columns_of, dies_of, spread_of
from imctrain.calibration.summarise_noise import dependence_of, noise_of, ranges_of

DEFAULT_ROWS, DEFAULT_INPUT_BITS = 1152, 5


def inl_of(e: Evidence) -> Inl:
    """Knots that linear interpolation can do without are left out: the simulator's cost grows with them."""
    knots = e.fit.transfer.knots
    if knots.size == 0:
        return Inl()
    k = e.fit.parameters.inl.size
    value = np.pad(e.fit.parameters.inl, 1)
    half = np.pad(half_width(e.replicates.shared[:, :k]), 1)
    kept = _needed(knots, value, max(0.005, 0.25 * float(np.median(half))))
    rms = None
    if e.curves is not None:
        low, value_rms, high = (rounded(x) for x in (e.curves.low, e.curves.rms, e.curves.high))
        rms = Estimate(value=value_rms, low=low, high=high)
    return Inl(
        v=tuple(rounded(x) for x in knots[kept]),
        lsb=tuple(rounded(x) for x in value[kept]),
        low=tuple(rounded(x) for x in (value - half)[kept]),
        high=tuple(rounded(x) for x in (value + half)[kept]),
        column_rms_lsb=rms,
    )


def _needed(x: Floats, y: Floats, tolerance: float) -> list[int]:
    """Indices of the points that keep a polyline within `tolerance` (Douglas and Peucker)."""
    kept, spans = {0, x.size - 1}, [(0, x.size - 1)]
    while spans:
        first, last = spans.pop()
        inner = np.arange(first + 1, last)
        if inner.size == 0:
            continue
        distance = np.abs(y[inner] - np.interp(x[inner], x[[first, last]], y[[first, last]]))
        at = int(inner[np.argmax(distance)])
        if distance.max() > tolerance:
            kept.add(at)
            spans += [(first, at), (at, last)]
    return sorted(kept)


def fit_of(e: Evidence, warnings: tuple[str, ...]) -> Fit:
    """Diagnostics of the fit."""
    residuals, fit = e.residuals, e.fit
    of_die = fit.transfer.die == e.die
    half = 1.96 * residuals.kurtosis_error
    return Fit(
        r2=rounded(residuals.r2),
        residual_kurtosis=rounded(residuals.kurtosis),
        clipped_fraction=rounded(residuals.clipped / max(residuals.rows, 1)),
        rejected_rows=round(float(fit.scores.bad @ fit.usable[fit.transfer.unit])),
        warnings=warnings,
        residual_kurtosis_ci=interval(residuals.kurtosis, half),
        tails=Tails(
            beyond_4_sigma=rounded(residuals.beyond_4),
            beyond_4_sigma_gaussian=rounded(min(1.0, max(0.0, residuals.beyond_4_gaussian))),
            bad_row_fraction=rounded(residuals.bad),
            beyond_4_sigma_ci=fraction_interval(residuals.beyond_4, residuals.unclipped),
            bad_row_fraction_ci=fraction_interval(residuals.bad, residuals.unclipped),
        ),
        outlier_columns=tuple(int(c) for c in fit.transfer.column[of_die & fit.outliers]),
        dead_columns=tuple(int(c) for c in fit.transfer.column[of_die & fit.dead]),
        confidence=Confidence(
            level=LEVEL, method="bootstrap of conversions, normal intervals", replicates=e.replicates.count
        ),
    )


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
        fit=fit_of(e, warnings),
        ranges=ranges_of(e),
        temperature=dependence_of(e, "temperature"),
        supply=dependence_of(e, "supply"),
        dies=None if dies is None else dies[0],
        die_spread=None if dies is None else dies[1],
    )
