"""Widths of the converter's codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.style import BLUE, aside, instead, set_title
from imctrain.calibration.schema import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_dnl(axis: Axes, c: Calibration, colour: str = BLUE) -> None:
    """What each code's width is off one LSB, with its interval."""
    title = "DNL pooled over columns"
    dnl = c.dnl
    if dnl is None:
        instead(axis, "none given", title)
        return
    code = dnl.first_code + np.arange(len(dnl.width))
    axis.axhline(0, color="black", lw=0.6)
    if dnl.low is not None and dnl.high is not None:
        low, high = np.array(dnl.low) - 1, np.array(dnl.high) - 1
        axis.fill_between(code, low, high, step="mid", color=colour, alpha=0.25, lw=0)
    axis.step(code, np.array(dnl.width) - 1, where="mid", color=colour, lw=0.7)
    bottom, top = axis.get_ylim()
    axis.set(xlabel="code", ylabel="width - 1 (LSB)", ylim=(bottom, top + 0.2 * (top - bottom)))
    if dnl.rms_lsb is not None:
        aside(axis, f"rms {dnl.rms_lsb.value:.2g} LSB; shade: 95 % interval")
    set_title(axis, title)
