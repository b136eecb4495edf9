"""Where the converter's thresholds are, pooled over columns: DNL, missing codes, and bits of a wrong weight.

Threshold j lies between codes j - 1 and j (from the lowest), nominally at j - 1/2; d_j is what it is off. With L the
likelihood of fit/likelihood.py, the scores of all d_j and their expected information (which knows neighbours alone)
come from counts of codes given the inputs. Gains, offsets and the INL are those of the fit.

- **Test.** S' I^-1 S less what shifts by a gain, an offset or an INL explain is chi-squared with no DNL, whatever the
  noise and the inputs.
- **Estimate.** Widths are 1 + N(0, rms^2) with an rms that has the highest evidence (empirical Bayes, as the INL's
  smoothness): what data cannot tell stays near 1, and intervals are those of the posterior.
- **Missing codes** are seen at most once in twenty times that they should be, by a Poisson's chance.
- **Bits.** d_j = sum of the errors e_k of the bits that are 1 in j, as of a converter that sums weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, norm, poisson

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.faults.code_table import CodeTable, code_table, probabilities
from imctrain.calibration.faults.significance import FALSE_ALARM, MATTERS_LSB
from imctrain.calibration.faults.tridiagonal import Tridiagonal
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.column_curves import ColumnCurves
from imctrain.calibration.fit.design import INL_INTERVALS

LEAST_INFORMATION = 4.0
"""1 / LSB^2: thresholds known worse than to half an LSB say nothing to the test."""
FEWEST_THRESHOLDS = 6
CODES_A_KNOT = 8
WIDTH_RMS = 10.0 ** np.arange(-2.5, 0.6, 0.125)
ROUNDS, FIRST_ROUNDS = 30, 8
BIT_ROUNDS = 20
MISSING_SHARE = 0.05
BITS_EXPLAIN = 0.5
"""Share of the chi-squared that weights of bits must explain, for the DNL to be told as theirs."""
LESSER_BIT = 0.25
"""Of the largest error: smaller ones are not told."""


class BitWeight(NamedTuple):
    """`bit` weighs `error` LSB too much; standard `error_of` it."""

    bit: int
    error: float
    error_of: float


@dataclass(frozen=True)
class Thresholds:
    """What was found.

    Attributes:
        chi_squared, freedom, p: of no DNL at all.
        significant: p is below the false-alarm rate, and widths differ by what matters.
        first: of the listed thresholds, from the lowest code. shift: of each, codes, [n]. width, low, high: [n - 1].
        rms: of widths, with bounds. noise: sigma with these thresholds, over that without them.
        missing: codes that should have been seen and were not. expected: how often, [missing].
        bits: weights that are off. seen, expected_codes: conversions by code, [codes].
    """

    chi_squared: float
    freedom: int
    p: float
    significant: bool
    first: int
    shift: Floats
    width: Floats
    low: Floats
    high: Floats
    rms: tuple[float, float, float]
    noise: float
    missing: tuple[int, ...]
    expected: tuple[float, ...]
    bits: tuple[BitWeight, ...]
    seen: Floats
    expected_codes: Floats


class _Evaluation(NamedTuple):
    score: Floats
    information: Tridiagonal
    spread: float
    spread_information: float


def thresholds(fit: ChipFit, curves: ColumnCurves | None, dispersion: float = 1.0) -> Thresholds | None:
    """None where too few thresholds are known at all.

    Args:
        dispersion: conversions that are alike count as so many fewer.
    """
    setup = fit.transfer.setup
    every = code_table(fit, curves)
    table = replace(every, rows=every.rows / dispersion, seen=every.seen / dispersion)
    at_nominal = _evaluate(table, np.zeros(table.codes + 1), 1.0)
    known = at_nominal.information.diagonal >= LEAST_INFORMATION
    if known.sum() < FEWEST_THRESHOLDS:
        return None
    smooth = _smooth(table.codes, np.flatnonzero(known))
    statistic, freedom = _chi_squared(at_nominal, known, smooth)
    p = float(chi2.sf(statistic, freedom)) if freedom > 0 else 1.0
    probability = probabilities(table, np.zeros(table.codes + 1))[0]
    expected = table.per_code(np.where(np.isfinite(probability), table.rows[:, None] * probability, 0.0))
    seen = table.per_code(table.seen)
    missing = _missing(seen, expected, setup.lowest)
    first, last = int(np.flatnonzero(known)[0]), int(np.flatnonzero(known)[-1])
    span = slice(first, last + 1)
    smooth_here = _smooth(table.codes, np.arange(first, last + 1))
    bits = _bit_weights(table, span, smooth_here, setup.bits, at_nominal, statistic) if p < FALSE_ALARM else ()
    if p >= FALSE_ALARM:
        ones = np.ones(last - first)
        zero = np.zeros(last - first + 1)
        return Thresholds(
            statistic, freedom, p, False, first + 1, zero, ones, ones, ones, (0.0, 0.0, 0.0), 1.0,
            tuple(missing), tuple(expected[missing_index(missing, setup.lowest)]), (), seen, expected,
        )  # fmt: skip
    shift, rms, bounds, widen, deviation = _estimate(table, span)
    place = np.maximum.accumulate(np.arange(shift.size) + shift)
    width = np.diff(place)
    return Thresholds(
        chi_squared=statistic,
        freedom=freedom,
        p=p,
        significant=rms > MATTERS_LSB / 2,
        first=first + 1,
        shift=place - np.arange(shift.size),
        width=width,
        low=np.maximum(width - 1.96 * deviation, 0.0),
        high=width + 1.96 * deviation,
        rms=(rms, *bounds),
        noise=widen,
        missing=tuple(missing),
        expected=tuple(expected[missing_index(missing, setup.lowest)]),
        bits=bits,
        seen=seen,
        expected_codes=expected,
    )


def missing_index(codes: list[int], lowest: int) -> Ints:
    """Places of codes, from the lowest."""
    return np.array(codes, dtype=np.int64) - lowest


def _evaluate(table: CodeTable, shift: Floats, widen: float) -> _Evaluation:
    """Scores and information of the inner thresholds, [codes - 1], and of log sigma."""
    probability, a, b, at_a, at_b = probabilities(table, shift, widen)
    # A threshold that rises gives to the code below it what it takes from the one above.
    of_upper = table.per_code(table.seen * at_b / probability)
    of_lower = table.per_code(table.seen * at_a / probability)
    expected = table.rows[:, None] / probability
    i_upper, i_lower = table.per_code(expected * at_b**2), table.per_code(expected * at_a**2)
    i_both = table.per_code(expected * at_a * at_b)
    width = widen * table.sigma[:, None]
    by_log_sigma = width * (a * at_a - b * at_b)
    return _Evaluation(
        score=of_upper[:-1] - of_lower[1:],
        information=Tridiagonal(i_upper[:-1] + i_lower[1:], -i_both[1:-1]),
        spread=float((table.seen * by_log_sigma / probability).sum()),
        spread_information=float((expected * by_log_sigma**2).sum()),
    )


def _smooth(codes: int, at: Ints) -> Floats:
    """What gain, offset and INL can do to thresholds `at`: piecewise linear, [n, knots]."""
    intervals = int(np.clip(codes // CODES_A_KNOT, 1, INL_INTERVALS))
    knots = np.linspace(0, codes - 2, intervals + 1)
    basis = np.stack([np.interp(at, knots, row) for row in np.eye(intervals + 1)], axis=1)
    return basis[:, (basis > 0).any(axis=0)]


def _chi_squared(e: _Evaluation, known: np.ndarray, smooth: Floats) -> tuple[float, int]:
    """Of no DNL, and its degrees of freedom."""
    both = known[1:] & known[:-1]
    index = np.flatnonzero(known)
    beside = np.where(both, e.information.beside, 0.0)
    # Thresholds that are not known stand between others only as a gap.
    information = Tridiagonal(e.information.diagonal[index], beside[index[:-1]] * (np.diff(index) == 1))
    score = e.score[index]
    total = float(score @ information.solve(score))
    pulled = smooth.T @ score
    explained = float(pulled @ np.linalg.pinv(smooth.T @ (information @ smooth)) @ pulled)
    return max(total - explained, 0.0), index.size - int(np.linalg.matrix_rank(smooth))


def _part(information: Tridiagonal, span: slice) -> Tridiagonal:
    return Tridiagonal(information.diagonal[span], information.beside[span.start : span.stop - 1])


def _walk(n: int) -> Tridiagonal:
    """D'D of differences between neighbours, nominal thresholds beyond both ends."""
    return Tridiagonal(np.full(n, 2.0), np.full(n - 1, -1.0))


