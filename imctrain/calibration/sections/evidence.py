"""All that was fitted to one file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.calibration.faults.find import Faults
from imctrain.calibration.faults.thresholds import Thresholds
from imctrain.calibration.fit.bootstrap import Replicates
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.column_curves import ColumnCurves
from imctrain.calibration.fit.residuals import Residuals


@dataclass(frozen=True)
class Evidence:
    """All that was fitted to one file.

    Attributes:
        die: the die whose columns go into the file; "" where the file has none.
        faults: what the converter does that the model has no figure for.
        notes: what was guessed, passed over or left out as the file was read.
    """

    fit: ChipFit
    replicates: Replicates
    residuals: Residuals
    curves: ColumnCurves | None
    die: str
    faults: Faults
    notes: tuple[str, ...] = ()

    @property
    def temporal_share(self) -> float:
        """Temporal noise over fitted noise at R = 1: single columns' curves and DNL look like noise to the fit."""
        variance = 1.0
        if self.curves is not None and self.curves.low > 0.0:
            variance = 1.0 - (self.curves.rms / self.fit.noise.total) ** 2
        if self.thresholds is not None:
            variance -= 1.0 - self.thresholds.noise**2
        return float(np.sqrt(np.clip(variance, 0.01, 1.0)))

    @property
    def thresholds(self) -> Thresholds | None:
        """The converter's DNL, where it is significant."""
        found = self.faults.thresholds
        return found if found is not None and found.significant else None

    @property
    def freedom(self) -> float:
        """Corrects a maximum-likelihood sigma for the parameters fitted to the same conversions."""
        fit = self.fit
        parameters = 2 * int(fit.usable.sum()) + fit.information.freedom
        rows = fit.transfer.histogram.rows
        return float(np.sqrt(rows / max(rows - parameters, 1)))
