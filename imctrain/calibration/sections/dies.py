"""Dies, and the spread of their means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imctrain.calibration.arrays import Flags
from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.fit.optimum import scores_at
from imctrain.calibration.schema import Die, DieSpread, Interval
from imctrain.calibration.schema.die_spread import interval_of_std
from imctrain.calibration.sections.bounds import interval, positive, rounded
from imctrain.calibration.sections.conditions import dies_compare, noise_slopes
from imctrain.calibration.sections.evidence import Evidence

MOST_STEPS = 10
NEARLY_ALIKE = 0.02
"""Step of the logarithm of a die's noise, the square of which is below any standard error."""


def dies_of(e: Evidence) -> tuple[tuple[Die, ...], DieSpread | None] | None:
    """Every die, and the spread of their means; None with fewer than two.

    There is no spread of dies that were measured at conditions of their own, of which the slopes are not known.
    """
    fit = e.fit
    transfer, h = fit.transfer, fit.transfer.histogram
    names = transfer.dies
    if len(names) < 2:
        return None
    rows = np.bincount(transfer.unit_of_bin, np.add.reduceat(h.count, h.first_cell), transfer.units)
    noise = _noise_of_dies(e)
    dies = []
    for name in names:
        members: Flags = (transfer.die == name) & fit.usable & ~fit.outliers
        settings = members[transfer.unit]
        if not members.any():
            continue
        sigma = fit.noise.total * e.freedom * e.temporal_share * noise[name]
        half = float(half_width(e.replicates.log_sigma_of(settings, fit)))
        gain, offset = fit.parameters.gain[members], fit.parameters.offset[members]
        half_gain, half_offset = (
            float(half_width(changes[:, members].mean(axis=1))) for changes in (e.replicates.gain, e.replicates.offset)
        )
        dies.append(
            Die(
                die=name,
                columns=int(members.sum()),
                n=int(rows[members].sum()),
                gain_mean=rounded(gain.mean()),
                gain_std=rounded(gain.std(ddof=min(1, gain.size - 1))),
                offset_mean_lsb=rounded(offset.mean()),
                offset_std_lsb=rounded(offset.std(ddof=min(1, offset.size - 1))),
                sigma_lsb=positive(sigma, half),
                gain_mean_ci=interval(gain.mean(), half_gain),
                offset_mean_ci_lsb=interval(offset.mean(), half_offset),
            )
        )
    if len(dies) < 2:
        return None
    if not dies_compare(e):
        return tuple(dies), None
    gain_std, offset_std, sigma_std = (
        float(np.std(values, ddof=1))
        for values in zip(*((die.gain_mean, die.offset_mean_lsb, die.sigma_lsb.value) for die in dies), strict=True)
    )
    spread = DieSpread(
        gain_std=rounded(gain_std),
        offset_std_lsb=rounded(offset_std),
        sigma_std_lsb=rounded(sigma_std),
        gain_std_ci=_of_population(gain_std, len(dies)),
        offset_std_ci_lsb=_of_population(offset_std, len(dies)),
        sigma_std_ci_lsb=_of_population(sigma_std, len(dies)),
    )
    return tuple(dies), spread


def _noise_of_dies(e: Evidence) -> dict[str, float]:
    """Sigma of each die at the reference relative to that of all, its columns sharing one noise."""
    fit = e.fit
    transfer = fit.transfer
    noise = dict.fromkeys(transfer.dies, 1.0)
    scores = fit.scores
    counted = (fit.usable & ~fit.outliers)[transfer.unit]
    for _ in range(MOST_STEPS):
        largest = 0.0
        for name in noise:
            chosen = counted & (transfer.die == name)[transfer.unit]
            step = scores.spread[chosen].sum() / max(scores.spread_square[chosen].sum(), 1e-9)
            step = float(np.clip(step, -1, 1))
            noise[name] *= float(np.exp(step))
            largest = max(largest, abs(step))
        # One step is enough for dies that are nearly alike.
        if largest < NEARLY_ALIKE:
            break
        of_units = np.array([noise[name] for name in transfer.die.tolist()])
        law = replace(fit.noise, unit=of_units, slopes=noise_slopes(e)[0])
        scores = scores_at(transfer, fit.parameters, law, fit.bad)
    return noise


def _of_population(std: float, count: int) -> Interval:
    low, high = interval_of_std(std, count)
    return (rounded(low), rounded(high))