def _estimate(table: CodeTable, span: slice) -> tuple[Floats, float, tuple[float, float], float, Floats]:
    """(shift [n], rms of widths, its bounds, sigma's factor, standard deviation of widths [n - 1])."""
    n = span.stop - span.start
    shift, widen = np.zeros(table.codes + 1), 1.0
    walk = _walk(n)
    log_walk = walk.log_determinant()
    inner = slice(span.start + 1, span.stop + 1)
    for number in range(ROUNDS):
        e = _evaluate(table, shift, widen)
        information = _part(e.information, span)
        pull = information @ shift[inner] + e.score[span]
        evidence = []
        for rms in WIDTH_RMS:
            posterior = information + (1.0 / rms**2) * walk
            fit = float(pull @ posterior.solve(pull))
            evidence.append(0.5 * (-2.0 * n * np.log(rms) + log_walk - posterior.log_determinant() + fit))
        best = int(np.argmax(evidence))
        posterior = information + (1.0 / WIDTH_RMS[best] ** 2) * walk
        new = posterior.solve(pull)
        step = np.clip(new - shift[inner], -0.5, 0.5)
        shift[inner] += step
        # Thresholds first: until they are near, the noise would hold what they are off.
        settled = number >= FIRST_ROUNDS or float(np.abs(step).max()) < 0.05
        change = float(np.clip(e.spread / max(e.spread_information, 1e-9), -0.1, 0.1)) if settled else 0.0
        widen = max(widen * float(np.exp(change)), 0.05)
        if settled and np.abs(step).max() < 0.01 and abs(change) < 1e-3:
            break
    bands = posterior.inverse_bands()
    deviation = np.sqrt(np.maximum(bands.diagonal[1:] + bands.diagonal[:-1] - 2.0 * bands.beside, 0.0))
    likely = WIDTH_RMS[np.array(evidence) > max(evidence) - 1.92]
    rms = float(WIDTH_RMS[best])
    return shift[inner], rms, (float(likely.min()), float(likely.max())), widen, deviation


