"""The noise, in all and at every reference range."""

from __future__ import annotations

import math

import numpy as np

from imctrain.calibration.faults.slow_noise import Part, SlowNoise
from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.schema import Estimate, Noise, RangeNoise
from imctrain.calibration.sections.bounds import positive, root, rounded
from imctrain.calibration.sections.evidence import Evidence


def noise_of(e: Evidence) -> Noise:
    """Total and, where more than one range was measured, its two parts."""
    fit = e.fit
    law, changes = fit.noise, e.replicates.noise
    scale = e.freedom**2
    # Single columns' curves are static and before the range; to the fit they look like noise there. Where they show at
    # the larger range alone they look like the converter's.
    curves = law.total**2 * (1 - e.temporal_share**2)
    array_variance = max(law.array * scale - curves, 0.0)
    adc_variance = max(law.adc * scale + min(law.array * scale - curves, 0.0), 0.0)
    d_array, d_adc = changes[:, 0], changes[:, 1]
    total = root(array_variance + adc_variance, float(half_width(d_array + d_adc)))
    slow = e.faults.slow
    of_time = {} if slow is None else _parts_of_time(slow, total)
    if not law.split:
        return Noise(sigma_lsb=total, **of_time)
    parts = (root(array_variance, float(half_width(d_array))), root(adc_variance, float(half_width(d_adc))))
    return Noise(sigma_lsb=total, sigma_array_lsb=parts[0], sigma_adc_lsb=parts[1], **of_time)


def _parts_of_time(slow: SlowNoise, total: Estimate) -> dict[str, Estimate | None]:
    """Both parts; where estimates of them make more than the total, each is lowered to its share of it."""
    found = {"sigma_slow_lsb": _part_of_time(slow.slow, total), "sigma_common_lsb": _part_of_time(slow.common, total)}
    made = math.hypot(*(0.0 if part is None else part.value for part in found.values()))
    if made <= total.value:
        return found
    share = total.value / made
    return {
        name: part and Estimate(value=rounded(share * part.value), low=rounded(share * part.low), high=part.high)
        for name, part in found.items()
    }


def _part_of_time(part: Part | None, total: Estimate) -> Estimate | None:
    """A part that repeats or columns share, 0 where it is not significant; never more than the total."""
    if part is None or not np.isfinite(part.error):
        return None
    high = min(float(np.sqrt(max(part.variance + 1.96 * part.error, 0.0))), total.high)
    if not part.significant:
        return Estimate(value=0.0, low=0.0, high=rounded(high))
    bounds = (max(part.variance - 1.96 * part.error, 0.0), part.variance)
    low, value = (min(float(np.sqrt(x)), high) for x in bounds)
    return Estimate(value=rounded(value), low=rounded(low), high=rounded(high))


def ranges_of(e: Evidence) -> tuple[RangeNoise, ...]:
    """Noise at every measured range, each fitted on its own, in LSB of that range."""
    fit = e.fit
    h, setup = fit.transfer.histogram, fit.transfer.setup
    setting = h.setting[h.bin_of_cell]
    clipped = np.bincount(setting, h.count * ((h.code == setup.lowest) | (h.code == setup.highest)), h.range.size)
    rows = np.bincount(setting, h.count, h.range.size)
    found = []
    for reference in np.unique(h.range)[::-1]:
        every = h.range == reference
        members = every & (fit.transfer.informative[fit.transfer.unit] > 0)
        step = fit.scores.spread[members].sum() / max(fit.scores.spread_square[members].sum(), 1e-9)
        by_law = float(np.sqrt(fit.noise.array / reference**2 + fit.noise.adc)) * e.freedom
        half = float(half_width(e.replicates.log_sigma_of(members, fit)))
        sigma = positive(by_law * float(np.exp(np.clip(step, -1, 1))), half)
        n = int(rows[every].sum())
        share = float(clipped[every].sum() / max(n, 1))
        found.append(RangeNoise(range=rounded(reference), sigma_lsb=sigma, n=n, clipped_fraction=rounded(share)))
    return tuple(found)
