"""Bootstrap: how far the fit would move if the conversions were measured again.

Every replicate gives each conversion a Poisson(1) count in place of 1, and takes one Newton step from the fit with the
information of the whole, which for these sample sizes is where a fit from scratch would end. Cells draw the sum, a
Poisson(count). Intervals are those of this chip: its columns stay, only conversions are drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.chunks import Chunk, chunks, in_parallel
from imctrain.calibration.fit.likelihood import cell_scores
from imctrain.calibration.fit.poisson import poisson_changes, poisson_tables
from imctrain.calibration.fit.transfer import Transfer

LEVEL = 0.95
DEFAULT_REPLICATES = 100
CHUNK_CELLS = 1 << 14


@dataclass(frozen=True)
class Replicates:
    """Changes of the fit, one row a replicate.

    Attributes:
        gain, offset: [B, U]. shared: inl and slopes, [B, P]. noise: array and adc variances and slopes, [B, 2 + X].
        log_sigma: score of log sigma of every setting, [B, S]; divide sums by sums of the information.
    """

    gain: Floats
    offset: Floats
    shared: Floats
    noise: Floats
    log_sigma: Floats

    @property
    def count(self) -> int:
        """B."""
        return self.gain.shape[0]

    def log_sigma_of(self, members: NDArray[np.bool_], fit: ChipFit) -> Floats:
        """Change of log sigma of the settings `members` taken together, [B]."""
        information = float(fit.own.spread_square[members].sum())
        return self.log_sigma[:, members].sum(axis=1) / max(information, 1e-9)


def half_width(changes: Floats) -> Floats:
    """Half the width of the interval at `LEVEL`, from the standard deviation of replicates along axis 0."""
    return float(ndtri(0.5 + LEVEL / 2)) * np.std(changes, axis=0)


def bootstrap(fit: ChipFit, replicates: int = DEFAULT_REPLICATES, seed: int = 0) -> Replicates:
    """Draw replicates of a fit."""
    transfer, h = fit.transfer, fit.transfer.histogram
    setup = transfer.setup
    mean, sigma = fit.mean(), fit.noise.sigma(transfer)
    own = _own_design(transfer, fit)
    shared = transfer.shared_design(fit.parameters).astype(np.float32)
    counted = transfer.informative[transfer.unit_of_bin]
    tables = poisson_tables()
    units = transfer.units

    def work(numbered: tuple[int, Chunk]) -> tuple[Floats, Floats, slice, Floats]:
        number, chunk = numbered
        setting = h.setting[chunk.bins]
        first, stop = int(setting[0]), int(setting[-1]) + 1
        count, code = h.count[chunk.cells], h.code[chunk.cells]
        at, width = chunk.to_cells(mean[chunk.bins]), chunk.to_cells(sigma[setting])
        scores = cell_scores(code, at, width, fit.bad, setup.lowest, setup.highest)
        drawn = poisson_changes(np.random.default_rng([seed, number]), count, replicates, tables)
        ends = np.append(0, np.cumsum(chunk.counts))
        by_bin = _sums(scores.mean, ends) @ drawn
        new_setting = np.flatnonzero(np.append(True, setting[1:] != setting[:-1]))
        spread = np.zeros((stop - first, replicates))
        spread[setting[new_setting] - first] = _sums(scores.spread, np.append(ends[new_setting], code.size)) @ drawn
        of_units = own[chunk.bins].T @ by_bin
        of_shared = shared[chunk.bins].T @ (by_bin * counted[chunk.bins, None].astype(np.float32))
        return of_units, of_shared, slice(first, stop), spread

    unit_score = np.zeros((2 * units, replicates))
    shared_score = np.zeros((shared.shape[1], replicates))
    spread = np.zeros((transfer.unit.size, replicates))
    for of_units, of_shared, where, part in in_parallel(work, enumerate(chunks(h, CHUNK_CELLS))):
        unit_score += of_units
        shared_score += of_shared
        spread[where] += part
    unit_step, shared_step = fit.information.solve(unit_score.reshape(units, 2, -1).transpose(2, 0, 1), shared_score.T)
    d = fit.noise.derivatives(transfer) * transfer.informative[transfer.unit, None]
    noise = np.linalg.solve(fit.noise.information(transfer, fit.own), d.T @ spread).T
    return Replicates(unit_step[..., 0], unit_step[..., 1], shared_step, noise, spread.T)


def _own_design(transfer: Transfer, fit: ChipFit) -> sparse.csr_array:
    """Derivative of each bin's mean by its unit's gain and offset, [G, 2 U] sparse."""
    bins = transfer.unit_of_bin.size
    columns = (2 * transfer.unit_of_bin[:, None] + np.arange(2)).ravel()
    values = np.stack([transfer.lever(fit.parameters), transfer.inverse_range], axis=1).ravel().astype(np.float32)
    return sparse.csr_array((values, columns, 2 * np.arange(bins + 1)), shape=(bins, 2 * transfer.units))


def _sums(values: Floats, ends: Ints) -> sparse.csr_array:
    """Weighted sums over consecutive cells, as a matrix [len(ends) - 1, c]."""
    return sparse.csr_array(
        (values.astype(np.float32), np.arange(values.size), ends), shape=(ends.size - 1, values.size)
    )
