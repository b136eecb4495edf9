"""The maximum-likelihood fit of a chip to its conversions.

Newton steps of the mean's parameters (the likelihood of an interval-censored Gaussian is log-concave in them) and
scoring steps of the noise's, at once: the two are nearly independent. Then columns that are unlike the others are set
apart, the fit goes on without them in what columns share, and every column gets its own noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.conversions import Progress
from imctrain.calibration.histogram import Floats, Histogram
from imctrain.calibration.likelihood import Scores, evaluate
from imctrain.calibration.newton import (
    Arrow,
    choose_strength,
    newton_step,
    penalty_matrix,
    shared_vector,
)
from imctrain.calibration.noise_law import NoiseLaw, starting_law
from imctrain.calibration.setup import MeasurementSetup
from imctrain.calibration.start import FEWEST_ROWS, starting_lines
from imctrain.calibration.transfer import Parameters, Transfer, design
from imctrain.errors import UserError

Flags = NDArray[np.bool_]

SWAPPED = "are columns of the file swapped?"
MOST_STEPS = 40
UNIT_STEPS = 4
LEAST_BAD, MOST_BAD = 1e-6, 0.3
OUTLIER_SPREADS = 6.0
FEWEST_FOR_OUTLIERS = 8
TOLERANCE = 0.02
"""Promised gain in log-likelihood at which the fit has converged: a small part of any standard error."""


@dataclass(frozen=True)
class ChipFit:
    """A fitted chip.

    Attributes:
        transfer: the design. parameters: of the mean. noise: of the noise, with every unit's own.
        bad: fraction of rows that mean nothing.
        scores: at the optimum, units sharing one noise. information: of the mean's parameters there.
        dead: units whose codes do not follow the input. unmeasured: units with too few rows or inputs.
        outliers: units unlike the others. All [U].
        converged: whether the tolerance was reached.
    """

    transfer: Transfer
    parameters: Parameters
    noise: NoiseLaw
    bad: float
    scores: Scores
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
        return self.transfer.mean(self.parameters)


@dataclass
class _State:
    """Where the iteration is."""

    parameters: Parameters
    noise: NoiseLaw
    bad: float
    strength: float
    scores: Scores


def fit_chip(histogram: Histogram, setup: MeasurementSetup, where: str, progress: Progress | None = None) -> ChipFit:
    """Fit; `progress` is told roughly how far it is.

    Raises:
        UserError: no column can be fitted; `where` names the rows.
    """
    tell = progress or (lambda fraction: None)
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
    state = _State(parameters, noise, 0.01, strength, _scores(transfer, parameters, noise, 0.01))

    converged = _iterate(transfer, state, lambda share: tell(0.5 * share))
    outliers = unlike_others(transfer, state, usable)
    if outliers.any() or (start.noise != 1.0).any():
        state.noise = replace(state.noise, unit=np.where(outliers, state.noise.unit, 1.0))
        state.scores = _scores(transfer, state.parameters, state.noise, state.bad)
        transfer = transfer.with_informative((usable & ~outliers).astype(np.float64))
        converged = _iterate(transfer, state, lambda share: tell(0.5 + 0.3 * share))
    information = newton_step(transfer, state.parameters, state.scores, state.strength)[2]
    shared_scores = state.scores
    noise = _own_noise(transfer, state)
    tell(1.0)
    return ChipFit(
        transfer,
        state.parameters,
        noise,
        state.bad,
        shared_scores,
        information,
        start.dead,
        start.unmeasured,
        outliers,
        converged,
    )


def _scores(transfer: Transfer, p: Parameters, noise: NoiseLaw, bad: float) -> Scores:
    setup = transfer.setup
    return evaluate(transfer.histogram, transfer.mean(p), noise.sigma(transfer), bad, setup.lowest, setup.highest)


def _objective(transfer: Transfer, state: _State) -> float:
    """Penalised log-likelihood of the informative units."""
    shared = shared_vector(state.parameters)
    penalty = 0.5 * float(shared @ penalty_matrix(state.parameters, state.strength) @ shared)
    return float(state.scores.loglik @ transfer.informative[transfer.unit]) - penalty


def _iterate(transfer: Transfer, state: _State, tell: Progress) -> bool:
    """Bring `state` to the optimum; False if it was not reached."""
    h = transfer.histogram
    counted = transfer.informative[transfer.unit]
    rows = float(counted @ np.bincount(h.setting, np.add.reduceat(h.count, h.first_cell)))
    for number in range(MOST_STEPS):
        unit_step, shared_step, matrix, promised = newton_step(transfer, state.parameters, state.scores, state.strength)
        noise_step, promised_by_noise = state.noise.step(transfer, state.scores)
        bad = float(np.clip(state.scores.bad @ counted / rows, LEAST_BAD, MOST_BAD))
        before = _objective(transfer, state)
        share = 1.0
        while True:
            p = state.parameters.moved(unit_step[:, 0], unit_step[:, 1], shared_step, share)
            noise = state.noise.moved(noise_step, share)
            trial = replace(state, parameters=p, noise=noise, bad=bad, scores=_scores(transfer, p, noise, bad))
            if _objective(transfer, trial) >= before - 1e-9 * abs(before) or share < 0.05:
                break
            share *= 0.5
        strength = state.strength
        if state.parameters.inl.size and number >= 1:
            strength = choose_strength(transfer, trial.parameters, trial.scores, matrix)
        settled = strength == state.strength
        state.__dict__.update(vars(replace(trial, strength=strength)))
        if settled and promised + promised_by_noise < TOLERANCE and share == 1.0:
            return True
        tell(min(1.0, (number + 1) / 10))
    return False


def _own_noise(transfer: Transfer, state: _State) -> NoiseLaw:
    """The noise with every unit's own."""
    noise, scores = state.noise, state.scores
    for _ in range(UNIT_STEPS):
        before = noise.unit
        noise = noise.with_units(transfer, scores)
        if np.allclose(before, noise.unit, rtol=2e-3):
            break
        scores = _scores(transfer, state.parameters, noise, state.bad)
    return noise


def unlike_others(transfer: Transfer, state: _State, usable: Flags) -> Flags:
    """Units whose gain, offset or noise lies far outside the spread of the other units of their die, [U].

    Far is six robust standard deviations (of spread and estimate together), and enough to matter.
    """
    p = state.parameters
    information = newton_step(transfer, p, state.scores, state.strength)[2]
    noise = _own_noise(transfer, state)
    squares = np.bincount(transfer.unit, state.scores.spread_square, transfer.units)
    figures = (
        (p.gain, information.inverses[:, 0, 0], 0.01),
        (p.offset, information.inverses[:, 1, 1], 0.5),
        (np.log(noise.unit), 1.0 / np.maximum(squares, 1e-9), 0.3),
    )
    far = np.zeros(transfer.units, bool)
    for die in np.unique(transfer.die):
        members = usable & (transfer.die == die)
        if members.sum() < FEWEST_FOR_OUTLIERS:
            continue
        for value, variance, matters in figures:
            distance = np.abs(value - np.median(value[members]))
            spread = 1.4826 * np.median(distance[members])
            limit = np.maximum(OUTLIER_SPREADS * np.sqrt(spread**2 + variance), matters)
            far |= members & (distance > limit)
    return far
