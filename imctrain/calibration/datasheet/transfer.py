"""The transfer curve, and what the codes are off it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.ranges import at_range, ranges_in
from imctrain.calibration.datasheet.style import BLUE, GREY, RED, aside, instead, set_title
from imctrain.calibration.sections.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_transfer(axis: Axes, e: Evidence) -> None:
    """Counts of codes against the input, with the mean transfer of all columns."""
    from matplotlib.colors import LogNorm

    setup = e.fit.transfer.setup
    image = e.residuals.image.T
    reference = float(e.fit.transfer.histogram.range.max())
    extent = (setup.lowest_v, 1.0, setup.lowest - 0.5, setup.highest + 0.5)
    shown = np.ma.masked_equal(image, 0)
    axis.imshow(
        shown, origin="lower", extent=extent, aspect="auto", cmap="Blues", norm=LogNorm(vmin=0.1), rasterized=True
    )
    v = np.linspace(setup.lowest_v, 1.0, 400)
    good = e.fit.usable
    gain, offset = e.fit.parameters.gain[good].mean(), e.fit.parameters.offset[good].mean()
    knots = e.fit.transfer.knots
    inl = np.interp(v, knots, np.pad(e.fit.parameters.inl, 1)) if knots.size else 0.0
    code = (gain * (v * setup.codes_per_v + inl) + offset) / reference
    axis.plot(v, np.clip(code, setup.lowest, setup.highest), color=RED, lw=0.9, label="fit, mean of columns")
    axis.set(ylabel="code", ylim=(setup.lowest - 3, setup.highest + 3))
    axis.legend(loc="upper left")
    axis.tick_params(labelbottom=False)
    axis.text(0.99, 0.05, "shade: conversions, log", transform=axis.transAxes, ha="right", fontsize=7, color=GREY)
    set_title(axis, f"Transfer curve{at_range(e)}")


def draw_residuals(axis: Axes, e: Evidence) -> None:
    """Mean and deviation of code - fit, against the input."""
    r = e.residuals
    if not r.v.size:
        instead(axis, "", "")
        return
    # At the ends few conversions have a window that does not clip.
    shown = r.error < 3 * np.median(r.error)
    v, mean, deviation = r.v[shown], r.mean[shown], r.deviation[shown]
    axis.fill_between(v, mean - deviation, mean + deviation, color=BLUE, alpha=0.18, lw=0)
    axis.plot(v, mean, color=BLUE, lw=1.0)
    axis.axhline(0, color="black", lw=0.6)
    largest = 1.6 * float((np.abs(mean) + deviation).max(initial=0.1))
    axis.set(xlabel="ideal v (fraction of full scale)", ylabel="code - fit\n(LSB)", ylim=(-largest, largest))
    axis.set_xlim(e.fit.transfer.setup.lowest_v, 1.0)
    aside(axis, "mean and \u00b11 \u03c3" + (", all ranges, LSB at R = 1" if ranges_in(e) > 1 else ""))
