"""The noise: of all conversions, at every range, of single columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.ranges import at_range
from imctrain.calibration.datasheet.style import BLUE, GREEN, RED, instead, set_title
from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.typical import alive_columns
from imctrain.calibration.sections.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_noise(axis: Axes, c: Calibration, e: Evidence) -> None:
    """Residuals of codes against what the fitted Gaussian, rounded, should give."""
    r = e.residuals
    if not r.counts.any():
        instead(axis, "the noise is so wide that every conversion may clip", "Noise")
        return
    width = r.edges[1] - r.edges[0]
    centres = 0.5 * (r.edges[1:] + r.edges[:-1])
    total = max(r.counts.sum(), 1.0)
    seen = r.counts > 0
    axis.bar(centres[seen], r.counts[seen] / total / width, width, color=BLUE, alpha=0.45, label="codes")
    axis.stairs(r.gaussian / total / width, r.edges, color=RED, lw=1.2, label="fit, rounded Gaussian")
    lowest = 0.3 / total / width
    # "$" is a letter in the pages, so powers of ten are not written as mathematics.
    axis.set(yscale="log", xlabel="code - fitted mean (LSB of the range)", ylabel="density (1/LSB)")
    axis.yaxis.set_major_formatter("{x:g}")
    peak = float((r.gaussian / total / width).max())
    axis.set_ylim(lowest, 60 * peak)
    reach = float(np.abs(centres[(r.counts > 0) | (r.gaussian > 0.3)]).max()) * 1.05
    axis.set_xlim(-reach, reach)
    axis.legend(loc="upper left")
    sigma = c.noise.sigma_lsb
    words = f"\u03c3 = {sigma.value:.3f} LSB\n{sigma.low:.3f} to {sigma.high:.3f}"
    words += f"\nkurtosis {c.fit.residual_kurtosis:.2f}"
    axis.text(0.97, 0.97, words, transform=axis.transAxes, ha="right", va="top", fontsize=8)
    set_title(axis, f"Noise{at_range(e)}")


def draw_range_noise(axis: Axes, c: Calibration) -> None:
    """Noise in LSB of the range, against the range: where the two parts of the noise part."""
    assert c.ranges is not None
    r = np.array([x.range for x in c.ranges])
    value = np.array([x.sigma_lsb.value for x in c.ranges])
    bars = np.array([(x.sigma_lsb.value - x.sigma_lsb.low, x.sigma_lsb.high - x.sigma_lsb.value) for x in c.ranges]).T
    axis.errorbar(r, value, bars, fmt="o", ms=4, color="black", label="each range on its own")
    if c.noise.sigma_array_lsb is not None and c.noise.sigma_adc_lsb is not None:
        fine = np.geomspace(r.min() / 1.15, r.max() * 1.15, 100)
        array, adc = c.noise.sigma_array_lsb.value, c.noise.sigma_adc_lsb.value
        axis.plot(fine, np.hypot(array / fine, adc), color=RED, label="fit")
        axis.plot(fine, array / fine, color=BLUE, ls="--", lw=1, label=f"before the range, {array:.3f} LSB / R")
        axis.plot(fine, np.full_like(fine, adc), color=GREEN, ls=":", label=f"converter, {adc:.3f} LSB")
    axis.set(xscale="log", yscale="log", xlabel="reference range R", ylabel="\u03c3 (LSB of the range)")
    axis.set_xticks(r, [f"{x:g}" for x in r])
    axis.minorticks_off()
    low, high = axis.get_ylim()
    axis.set_ylim(low / 1.1, high * (high / low) ** 0.45)
    ticks = [x for x in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 1.1 <= x <= high * 1.5]
    axis.set_yticks(ticks, [f"{x:g}" for x in ticks])
    axis.legend(loc="upper right", fontsize=7)
    set_title(axis, "Noise against the reference range")


def draw_column_noise(axis: Axes, c: Calibration) -> None:
    """How the noise of columns is spread, where there is only one range."""
    sigma = np.array([column.sigma_lsb for column in alive_columns(c)])
    axis.hist(sigma, bins=min(40, max(5, sigma.size // 6)), color=BLUE, alpha=0.6)
    axis.axvline(c.noise.sigma_lsb.value, color=RED, label="all columns together")
    axis.set(xlabel="\u03c3 of a column (LSB)", ylabel="columns")
    axis.locator_params(axis="y", integer=True)
    axis.set_ylim(0, 1.25 * axis.get_ylim()[1])
    axis.legend(loc="upper right")
    set_title(axis, "Noise of single columns")
