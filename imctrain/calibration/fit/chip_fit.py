"""The maximum-likelihood fit of a chip to its conversions.

All columns are brought to the optimum. Then those that are unlike the others are set apart, the fit goes on without
them in what columns share, and every column gets its own noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imctrain.calibration.arrays import Flags, Floats
from imctrain.calibration.fit.design import design
from imctrain.calibration.fit.likelihood import Scores
from imctrain.calibration.fit.newton import Arrow, newton_step
from imctrain.calibration.fit.noise_law import NoiseLaw, starting_law
from imctrain.calibration.fit.optimum import State, iterate, scores_at, with_own_noise
from imctrain.calibration.fit.outliers import unlike_others
from imctrain.calibration.fit.start import FEWEST_ROWS, starting_lines
from imctrain.calibration.fit.transfer import Parameters, Transfer
from imctrain.calibration.progress import Progress, untold
from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

SWAPPED = "are columns of the file swapped?"


@dataclass(frozen=True)
class ChipFit:
    """A fitted chip.

    Attributes:
        transfer: the design. parameters: of the mean. noise: of the noise, with every unit's own.
        bad: fraction of rows that mean nothing.
        scores: at the optimum, units sharing one noise. own: there, every unit with its own noise.
        information: of the mean's parameters, every unit with its own noise.
        dead: units whose codes do not follow the input. unmeasured: units with too few rows or inputs.
        outliers: units unlike the others. All [U].
        converged: whether the tolerance was reached.
    """

    transfer: Transfer
    parameters: Parameters
    noise: NoiseLaw
    bad: float
    scores: Scores
    own: Scores
    information: Arrow
    dead: Flags
    unmeasured: Flags
    outliers: Flags
    converged: bool

    @property
    def usable(self) -> Flags:
        """Units that are fitted, [U]."""
        return ~self.dead & ~self.unmeasured

    def mean(self) -> Floats:
        """Of each bin before rounding, codes, [G]."""
        return self.transfer.mean(self.parameters)


def fit_chip(histogram: Histogram, setup: MeasurementSetup, where: str, progress: Progress | None = None) -> ChipFit:
    """Fit; `progress` is told roughly how far it is.

    Raises:
        UserError: no column can be fitted; `where` names the rows.
    """
    tell = progress or untold
    transfer = design(histogram, setup)
    start = starting_lines(transfer)
    usable = ~start.dead & ~start.unmeasured
    if not usable.any():
        if start.dead.any():
            raise UserError(f"{where}: code follows the input in no column: {SWAPPED}")
        raise UserError(
            f"{where}: no column has enough conversions at different inputs that do not clip: measure {FEWEST_ROWS} "
            "or more a column"
        )
    transfer = transfer.with_informative(usable.astype(np.float64))
    parameters = replace(transfer.start(), gain=start.gain, offset=start.offset)
    noise = replace(starting_law(transfer, start.variance_of_range), unit=start.noise)
    strength = 1.0
    state = State(parameters, noise, 0.01, strength, scores_at(transfer, parameters, noise, 0.01))

    state, converged = iterate(transfer, state, lambda share: tell(0.5 * share))
    outliers = unlike_others(transfer, state, usable)
    if outliers.any() or (start.noise != 1.0).any():
        noise = replace(state.noise, unit=np.where(outliers, state.noise.unit, 1.0))
        state = replace(state, noise=noise, scores=scores_at(transfer, state.parameters, noise, state.bad))
        transfer = transfer.with_informative((usable & ~outliers).astype(np.float64))
        state, converged = iterate(transfer, state, lambda share: tell(0.5 + 0.3 * share))
    shared = state.noise
    state = with_own_noise(transfer, state, usable)
    tell(1.0)
    return ChipFit(
        transfer,
        state.parameters,
        state.noise,
        state.bad,
        scores_at(transfer, state.parameters, shared, state.bad),
        state.scores,
        newton_step(transfer, state.parameters, state.scores, state.strength)[2],
        start.dead,
        start.unmeasured,
        outliers,
        converged,
    )
