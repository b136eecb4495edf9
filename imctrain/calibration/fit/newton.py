"""One Newton step of all parameters of the mean: gains and offsets of hundreds of units, and what they share.

The information matrix is an arrow: a 2 x 2 block for each unit, a border for the shared parameters. Units are
eliminated first (Schur complement), so that the cost grows with the number of units and not with its cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.likelihood import Scores
from imctrain.calibration.fit.smoothing import best_strength, curvature_penalty
from imctrain.calibration.fit.transfer import Parameters, Transfer

RIDGE = 1e-9


@dataclass(frozen=True)
class Arrow:
    """The information matrix.

    Attributes:
        inverses: of every unit's block, [U, 2, 2].
        border: between units and shared parameters, [U, 2, P].
        informative: 0 for units that the shared parameters do not listen to, else 1, [U].
        schur: of the shared parameters with units at their optimum, [P, P]; without penalty.
        penalty: on the shared parameters, strength included, [P, P].
    """

    inverses: Floats
    border: Floats
    informative: Floats
    schur: Floats
    penalty: Floats

    @property
    def freedom(self) -> float:
        """How many parameters the measurements decide among the shared ones: a penalty decides the rest."""
        if not self.schur.size:
            return 0.0
        return float(np.trace(np.linalg.solve(self.schur + self.penalty, self.schur)))

    def reduced(self, unit_score: Floats, shared_score: Floats) -> Floats:
        """Score of the shared parameters with units at their optimum, [..., P]."""
        steps = np.einsum("uab,...ub->...ua", self.inverses * self.informative[:, None, None], unit_score)
        return shared_score - np.tensordot(steps, self.border, 2)

    def solve(self, unit_score: Floats, shared_score: Floats) -> tuple[Floats, Floats]:
        """(step of units [..., U, 2], step of shared parameters [..., P]) for scores of the same shapes."""
        shared = self.reduced(unit_score, shared_score)
        if self.schur.size:
            shared = np.linalg.solve(self.schur + self.penalty, shared[..., None])[..., 0]
        rest = unit_score - np.tensordot(shared, self.border, (-1, 2))
        return np.einsum("uab,...ub->...ua", self.inverses, rest), shared


def arrow(transfer: Transfer, p: Parameters, curvature: Floats, penalty: Floats) -> Arrow:
    """The information matrix at `p`.

    Args:
        curvature: of each bin's likelihood by its mean, [G].
        penalty: on the shared parameters, [P, P].
    """
    unit, units = transfer.unit_of_bin, transfer.units
    levers = (transfer.lever(p), transfer.inverse_range)
    shared = transfer.shared_design(p)

    blocks = np.empty((units, 2, 2))
    for a in range(2):
        for b in range(2):
            blocks[:, a, b] = np.bincount(unit, curvature * levers[a] * levers[b], units)
    blocks += RIDGE * np.eye(2)
    inverses = np.linalg.inv(blocks)

    membership = sparse.csr_array((np.ones(unit.size), (unit, np.arange(unit.size))), shape=(units, unit.size))
    border = np.stack([(membership @ (sparse.diags_array(curvature * x) @ shared)).toarray() for x in levers], axis=1)
    counted = curvature * transfer.informative[unit]
    own = (shared.T @ (sparse.diags_array(counted) @ shared)).toarray()
    weighted = inverses * transfer.informative[:, None, None]
    schur = own - np.einsum("uap,uab,ubq->pq", border, weighted, border, optimize=True)
    return Arrow(inverses, border, transfer.informative, schur + RIDGE * np.eye(own.shape[0]), penalty)


def scores_of_parameters(transfer: Transfer, p: Parameters, mean_score: Floats) -> tuple[Floats, Floats]:
    """Derivatives of the likelihood by (gain, offset) of each unit, [U, 2], and by the shared parameters, [P].

    Args:
        mean_score: derivative by the mean of each bin, [G].
    """
    unit = transfer.unit_of_bin
    levers = (transfer.lever(p), transfer.inverse_range)
    own: Floats = np.stack([np.bincount(unit, mean_score * x, transfer.units) * 1.0 for x in levers], axis=1)
    shared: Floats = transfer.shared_design(p).T @ (mean_score * transfer.informative[unit])
    return own, shared


def shared_vector(p: Parameters) -> Floats:
    """(inl, slopes), [P]."""
    return np.concatenate([p.inl, p.slopes])


def penalty_matrix(p: Parameters, strength: float) -> Floats:
    """On (inl, slopes): curvature of the INL only, [P, P]."""
    size, k = p.inl.size + p.slopes.size, p.inl.size
    penalty = np.zeros((size, size))
    penalty[:k, :k] = strength * curvature_penalty(k)
    return penalty


def newton_step(
    transfer: Transfer, p: Parameters, scores: Scores, strength: float
) -> tuple[Floats, Floats, Arrow, float]:
    """(step of units [U, 2], step of shared [P], information, promised gain in penalised likelihood)."""
    matrix = arrow(transfer, p, scores.curvature, penalty_matrix(p, strength))
    own, shared = scores_of_parameters(transfer, p, scores.mean)
    pulled = shared - matrix.penalty @ shared_vector(p)
    unit_step, shared_step = matrix.solve(own, pulled)
    gain = float(np.sum(own * unit_step * transfer.informative[:, None]) + pulled @ shared_step)
    return unit_step, shared_step, matrix, 0.5 * gain


def choose_strength(transfer: Transfer, p: Parameters, scores: Scores, matrix: Arrow) -> float:
    """Smoothness of the INL with the highest evidence, see `smoothing`."""
    k = p.inl.size
    own, shared = scores_of_parameters(transfer, p, scores.mean)
    reduced = matrix.reduced(own, shared)
    free = shared_vector(p) + np.linalg.solve(matrix.schur, reduced)
    # Slopes are eliminated as units are.
    information = matrix.schur[:k, :k]
    if p.slopes.size:
        cross = matrix.schur[:k, k:]
        information = information - cross @ np.linalg.solve(matrix.schur[k:, k:], cross.T)
    return best_strength(information, free[:k], curvature_penalty(k))
