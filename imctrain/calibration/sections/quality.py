"""How well the fit describes the conversions."""

from __future__ import annotations

from imctrain.calibration.fit.bootstrap import LEVEL
from imctrain.calibration.schema import Confidence, Fit, Tails
from imctrain.calibration.sections.bounds import fraction_interval, interval, rounded
from imctrain.calibration.sections.evidence import Evidence


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
