"""What each kept conversion says about its mean: scores of the likelihood, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.fit.chip_fit import ChipFit
from imctrain.calibration.fit.design import hat_basis
from imctrain.calibration.fit.likelihood import cell_scores
from imctrain.calibration.fit.transfer import gain_factor, offset_shift

FRACTIONS = 64
CLIP_SIGMAS = 3.0
SIGMA_DIGITS = 2


@dataclass(frozen=True)
class Rows:
    """Kept conversions of good columns, in order, where the converter does not clip.

    Attributes, of each row [T]: setting, unit, row (place in the file), when (0 at the first row of the file, 1 at the
    last, or by time), v, u (nominal codes), inverse_range.
        score: derivative of the log-likelihood by the mean, per code; its expectation is 0. information: its variance.
        repeat: or None. time: seconds, or None.
    """

    setting: Ints
    unit: Ints
    row: Ints
    when: Floats
    v: Floats
    u: Floats
    inverse_range: Floats
    score: Floats
    information: Floats
    repeat: Ints | None
    time: Floats | None

    @property
    def count(self) -> int:
        """T."""
        return self.row.size


def rows_in_order(fit: ChipFit) -> Rows | None:
    """None where the order is not known."""
    transfer, h = fit.transfer, fit.transfer.histogram
    order, setup = h.order, transfer.setup
    if order is None or order.row.size == 0:
        return None
    unit = transfer.unit[order.setting]
    inverse_range = 1.0 / h.range[order.setting]
    v = order.u / (inverse_range * setup.codes_per_v)
    p = fit.parameters
    about = transfer.about(order.setting)
    lever = (order.u + (hat_basis(v, transfer.knots) @ p.inl) * inverse_range) * gain_factor(about, p)
    mean = p.gain[unit] * lever + (p.offset[unit] + offset_shift(about, p)) * inverse_range
    sigma = np.sqrt(fit.noise.variance(transfer))[order.setting]
    # By the mean and not by the code: a choice by codes would bend the scores.
    inside = (mean > setup.lowest + CLIP_SIGMAS * sigma) & (mean < setup.highest - CLIP_SIGMAS * sigma)
    good = np.flatnonzero(inside & (fit.usable & ~fit.outliers)[unit])
    if good.size == 0:
        return None
    mean, sigma = mean[good], sigma[good]
    score = cell_scores(order.code[good], mean, sigma, fit.bad, setup.lowest, setup.highest).mean
    when = order.row / max(order.rows - 1, 1)
    if order.time is not None and np.ptp(order.time) > 0:
        when = (order.time - order.time.min()) / np.ptp(order.time)
    return Rows(
        setting=order.setting[good],
        unit=unit[good],
        row=order.row[good],
        when=when[good],
        v=v[good],
        u=order.u[good],
        inverse_range=inverse_range[good],
        score=score,
        information=_information(mean, sigma),
        repeat=None if order.repeat is None else order.repeat[good],
        time=None if order.time is None else order.time[good],
    )


def _information(mean: Floats, sigma: Floats) -> Floats:
    """Expected information of a rounded Gaussian about its mean, per code squared, [T]."""
    distinct, index = np.unique(np.round(np.log(sigma), SIGMA_DIGITS), return_inverse=True)
    fraction = (np.arange(FRACTIONS) + 0.5) / FRACTIONS
    table = np.empty((distinct.size, FRACTIONS))
    for row, width in enumerate(np.exp(distinct)):
        reach = int(np.ceil(6 * width)) + 2
        edges = (np.arange(-reach, reach + 2)[:, None] - 0.5 - fraction) / width
        probability = np.maximum(np.diff(ndtr(edges), axis=0), 1e-12)
        density = np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi)
        table[row] = (np.diff(density, axis=0) ** 2 / probability).sum(axis=0) / width**2
    at = np.minimum((mean - np.floor(mean)) * FRACTIONS, FRACTIONS - 1).astype(np.int64)
    return table[index.ravel(), at]
