"""The way to the optimum, of all units at once.

Newton steps of the mean's parameters (the likelihood of an interval-censored Gaussian is log-concave in them) and
scoring steps of the noise's are taken together: the two are nearly independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imctrain.calibration.arrays import Flags
from imctrain.calibration.fit.likelihood import Scores, evaluate
from imctrain.calibration.fit.newton import choose_strength, newton_step, penalty_matrix, shared_vector
from imctrain.calibration.fit.noise_law import NoiseLaw
from imctrain.calibration.fit.transfer import Parameters, Transfer
from imctrain.calibration.progress import Progress

MOST_STEPS = 40
UNIT_STEPS = 30
SETTLED = 2e-3
"""Relative change of every unit's noise at which it is found: a small part of any standard error."""
LEAST_BAD, MOST_BAD = 1e-6, 0.3
TOLERANCE = 0.02
"""Promised gain in log-likelihood at which the fit has converged: a small part of any standard error."""


@dataclass(frozen=True)
class State:
    """Where the iteration is.

    Attributes:
        bad: fraction of rows that mean nothing. strength: of the penalty on the INL's curvature.
        scores: at these parameters.
    """

    parameters: Parameters
    noise: NoiseLaw
    bad: float
    strength: float
    scores: Scores


def scores_at(transfer: Transfer, p: Parameters, noise: NoiseLaw, bad: float) -> Scores:
    """The likelihood and its derivatives with these parameters."""
    setup = transfer.setup
    return evaluate(transfer.histogram, transfer.mean(p), noise.sigma(transfer), bad, setup.lowest, setup.highest)


def _objective(transfer: Transfer, state: State) -> float:
    """Penalised log-likelihood of the informative units."""
    shared = shared_vector(state.parameters)
    penalty = 0.5 * float(shared @ penalty_matrix(state.parameters, state.strength) @ shared)
    return float(state.scores.loglik @ transfer.informative[transfer.unit]) - penalty


def iterate(transfer: Transfer, state: State, tell: Progress) -> tuple[State, bool]:
    """From `state` to the optimum, and whether it was reached."""
    counted = transfer.informative[transfer.unit]
    rows = float(counted @ transfer.rows_of_setting)
    for number in range(MOST_STEPS):
        unit_step, shared_step, matrix, promised = newton_step(transfer, state.parameters, state.scores, state.strength)
        noise_step, promised_by_noise = state.noise.step(transfer, state.scores)
        bad = float(np.clip(state.scores.bad @ counted / rows, LEAST_BAD, MOST_BAD))
        before = _objective(transfer, state)
        share = 1.0
        while True:
            p = state.parameters.moved(unit_step[:, 0], unit_step[:, 1], shared_step, share)
            noise = state.noise.moved(noise_step, share)
            trial = replace(state, parameters=p, noise=noise, bad=bad, scores=scores_at(transfer, p, noise, bad))
            if _objective(transfer, trial) >= before - 1e-9 * abs(before) or share < 0.05:
                break
            share *= 0.5
        strength = state.strength
        if state.parameters.inl.size and number >= 1:
            strength = choose_strength(transfer, trial.parameters, trial.scores, matrix)
        settled = strength == state.strength
        state = replace(trial, strength=strength)
        if settled and promised + promised_by_noise < TOLERANCE and share == 1.0:
            return state, True
        tell(min(1.0, (number + 1) / 10))
    return state, False


def with_own_noise(transfer: Transfer, state: State, usable: Flags) -> State:
    """Every unit with its own noise, and the mean where that puts it.

    What all share of the noise stays. The mean moves along, since a unit's rows weigh by its noise; so does the share
    of rows that mean nothing, which holds the tails of a noisy unit as long as its noise is taken for that of all.
    """
    counted = transfer.informative[transfer.unit]
    rows = float(counted @ transfer.rows_of_setting)
    for _ in range(UNIT_STEPS):
        before = state.noise.unit
        noise = state.noise.with_units(transfer, state.scores)
        unit_step, shared_step, _, _ = newton_step(transfer, state.parameters, state.scores, state.strength)
        p = state.parameters.moved(unit_step[:, 0], unit_step[:, 1], shared_step, 1.0)
        bad = float(np.clip(state.scores.bad @ counted / rows, LEAST_BAD, MOST_BAD))
        state = replace(state, parameters=p, noise=noise, bad=bad, scores=scores_at(transfer, p, noise, bad))
        if np.allclose(before[usable], noise.unit[usable], rtol=SETTLED, atol=0.0):
            break
    return state