def _missing(seen: Floats, expected: Floats, lowest: int) -> list[int]:
    """Codes, the clipped ones aside, that next to never occur though they should."""
    chance = poisson.cdf(seen, expected)
    never = (seen <= MISSING_SHARE * expected) & (chance < FALSE_ALARM / seen.size)
    never[[0, -1]] = False
    return [int(code) + lowest for code in np.flatnonzero(never)]


def _bit_weights(
    table: CodeTable, span: slice, smooth: Floats, bits: int, nominal: _Evaluation, statistic: float
) -> tuple[BitWeight, ...]:
    """Errors of the weights of bits, as thresholds have them; none where they explain little of the `statistic`."""
    at = np.arange(span.start, span.stop) + 1
    pattern = ((at[:, None] >> np.arange(bits)) & 1).astype(np.float64)
    design = np.concatenate([smooth, pattern], axis=1)
    explained = [
        float(pulled @ np.linalg.pinv(x.T @ (_part(nominal.information, span) @ x), hermitian=True) @ pulled)
        for x in (smooth, design)
        for pulled in (x.T @ nominal.score[span],)
    ]
    if explained[1] - explained[0] < BITS_EXPLAIN * statistic:
        return ()
    shift = np.zeros(table.codes + 1)
    # Smooth shifts move along: the fitted INL has taken in what it could of the bits'.
    weights: Floats = np.zeros(design.shape[1])
    for _ in range(BIT_ROUNDS):
        shift[span.start + 1 : span.stop + 1] = design @ weights
        e = _evaluate(table, shift, 1.0)
        information = design.T @ (_part(e.information, span) @ design)
        inverse = np.linalg.pinv(information, rcond=1e-10, hermitian=True)
        step = np.clip(inverse @ (design.T @ e.score[span]), -1.0, 1.0)
        weights = weights + step
        if np.abs(step).max() < 0.01:
            break
    error = weights[-bits:]
    error, covariance = _fewest(error, inverse[-bits:, -bits:])
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    limit = float(norm.isf(FALSE_ALARM / (2 * bits)))
    # What the INL takes in, a weight cannot be told from.
    own = pattern - smooth @ np.linalg.lstsq(smooth, pattern, rcond=None)[0]
    told = (own.std(axis=0) > 0.1) & (np.abs(error) > limit * deviation) & (np.abs(error) > MATTERS_LSB)
    told &= np.abs(error) > LESSER_BIT * np.abs(error * told).max()
    return tuple(BitWeight(int(k), float(error[k]), float(deviation[k])) for k in np.flatnonzero(told))


def _fewest(error: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """The same errors with the gain that makes them fewest.

    A gain is an error of every bit in the ratio of its weight, and no measurement tells the two apart. Taken out is
    what leaves the sum of |error| over their weights' roots least, which one of the bits has as its own.
    """
    weight = 2.0 ** np.arange(error.size)
    gains = error / weight
    left = np.abs(error - gains[:, None] * weight)
    bit = int(np.argmin((left / np.sqrt(weight)).sum(axis=1)))
    change = np.eye(error.size)
    change[:, bit] -= weight / weight[bit]
    return change @ error, change @ covariance @ change.T
