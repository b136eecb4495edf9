"""Two calibrations side by side, in one picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from imctrain.calibration.datasheet.dnl import draw_dnl
from imctrain.calibration.datasheet.style import BLUE, RED
from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.typical import alive_columns
from imctrain.calibration.summary.headline import geometry, origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_comparison(a: Calibration, b: Calibration, subplots: Callable[..., tuple[Figure, Any]]) -> Figure:
    """A figure of both.

    Args:
        subplots: makes a figure and its axes, of matplotlib's options, in the project's style.
    """
    with_dnl = a.dnl is not None or b.dnl is not None
    figure, axes = subplots(2 + with_dnl, 2, figsize=(8.27, 6.2 + 2.6 * with_dnl), layout="constrained")
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 0.86))
    for c, colour, y in ((a, BLUE, 0.955), (b, RED, 0.905)):
        figure.text(0.05, y, c.name, color=colour, fontweight="bold", fontsize=11, va="center")
        figure.text(0.4, y, f"{origin(c)}\n{geometry(c)}", fontsize=7, va="center")
    _noise(axes[0, 0], a, b)
    _inl(axes[0, 1], a, b)
    _distribution(axes[1, 0], a, b, "gain")
    _distribution(axes[1, 1], a, b, "offset")
    if with_dnl:
        for axis, c, colour in ((axes[2, 0], a, BLUE), (axes[2, 1], b, RED)):
            draw_dnl(axis, c, colour)
    return figure


def _noise(axis: Axes, a: Calibration, b: Calibration) -> None:
    """The noise and its parts, with intervals."""
    labels = ("total", "before\nthe range", "in the\nconverter")
    for c, colour, shift in ((a, BLUE, -0.2), (b, RED, 0.2)):
        parts = (c.noise.sigma_lsb, c.noise.sigma_array_lsb, c.noise.sigma_adc_lsb)
        for at, part in enumerate(parts):
            if part is None:
                axis.text(at + shift, 0, "not\nknown", ha="center", va="bottom", fontsize=7, color=colour)
                continue
            error = [[part.value - part.low], [part.high - part.value]]
            axis.bar(at + shift, part.value, 0.36, color=colour, alpha=0.6)
            axis.errorbar(at + shift, part.value, error, color="black", lw=1, capsize=2)
    axis.set_xticks(range(3), labels)
    axis.set(ylabel="LSB at R = 1")
    axis.grid(axis="x", visible=False)
    axis.set_title("Noise before rounding", loc="left", fontweight="bold")


def _inl(axis: Axes, a: Calibration, b: Calibration) -> None:
    axis.axhline(0, color="black", lw=0.6)
    for c, colour in ((a, BLUE), (b, RED)):
        if not c.inl.v:
            axis.plot([-1 if c.adc.polarity == "bipolar" else 0, 1], [0, 0], color=colour, ls=":", label="none given")
            continue
        axis.plot(c.inl.v, c.inl.lsb, color=colour)
        if c.inl.low is not None and c.inl.high is not None:
            axis.fill_between(c.inl.v, c.inl.low, c.inl.high, color=colour, alpha=0.2, lw=0)
    axis.set(xlabel="ideal v (fraction of full scale)", ylabel="INL (LSB)")
    axis.set_title("INL shared by the columns", loc="left", fontweight="bold")


def _distribution(axis: Axes, a: Calibration, b: Calibration, what: str) -> None:
    """Columns against each other where both list them, else histograms, or the spread as a Gaussian."""
    percent = what == "gain"
    values = {}
    for name, c in (("a", a), ("b", b)):
        columns = alive_columns(c)
        values[name] = {column.column: 100 * (column.gain - 1) if percent else column.offset_lsb for column in columns}
    unit = "deviation from nominal (%)" if percent else "LSB"
    axis.set_title(f"{what.capitalize()} of columns", loc="left", fontweight="bold")
    shared = sorted(values["a"].keys() & values["b"].keys())
    if shared:
        x, y = ([values[name][column] for column in shared] for name in ("a", "b"))
        limit = 1.05 * max(map(abs, [*x, *y])) or 1.0
        axis.plot([-limit, limit], [-limit, limit], color="0.6", lw=0.8)
        axis.scatter(x, y, s=7, color="black", lw=0, alpha=0.7)
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
        axis.set_xlabel(f"{a.name}: {unit}", color=BLUE)
        axis.set_ylabel(f"{b.name}: {unit}", color=RED)
        return
    for name, c, colour in (("a", a, BLUE), ("b", b, RED)):
        spread = 100 * c.spread.gain_std if percent else c.spread.offset_std_lsb
        if values[name]:
            axis.hist(list(values[name].values()), bins=30, density=True, color=colour, alpha=0.5)
        elif spread > 0:
            z = np.linspace(-4, 4, 200)
            density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / spread
            axis.plot(z * spread, density, color=colour, label="spread, no columns listed")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper right")
        axis.set_ylim(0, 1.25 * axis.get_ylim()[1])
    axis.set(xlabel=unit, ylabel="density")
