"""Columns that are unlike the others."""

from __future__ import annotations

import numpy as np

from imctrain.calibration.arrays import Flags
from imctrain.calibration.fit.newton import newton_step
from imctrain.calibration.fit.optimum import State, with_own_noise
from imctrain.calibration.fit.transfer import Transfer

OUTLIER_SPREADS = 6.0
FEWEST_FOR_OUTLIERS = 8


def unlike_others(transfer: Transfer, state: State, usable: Flags) -> Flags:
    """Units whose gain, offset or noise lies far outside the spread of the other units of their die, [U].

    Far is six robust standard deviations (of spread and estimate together), and enough to matter.
    """
    own = with_own_noise(transfer, state, usable)
    p, noise = own.parameters, own.noise
    information = newton_step(transfer, p, own.scores, own.strength)[2]
    squares = np.bincount(transfer.unit, own.scores.spread_square, transfer.units)
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
