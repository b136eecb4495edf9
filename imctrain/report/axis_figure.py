"""Accuracy against an axis of a sweep (noise, first of all): a curve a variant, lines at and below the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.report.crossing import Estimate
from imctrain.report.style import COLOURS, drawing, legend_outside, save_figure, subplots
from imctrain.report.sweep_table import SIGMA, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DROPS = (0.02, 0.10)
"""Lines below the baseline that a noise level is measured by."""
LABELS = {
    SIGMA: "noise before rounding, \u03c3 (LSB at R = 1)",
    "imc.adc.bits": "ADC bits",
    "imc.array.rows": "rows of the array",
    "data.batch_size": "images a step",
}
MARKERS = "osD^vP*"
CROSSING = "noise that costs so many points; bar: 95 % interval"
"""What a mark on a line says."""
NAME_HEIGHT = 0.045
"""Height of a line's name, as a share of the axis."""
WIDE = 6.0
"""Levels whose largest is this often the smallest one above zero are drawn on a logarithmic axis."""


@drawing()
def draw_axis_figure(
    curves: Curves, target: Path, crossings: dict[str, dict[float, Estimate]] | None = None, title: str = ""
) -> None:
    """Draw to `target` (format by its suffix).

    Args:
        crossings: {curve: {drop: level}}, drawn on the lines at DROPS.
    """
    figure, axis = subplots(figsize=(5.2, 4.0), layout="constrained")
    levels = sorted({x for points in curves.by_curve.values() for x in points})
    _scale(axis, levels)
    for i, (name, points) in enumerate(curves.by_curve.items()):
        colour = COLOURS[i % len(COLOURS)]
        x = np.asarray(sorted(points), float)
        mean = np.asarray([100 * np.mean(points[v]) for v in sorted(points)])
        axis.plot(x, mean, label=name, markersize=4.5, zorder=3, color=colour, marker=MARKERS[i % len(MARKERS)])
        low, high = (np.asarray([100 * f(points[v]) for v in sorted(points)]) for f in (min, max))
        if np.any(high > low):
            axis.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, zorder=2)
            for v in sorted(points):
                axis.plot([v] * len(points[v]), [100 * a for a in points[v]], ".", color=colour, ms=2.5, zorder=3)
        for drop, level in (crossings or {}).get(name, {}).items():
            _mark(axis, level, 100 * (float(np.mean(curves.references["float"])) - drop), colour)
    _lines(axis, curves)
    axis.set_xlabel(LABELS.get(curves.axis or "", curves.axis or ""))
    axis.set_ylabel(f"{curves.measured} (%)")
    if title:
        axis.set_title(title, loc="left")
    if any(level.value is not None for levels in (crossings or {}).values() for level in levels.values()):
        axis.plot([], [], "|", color="0.3", ms=9, mew=1.5, label=CROSSING)
    if any(len(group) > 1 for group in curves.groups):
        axis.plot([], [], color="0.5", lw=5, alpha=0.3, label="shade: lowest to highest seed")
    legend_outside(figure, "outside lower center", 2)
    save_figure(figure, target)


def _scale(axis: Axes, levels: list[float]) -> None:
    positive = [x for x in levels if x > 0]
    if positive and max(positive) / min(positive) >= WIDE:
        if len(positive) < len(levels):
            axis.set_xscale("symlog", linthresh=min(positive), linscale=0.4, base=2)
        else:
            axis.set_xscale("log", base=2)
    axis.set_xticks(levels, [f"{x:g}" for x in levels], minor=False)
    axis.minorticks_off()


def _lines(axis: Axes, curves: Curves) -> None:
    """Baseline, baseline - 2, baseline - 10 and the digital reference, named at the right end."""
    named: list[tuple[float, str]] = []
    if "float" in curves.references:
        base = 100 * float(np.mean(curves.references["float"]))
        for drop in (0.0, *DROPS):
            y = base - 100 * drop
            axis.axhline(y, color="0.35", lw=0.9, ls="-" if drop == 0 else (0, (4, 3)), zorder=1)
            name = f"float {base:.1f}" if drop == 0 else f"-{100 * drop:g} points"
            named.append((y, name))
    if "digital" in curves.references:
        y = 100 * float(np.mean(curves.references["digital"]))
        axis.axhline(y, color="0.55", lw=1.0, ls=(0, (1, 1.5)), zorder=1, label=f"formats only, digital: {y:.1f}%")
    bottom, top = axis.get_ylim()
    # Lines that are close together keep their names apart, downwards from the highest.
    below = top
    for y, text in sorted(named, reverse=True):
        below = place = min(y, below)
        below -= NAME_HEIGHT * (top - bottom)
        axis.annotate(
            text,
            xy=(1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color="0.3",
            annotation_clip=False,
        )
    axis.set_ylim(bottom, top)


def _mark(axis: Axes, level: Estimate, y: float, color: str) -> None:
    """A crossing on its line, with its interval where that is closed."""
    if level.value is None:
        return
    if level.low is not None and level.high is not None:
        axis.plot([level.low, level.high], [y, y], color=color, lw=3.0, alpha=0.45, solid_capstyle="butt", zorder=4)
    axis.plot([level.value], [y], "|", color=color, ms=9, mew=1.5, zorder=5)
