"""The INL that all columns share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.style import BLUE, instead, set_title
from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.schema import Calibration
from imctrain.calibration.sections.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_inl(axis: Axes, c: Calibration, e: Evidence) -> None:
    """The fitted curve with its interval, and what conversions say by themselves."""
    title = "INL shared by the columns, end points at zero"
    knots = e.fit.transfer.knots
    if not knots.size:
        instead(axis, "too few different inputs", title)
        return
    k = e.fit.parameters.inl.size
    value = np.pad(e.fit.parameters.inl, 1)
    half = np.pad(half_width(e.replicates.shared[:, :k]), 1)
    axis.axhline(0, color="black", lw=0.6)
    axis.fill_between(knots, value - half, value + half, color=BLUE, alpha=0.25, lw=0, label="95 % confidence")
    axis.plot(knots, value, color=BLUE, label="fit")
    r = e.residuals
    usual = 3 * np.median(r.error) if r.error.size else 0.0
    inside = (r.v > knots[0]) & (r.v < knots[-1]) & (r.error < usual)
    at = (np.interp(r.v, knots, value) + r.mean)[inside]
    axis.errorbar(
        r.v[inside], at, r.error[inside], label="mean of conversions", fmt=".", ms=3, color="black", lw=0.6, zorder=0
    )
    axis.legend(loc="best", ncols=3, columnspacing=1.0, handlelength=1.4)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.25 * (high - low))
    axis.set(xlabel="ideal v (fraction of full scale)", ylabel="INL (LSB)")
    axis.set_xlim(e.fit.transfer.setup.lowest_v, 1.0)
    set_title(axis, title)
