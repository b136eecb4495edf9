"""All that was fitted to one file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.calibration.fit.bootstrap import Replicates
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.column_curves import ColumnCurves
from imctrain.calibration.fit.residuals import Residuals


@dataclass(frozen=True)
class Evidence:
    """All that was fitted to one file.

    Attributes:
        die: the die whose columns go into the file; "" where the file has none.
    """

    fit: ChipFit
    replicates: Replicates
    residuals: Residuals
    curves: ColumnCurves | None
    die: str

    @property
    def temporal_share(self) -> float:
        """Temporal noise over fitted noise at R = 1: single columns' curves look like noise to the fit."""
        if self.curves is None or self.curves.low == 0.0:
            return 1.0
        return float(np.sqrt(max(1.0 - (self.curves.rms / self.fit.noise.total) ** 2, 0.01)))

    @property
    def freedom(self) -> float:
        """Corrects a maximum-likelihood sigma for the parameters fitted to the same conversions."""
        fit = self.fit
        parameters = 2 * int(fit.usable.sum()) + fit.parameters.inl.size + fit.parameters.slopes.size
        rows = fit.transfer.histogram.rows
        return float(np.sqrt(rows / max(rows - parameters, 1)))
