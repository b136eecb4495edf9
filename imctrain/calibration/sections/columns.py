"""The columns of one die, and their spread."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.bootstrap import LEVEL, half_width
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.noise_law import LEAST_SIGMA
from imctrain.calibration.schema import Column, Estimate, Interval, Spread
from imctrain.calibration.sections.bounds import interval, positive, rounded
from imctrain.calibration.sections.conditions import noise_at_reference
from imctrain.calibration.sections.evidence import Evidence

MOST_LOG_SIGMA = 3.0
"""Half an interval of log sigma where codes say nothing of it: a factor of 20."""


def columns_of(e: Evidence) -> tuple[Column, ...]:
    """Fixed pattern and noise of the columns of one die; a dead column has gain 0 and its constant code as offset."""
    fit, replicates = e.fit, e.replicates
    transfer, h = fit.transfer, fit.transfer.histogram
    rows = np.bincount(transfer.unit_of_bin, np.add.reduceat(h.count, h.first_cell), transfer.units)
    squares = np.bincount(transfer.unit, fit.own.spread_square, transfer.units)
    log_sigma = np.zeros((replicates.count, transfer.units))
    for index, unit in enumerate(transfer.unit):
        log_sigma[:, unit] += replicates.log_sigma[:, index]
    log_sigma /= np.maximum(squares, 1e-9)
    known = fit.information.inverses
    reach = np.zeros(transfer.units)
    np.maximum.at(reach, transfer.unit_of_bin, np.abs(h.u))
    half_gain = _undithered(half_width(replicates.gain), known[:, 0, 0], 1.0 / np.maximum(reach, 1.0))
    half_offset = _undithered(half_width(replicates.offset), known[:, 1, 1], 0.5)
    half_sigma = _undithered(half_width(log_sigma), 1.0 / np.maximum(squares, 1e-9), MOST_LOG_SIGMA)
    at_reference = noise_at_reference(e)
    listed = np.flatnonzero((transfer.die == e.die) & ~fit.unmeasured)
    columns = []
    for u in listed:
        number, n = int(transfer.column[u]), int(rows[u])
        gain, offset = float(fit.parameters.gain[u]), float(fit.parameters.offset[u])
        if fit.dead[u]:
            columns.append(Column(column=number, gain=0.0, offset_lsb=rounded(_constant_voltage(fit, int(u))), n=n))
            continue
        sigma = fit.noise.total * fit.noise.unit[u] * at_reference[u] * e.temporal_share * np.sqrt(n / max(n - 2, 1))
        noise = positive(float(sigma), float(half_sigma[u]))
        if sigma <= 1.1 * LEAST_SIGMA:
            noise = Estimate(value=0.0, low=0.0, high=LEAST_SIGMA)
        columns.append(
            Column(
                column=number,
                gain=rounded(gain),
                offset_lsb=rounded(offset),
                sigma_lsb=noise.value,
                n=n,
                gain_ci=interval(gain, half_gain[u]),
                offset_ci_lsb=interval(offset, half_offset[u]),
                sigma_ci_lsb=(noise.low, noise.high),
            )
        )
    return tuple(columns)


def _undithered(half: Floats, variance: Floats, rounding: Floats | float) -> Floats:
    """Half widths of the intervals of units, [U].

    Where an input is far from any threshold for the noise that there is, all its codes are alike. So are those of every
    replicate, which then say that all is known. The curvature of the likelihood says how little is.

    Args:
        half: from replicates. variance: from the information. rounding: what a code leaves open, at most.
    """
    of_information = float(ndtri(0.5 + LEVEL / 2)) * np.sqrt(np.maximum(variance, 0.0))
    return np.where(of_information > 2.0 * half, np.maximum(np.minimum(of_information, rounding), half), half)


def _constant_voltage(fit: ChipFit, unit: int) -> float:
    """Mean code of a unit in LSB at R = 1."""
    transfer, h = fit.transfer, fit.transfer.histogram
    cells = transfer.unit[h.setting[h.bin_of_cell]] == unit
    ranges = h.range[h.setting[h.bin_of_cell[cells]]]
    return float(np.average(h.code[cells] * ranges, weights=h.count[cells]))


def spread_of(e: Evidence, seed: int = 0) -> Spread:
    """Standard deviations over the columns of a die, what estimating them adds taken off; outliers left out."""
    fit = e.fit
    good = np.flatnonzero(fit.usable & ~fit.outliers)
    if good.size < 2:
        return Spread()
    p, replicates = fit.parameters, e.replicates
    rng = np.random.default_rng([seed, 2])
    stds: list[float] = []
    intervals: list[Interval] = []
    for value, changes in ((p.gain, replicates.gain), (p.offset, replicates.offset)):
        within = value - _die_means(fit, value, good)
        dies = np.unique(fit.transfer.die[good]).size
        freedom = max(good.size - dies, 1)
        # An error that the columns of a die share, such as that of a slope, does not spread them.
        errors = (changes - _die_means(fit, changes, good))[:, good]
        estimation = float(np.var(errors, axis=0).sum()) / freedom if replicates.count else 0.0
        std = float(np.sqrt(max((within[good] ** 2).sum() / freedom - estimation, 0.0)))
        stds.append(rounded(std))
        redrawn = [
            np.sqrt(max(float((within[rng.choice(good, good.size)] ** 2).sum()) / freedom - estimation, 0.0))
            for _ in range(max(replicates.count, 1))
        ]
        half = float(half_width(np.array(redrawn)))
        intervals.append((rounded(max(std - half, 0.0)), rounded(std + half)))
    return Spread(gain_std=stds[0], offset_std_lsb=stds[1], gain_std_ci=intervals[0], offset_std_ci_lsb=intervals[1])


def _die_means(fit: ChipFit, value: Floats, good: np.ndarray) -> Floats:
    """Mean over the good columns of each unit's die; values and means [..., U]."""
    means = np.zeros(value.shape)
    for die in np.unique(fit.transfer.die):
        members = fit.transfer.die == die
        chosen = good[members[good]]
        if chosen.size:
            means[..., members] = value[..., chosen].mean(axis=-1, keepdims=True)
    return means
