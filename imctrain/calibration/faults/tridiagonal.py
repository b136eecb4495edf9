"""Symmetric matrices with one diagonal beside the main one: thresholds of a converter know only their neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from imctrain.calibration.arrays import Floats


@dataclass(frozen=True)
class Tridiagonal:
    """diagonal [n], beside [n - 1]."""

    diagonal: Floats
    beside: Floats

    def __add__(self, other: Tridiagonal) -> Tridiagonal:
        return Tridiagonal(self.diagonal + other.diagonal, self.beside + other.beside)

    def __rmul__(self, factor: float) -> Tridiagonal:
        return Tridiagonal(factor * self.diagonal, factor * self.beside)

    def __matmul__(self, x: Floats) -> Floats:
        """With [n] or [n, k]."""
        diagonal, beside = (v[(...,) + (None,) * (x.ndim - 1)] for v in (self.diagonal, self.beside))
        y = diagonal * x
        y[:-1] += beside * x[1:]
        y[1:] += beside * x[:-1]
        return y

    def _factor(self) -> Floats:
        return cholesky_banded(np.stack([self.diagonal, np.append(self.beside, 0.0)]), lower=True)

    def solve(self, x: Floats) -> Floats:
        """Of a positive definite matrix, [n] or [n, k]."""
        return cho_solve_banded((self._factor(), True), x)

    def log_determinant(self) -> float:
        """Of a positive definite matrix."""
        return float(2.0 * np.log(self._factor()[0]).sum())

    def inverse_bands(self) -> Tridiagonal:
        """The inverse's elements on the same diagonals (the others are not zero)."""
        factor = self._factor()
        pivots = factor[0] ** 2
        ratio = factor[1, :-1] / factor[0, :-1]
        n = pivots.size
        diagonal, beside = np.empty(n), np.empty(max(n - 1, 0))
        diagonal[-1] = 1.0 / pivots[-1]
        for i in range(n - 2, -1, -1):
            beside[i] = -ratio[i] * diagonal[i + 1]
            diagonal[i] = 1.0 / pivots[i] + ratio[i] ** 2 * diagonal[i + 1]
        return Tridiagonal(diagonal, beside)
