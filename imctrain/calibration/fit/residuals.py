"""How well a fit describes the conversions: residuals and their tails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.chunks import Chunk, chunks, in_parallel
from imctrain.calibration.fit.expected_residuals import (
    FRACTIONS,
    WINDOW_CODES,
    WINDOW_SIGMAS,
    Expected,
    expected_histogram,
    expected_of,
)

V_BINS = 64
HISTOGRAM_STEPS_PER_CODE = 8


@dataclass(frozen=True)
class Residuals:
    """Residuals, code - mean, of fitted columns; but for the first three, where the converter does not clip.

    Attributes:
        rows: conversions of fitted columns. clipped: those with the lowest or highest code. unclipped: those whose
            tails the converter does not cut off; fractions below are of these.
        r2: share of the variance of codes that the mean explains, without bad rows.
        kurtosis: of the noise before rounding, 3 for a Gaussian; kurtosis_error: its standard error.
        beyond_4, beyond_4_gaussian: fraction of rows beyond four sigma and half a code; expected of the fit.
        bad: fraction of rows that have any code, from those outside the window.
        edges, counts, gaussian: histogram of residuals at the largest R, LSB of that range, and what the fit expects.
        v, mean, deviation, error: centres of bins in v; of residuals there the mean, the standard deviation, and the
            standard error of the mean; LSB at R = 1.
        image: counts of (v bin, code), [V_BINS, codes], for conversions at the largest R.
    """

    rows: int
    clipped: int
    unclipped: int
    r2: float
    kurtosis: float
    kurtosis_error: float
    beyond_4: float
    beyond_4_gaussian: float
    bad: float
    edges: Floats
    counts: Floats
    gaussian: Floats
    v: Floats
    mean: Floats
    deviation: Floats
    error: Floats
    image: Floats


class _Sums(NamedTuple):
    """Over conversions of fitted columns.

    rows: all. looked_at: those where nothing inside the window can clip. near: those of them inside it. explained: all
    inside it, codes clipped as the mean is; their codes, squares, and squared residuals follow.
    """

    rows: float
    clipped: float
    looked_at: float
    near: float
    explained: float
    code: float
    code2: float
    r2: float
    excess4: float
    excess8: float
    expected4: float
    bad4: float
    sigma4: float
    far: float
    expected_far: float
    bad_far: float
    codes_in_window: float


def residuals(fit: ChipFit) -> Residuals:
    """One pass over all cells."""
    transfer, h = fit.transfer, fit.transfer.histogram
    setup = transfer.setup
    mean, sigma = fit.mean(), fit.noise.sigma(transfer)
    window = WINDOW_SIGMAS * sigma + WINDOW_CODES
    largest = h.range == h.range.max()
    half = int(np.ceil(float(window[fit.usable[transfer.unit] & largest].max()) * HISTOGRAM_STEPS_PER_CODE)) + 1
    expected = expected_of(sigma)
    v_span = 1.0 - setup.lowest_v
    v_bin = np.clip(((transfer.v() - setup.lowest_v) / v_span * V_BINS).astype(int), 0, V_BINS - 1)
    codes = setup.highest - setup.lowest + 1

    def work(chunk: Chunk) -> tuple[_Sums, Floats, Floats, Floats]:
        setting, at = h.setting[chunk.bins], mean[chunk.bins]
        usable = fit.usable[transfer.unit[setting]]
        # Residuals count where none inside the window can clip.
        inside = usable & (at - window[setting] > setup.lowest) & (at + window[setting] < setup.highest)
        fraction = np.minimum((at - np.floor(at)) * FRACTIONS, FRACTIONS - 1).astype(int)
        of_bin = Expected(*(chunk.to_cells(table[setting, fraction]) for table in expected))
        code, width = h.code[chunk.cells].astype(np.float64), chunk.to_cells(sigma[setting])
        r = code - chunk.to_cells(at)
        every = h.count[chunk.cells] * chunk.to_cells(usable)
        looked_at = h.count[chunk.cells] * chunk.to_cells(inside)
        near = looked_at * (np.abs(r) <= chunk.to_cells(window[setting]))
        rest = code - chunk.to_cells(np.clip(at, setup.lowest, setup.highest))
        explained = every * (np.abs(rest) <= chunk.to_cells(window[setting]))
        sums = _Sums(
            rows=float(every.sum()),
            clipped=_dot(every, (code == setup.lowest) | (code == setup.highest)),
            looked_at=float(looked_at.sum()),
            near=float(near.sum()),
            explained=float(explained.sum()),
            code=_dot(explained, code),
            code2=_dot(explained, code**2),
            r2=_dot(explained, rest**2),
            excess4=_dot(near, r**4 - of_bin.r4),
            excess8=_dot(near, (r**4 - of_bin.r4) ** 2),
            expected4=_dot(near, of_bin.r4),
            bad4=_dot(near, of_bin.bad4),
            sigma4=_dot(near, width**4),
            far=_dot(near, np.abs(r) > 4 * width + 0.5),
            expected_far=_dot(near, of_bin.far),
            bad_far=_dot(near, of_bin.bad_far),
            codes_in_window=_dot(looked_at, of_bin.codes),
        )
        place = np.clip(np.floor(r * HISTOGRAM_STEPS_PER_CODE).astype(int) + half, 0, 2 * half - 1)
        bins = chunk.to_cells(v_bin[chunk.bins]).astype(int)
        volts = r * chunk.to_cells(h.range[setting])
        by_v = np.stack([np.bincount(bins, near * x, V_BINS) for x in (1.0, volts, volts**2)])
        shown = chunk.to_cells(largest[setting])
        pixel = bins * codes + h.code[chunk.cells] - setup.lowest
        image = np.bincount(pixel, every * shown, V_BINS * codes)
        return sums, 1.0 * np.bincount(place, near * shown, 2 * half), 1.0 * by_v, 1.0 * image

    columns = list(zip(*in_parallel(work, chunks(h)), strict=True))
    s = _Sums(*np.sum(np.array(columns[0]), axis=0))
    counts, by_v, image = (np.sum(np.stack(column), axis=0) for column in columns[1:])
    near, fourth = max(s.near, 1.0), max(s.sigma4, 1e-12)
    bad = min(1.0, (s.looked_at - s.near) / max(s.looked_at - s.codes_in_window / codes, 1.0))
    # Inside the window, a share of the rows are bad ones that fell there by chance.
    excess = s.excess4 + bad * s.expected4 - bad / codes * s.bad4
    far_expected = (1 - bad) * s.expected_far + bad / codes * s.bad_far
    seen = by_v[0] > 0
    n_v = np.maximum(by_v[0], 1.0)
    mean_v = by_v[1] / n_v
    deviation = np.sqrt(np.maximum(by_v[2] / n_v - mean_v**2, 0.0))
    edges = (np.arange(2 * half + 1) - half) / HISTOGRAM_STEPS_PER_CODE
    centres = setup.lowest_v + (np.arange(V_BINS) + 0.5) / V_BINS * v_span
    return Residuals(
        rows=int(s.rows),
        clipped=int(s.clipped),
        unclipped=int(s.looked_at),
        r2=float(1.0 - s.r2 / max(s.code2 - s.code**2 / max(s.explained, 1.0), 1e-12)),
        kurtosis=float(3.0 + excess / fourth),
        kurtosis_error=float(np.sqrt(s.excess8) / fourth),
        beyond_4=float(s.far / near),
        beyond_4_gaussian=float(far_expected / near),
        bad=float(bad),
        edges=edges,
        counts=counts,
        gaussian=expected_histogram(fit, mean, sigma, window, edges, float(counts.sum())),
        v=centres[seen],
        mean=mean_v[seen],
        deviation=deviation[seen],
        error=(deviation / np.sqrt(n_v))[seen],
        image=image.reshape(V_BINS, codes),
    )


def _dot(weights: Floats, values: Floats | NDArray[np.bool_]) -> float:
    return float(weights @ values)
