"""Accuracy of variants without an axis (ablations, claims): a line each, points and numbers, against references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.report.axis_figure import DROPS
from imctrain.report.style import COLOURS, drawing, save_figure, subplots
from imctrain.report.sweep_table import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR_OUT = 3.0
"""Interquartile ranges below the first quartile (Tukey's outer fence): there a variant may be cut off the axis."""
MOST_CUT = 0.2
"""At most this share of the variants is cut: more than that is no exception."""
MARGIN = 0.04
"""Beside the points, as a share of what they span."""
REACH = 0.5
"""A line to measure by that lies lower than all points by this share of what they span is still shown."""


@drawing()
def draw_variants(curves: Curves, target: Path, title: str = "") -> None:
    """Draw to `target` (format by its suffix).

    The few variants that lie far below all others are arrows at the edge with their accuracy, so that the rest keeps
    its scale. Variants named "WHAT: VALUE" stand apart from those of another WHAT.
    """
    names = list(curves.by_curve)
    accuracies = [100 * np.asarray(curves.by_curve[name][None]) for name in names]
    lines = {name: 100 * float(np.mean(found)) for name, found in curves.references.items()}
    edge = lowest_shown([float(a.mean()) for a in accuracies])
    figure, axis = subplots(figsize=(6.2, 1.2 + 0.2 * len(names)), layout="constrained")
    for place, (name, values) in enumerate(zip(names, accuracies, strict=True)):
        _draw_row(axis, place, values, edge, lines.get("float"))
        if place and _group(name) != _group(names[place - 1]):
            axis.axhline(place - 0.5, color="0.85", lw=0.6, zorder=0)
    for i, (name, value) in enumerate(lines.items()):
        axis.axvline(value, color=str(0.25 + 0.3 * i), lw=1.0, ls=("-", "--")[i % 2], label=name, zorder=1)
    shown = np.concatenate([*accuracies, np.asarray(list(lines.values()))])
    low, high = max(edge, float(shown.min())), float(shown.max())
    drops = {f"{-100 * drop:g}": lines.get("float", np.inf) - 100 * drop for drop in DROPS}
    low = min([low, *(line for line in drops.values() if 0 < low - line <= REACH * (high - low))])
    axis.set_xlim(low - MARGIN * (high - low or 1.0), high + MARGIN * (high - low or 1.0))
    _draw_drops(axis, drops)
    axis.grid(visible=False, axis="y")
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel(f"{curves.measured} (%)")
    if lines:
        figure.legend(loc="outside lower center", ncols=len(lines), fontsize=8)
    axis.set_title(title, loc="left", pad=12)
    save_figure(figure, target)


def lowest_shown(means: list[float]) -> float:
    """Accuracies below this are cut off the axis; -inf where nothing is."""
    first, third = np.quantile(means, (0.25, 0.75))
    fence = first - FAR_OUT * (third - first)
    cut = [mean < fence for mean in means]
    return min(mean for mean in means if mean >= fence) if 0 < sum(cut) <= MOST_CUT * len(means) else -np.inf


def _draw_row(axis: Axes, place: int, values: np.ndarray, edge: float, baseline: float | None) -> None:
    mean = float(values.mean())
    if mean < edge:
        axis.plot([0.0], [place], "<", color=COLOURS[1], ms=5, transform=axis.get_yaxis_transform(), clip_on=False)
    else:
        axis.plot(values, [place] * len(values), "o", color=COLOURS[0], ms=4, alpha=0.6)
        if len(values) > 1:
            axis.plot([mean], [place], "|", color=COLOURS[0], ms=11, mew=1.5)
    text = f"{mean:.1f}" if baseline is None else f"{mean:.1f}  ({mean - baseline:+.1f})"
    axis.annotate(
        text,
        xy=(1.0, place),
        xycoords=axis.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=COLOURS[1] if mean < edge else "0.3",
    )


def _draw_drops(axis: Axes, drops: dict[str, float]) -> None:
    """The lines below float that the claims are measured by, {name: accuracy}, as far as the axis reaches."""
    low, high = axis.get_xlim()
    for name, line in drops.items():
        if low <= line <= high:
            axis.axvline(line, color="0.5", lw=0.9, ls=(0, (1, 2)), zorder=1)
            axis.annotate(
                name,
                xy=(line, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color="0.4",
            )


def _group(name: str) -> str:
    return name.split(":")[0].split(",")[0]
