"""What depends on when a conversion was made, and on where the input came from.

Four shifts of the mean are tested together: an offset and a gain that move evenly over the file (a ramp), a half step
up or down with the direction in which the column's input changed (hysteresis), and, where there is more than one
reference range, a shift of equally many codes at all of them (a converter that does not round to the nearest code).

    mean += offset t / R + gain t u + hysteresis sign / (2 R) + codes,        t from -1/2 to 1/2 over the file

Each is fitted by one step of scoring with everything else, the columns' own gains and offsets and the INL included, at
its optimum. What an input that follows the order of rows does not leave is said to be not told. Errors are the larger
of the likelihood's and of what blocks of time show (noise that is slow counts less often than its rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.stats import t as student

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.faults.rows import Rows
from imctrain.calibration.faults.significance import FALSE_ALARM
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.design import hat_basis
from imctrain.calibration.fit.transfer import by_slopes, gain_factor

BLOCKS = 64
FEWEST_ROWS = 400
LEAST_LEFT = 0.02
"""Share of a shift that the rest of the model must leave, for it to be told."""
SPLIT_BY_DIRECTION = 0.02


class Effect(NamedTuple):
    """A shift: its value, standard error, whether it is significant, and whether the file could tell it at all."""

    value: float
    error: float
    significant: bool
    told: bool

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        return self.value - 1.96 * self.error, self.value + 1.96 * self.error


@dataclass(frozen=True)
class OrderEffects:
    """What was found.

    Attributes:
        offset: LSB at R = 1 over the file. gain: relative, over the file. hysteresis: LSB at R = 1, rising less falling
            inputs. codes: LSB of every range.
        turns: how often the direction changes, of the column with most.
        shift: what the significant ones do to each row's mean, codes, [T].
    """

    offset: Effect
    gain: Effect
    hysteresis: Effect
    codes: Effect
    turns: int
    shift: Floats


def directions(rows: Rows) -> tuple[Floats, int]:
    """+1 where a column's input is above that of its conversion before, -1 below, 0 unknown or equal; most turns."""
    order = np.lexsort((np.arange(rows.count), rows.unit))
    unit, volts, place = rows.unit[order], rows.v[order], rows.row[order]
    same = unit[1:] == unit[:-1]
    step = np.sign(np.round(volts[1:] - volts[:-1], 9)) * same
    # Rows between kept runs are not known.
    usual = np.median(np.diff(place)[same]) if same.any() else 1.0
    step[np.abs(np.diff(place)) > 20 * max(usual, 1.0)] = 0.0
    # An input that is repeated has come from where it came from before.
    at = np.maximum.accumulate(np.where((step != 0) | ~same, np.arange(step.size), 0))
    step = step[at] if step.size else step
    direction = np.zeros(rows.count)
    direction[order[1:]] = step
    known = step != 0
    signs, units = step[known], unit[1:][known]
    turns = np.bincount(units[1:][(signs[1:] != signs[:-1]) & (units[1:] == units[:-1])])
    return direction, int(turns.max()) if turns.size else 0


def order_effects(fit: ChipFit, rows: Rows) -> OrderEffects | None:
    """None where there are too few rows."""
    if rows.count < FEWEST_ROWS:
        return None
    transfer, p = fit.transfer, fit.parameters
    direction, turns = directions(rows)
    t = rows.when - 0.5
    extras = np.stack(
        [t * rows.inverse_range, t * rows.u, 0.5 * direction * rows.inverse_range, np.ones(rows.count)], axis=1
    )
    hats = hat_basis(rows.v, transfer.knots)
    units, unit = np.unique(rows.unit, return_inverse=True)
    at = np.arange(rows.count)
    about = transfer.about(rows.setting)
    factor = gain_factor(about, p)
    lever = (rows.u + (hats @ p.inl) * rows.inverse_range) * factor
    own = sparse.csr_array(
        (np.stack([lever, rows.inverse_range], axis=1).ravel(), (np.repeat(at, 2), _pairs(unit))),
        shape=(rows.count, 2 * units.size),
    )
    gains = p.gain[rows.unit]
    shared = [sparse.diags_array(gains * rows.inverse_range * factor) @ hats]
    shared += by_slopes(about, gains * lever, rows.inverse_range, p)
    nuisance = sparse.csc_array(sparse.hstack([own, *shared], format="csc"))
    left = _without(nuisance, extras, rows.information)
    weight = rows.information[:, None]
    spread = (weight * extras**2).sum(axis=0)
    told = (weight * left**2).sum(axis=0) > LEAST_LEFT * np.maximum(spread, 1e-12)
    known = np.abs(direction) > 0
    both = min((direction > 0).sum(), (direction < 0).sum())
    told[2] &= bool(both > SPLIT_BY_DIRECTION * max(known.sum(), 1))
    told[3] &= np.unique(rows.inverse_range).size > 1
    value, error, freedom = _fitted(rows, left, told)
    limit = float(student.isf(0.5 * FALSE_ALARM, freedom))
    effects = [
        Effect(float(value[k]), float(error[k]), bool(told[k] and abs(value[k]) > limit * error[k]), bool(told[k]))
        for k in range(4)
    ]
    sure = np.array([effect.significant for effect in effects])
    offset, gain, hysteresis, codes = effects
    return OrderEffects(offset, gain, hysteresis, codes, turns, left @ (value * sure))


def _pairs(unit: Ints) -> Ints:
    return (2 * unit[:, None] + np.arange(2)).ravel()


def _without(nuisance: sparse.csc_array, extras: Floats, weight: Floats) -> Floats:
    """`extras` less what the columns of `nuisance` make of them, by weighted least squares."""
    scaled = sparse.diags_array(weight) @ nuisance
    matrix = sparse.csc_array(nuisance.T @ scaled)
    ridge = sparse.diags_array(np.full(matrix.shape[0], 1e-9 * float(matrix.diagonal().max())))
    return extras - nuisance @ spsolve(sparse.csc_array(matrix + ridge), scaled.T @ extras).reshape(-1, extras.shape[1])


def _fitted(rows: Rows, left: Floats, told: np.ndarray) -> tuple[Floats, Floats, int]:
    """(values, standard errors, degrees of freedom of the errors); 0 and infinity where not told."""
    value, error = np.zeros(4), np.full(4, np.inf)
    kept = np.flatnonzero(told)
    blocks = min(BLOCKS, rows.count // 50)
    if kept.size == 0:
        return value, error, blocks - 1
    x = left[:, kept]
    information = x.T @ (rows.information[:, None] * x)
    # A shift that others explain nearly all of leaves the matrix next to singular: its error then says so.
    inverse = np.linalg.pinv(information, rcond=1e-12, hermitian=True)
    step = inverse @ (x.T @ rows.score)
    rest = rows.score - rows.information * (x @ step)
    block = np.minimum((np.arange(rows.count) * blocks) // rows.count, blocks - 1)
    sums = np.stack([np.bincount(block, x[:, k] * rest, blocks) for k in range(kept.size)], axis=1)
    by_blocks = inverse @ (sums.T @ sums) @ inverse * blocks / max(blocks - kept.size, 1)
    value[kept] = step
    error[kept] = np.sqrt(np.maximum(np.diag(inverse), np.diag(by_blocks)))
    return value, error, blocks - 1
