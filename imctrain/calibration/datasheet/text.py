"""The figures and the notes."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from imctrain.calibration.datasheet.style import GREY
from imctrain.calibration.schema import Calibration
from imctrain.calibration.summary.figures import figures
from imctrain.calibration.summary.headline import origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


LARGEST, SMALLEST = 7.5, 5.0
"""Sizes of the figures' letters, points."""
GAP = 0.03
"""Between two columns of figures, as a share of the panel."""


def _columns(axis: Axes, inches: float, rows: list[tuple[str, str, str]]) -> tuple[float, float]:
    """(size of letters, right end of the values): no text of a row runs into the next one.

    Args:
        inches: width of the page.
    """
    from matplotlib.textpath import TextPath

    def wide(text: str, size: float) -> float:
        return float(TextPath((0, 0), text, size=size).get_extents().x1) if text.strip() else 0.0

    def widths(size: float) -> tuple[list[float], list[float], list[float]]:
        panel = 72.0 * axis.get_position().width * inches
        found = [[wide(cell, size) / panel for cell in row] for row in rows]
        labels, values, intervals = (list(column) for column in zip(*found, strict=True))
        return labels, values, intervals

    size = LARGEST
    while True:
        labels, values, intervals = widths(size)
        end = 0.99 - max(intervals) - GAP
        if size <= SMALLEST or all(a + GAP + b <= end for a, b in zip(labels, values, strict=True)):
            return size, min(end, 0.7)
        size -= 0.25


def draw_text(figure: Figure, place: SubplotSpec, c: Calibration) -> None:
    """Figures at the left, origin and warnings at the right."""
    inner = place.subgridspec(1, 2, width_ratios=(1, 1.02), wspace=0.08)
    left, right = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
    for axis in (left, right):
        axis.axis("off")
    rows = [(f.label, f.text, f.interval) for f in figures(c)]
    rows.append(("r² of codes", f"{c.fit.r2:.5f}", ""))
    rows.append(("clipped codes", f"{100 * c.fit.clipped_fraction:.2f} %", ""))
    step = min(0.072, 0.9 / (len(rows) + 1))
    left.text(0, 1.0, "Figures", fontweight="bold", va="top", transform=left.transAxes)
    confidence = c.fit.confidence
    if confidence is not None:
        left.text(
            0.99,
            1.0,
            f"{confidence.level:.0%} interval",
            va="top",
            ha="right",
            fontsize=7.5,
            color=GREY,
            transform=left.transAxes,
        )
    size, value_end = _columns(left, figure.get_figwidth(), rows)
    for number, (label, value, interval) in enumerate(rows, start=1):
        y = 0.96 - number * step
        left.text(0, y, label, va="top", fontsize=size, transform=left.transAxes)
        left.text(value_end, y, value, va="top", ha="right", fontsize=size, transform=left.transAxes)
        left.text(0.99, y, interval, va="top", ha="right", fontsize=size, color=GREY, transform=left.transAxes)
    lines = [f"Origin. {origin(c)}."]
    if c.source is not None:
        lines.append(f"SHA-256 {c.source.sha256[:16]}…")
    if c.notes:
        # A digest is one long word: its beginning tells files apart.
        lines.append(re.sub(r"([0-9a-f]{16})[0-9a-f]{48}", r"\1…", c.notes))
    if confidence is not None:
        lines.append(f"Intervals: {confidence.method}, {confidence.replicates} replicates.")
    lines += [f"• {warning}." for warning in c.fit.warnings] or ["No warnings."]
    wrapped = [
        part for line in lines for part in textwrap.wrap(line, 66, subsequent_indent="  " if line[0] == "•" else "")
    ]
    most = 17
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], "… the calibration file has the rest."]
    right.text(0, 1.0, "Notes", fontweight="bold", va="top", transform=right.transAxes)
    right.text(0, 0.915, "\n".join(wrapped), va="top", fontsize=7, linespacing=1.35, transform=right.transAxes)
