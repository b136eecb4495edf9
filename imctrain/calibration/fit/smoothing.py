"""How smooth the INL is: a curvature penalty whose strength the measurements decide (empirical Bayes, REML).

The penalty is that of a Gaussian prior on the second differences of the curve: with coefficients c and strength s,
s * c' D'D c / 2. The evidence for s has a closed form where the likelihood is quadratic, which it is at the optimum.
"""

from __future__ import annotations

import numpy as np

from imctrain.calibration.arrays import Floats

STRENGTHS = 10.0 ** np.arange(-3.0, 9.1, 0.5)
"""1 / LSB^2."""


def curvature_penalty(inner: int) -> Floats:
    """D'D of second differences over `inner` knots and the two outer ones, where the curve is zero."""
    second = np.zeros((inner, inner + 2))
    for row in range(inner):
        second[row, row : row + 3] = 1.0, -2.0, 1.0
    kept = second[:, 1:-1]
    return kept.T @ kept


def best_strength(information: Floats, estimate: Floats, penalty: Floats) -> float:
    """The strength with the highest evidence.

    Args:
        information: of the coefficients with everything else at its optimum, [K, K].
        estimate: what the likelihood alone would have, [K].
    """
    k = penalty.shape[0]
    pull = information @ estimate
    _, log_penalty = np.linalg.slogdet(penalty)
    evidence = []
    for strength in STRENGTHS:
        posterior = information + strength * penalty
        _, log_posterior = np.linalg.slogdet(posterior)
        fit = float(pull @ np.linalg.solve(posterior, pull))
        evidence.append(0.5 * (k * np.log(strength) + log_penalty - log_posterior + fit))
    return float(STRENGTHS[int(np.argmax(evidence))])
