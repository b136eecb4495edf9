"""Accuracy against the energy of a training: the front, and beside it what digital arithmetic takes."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.report.numbers_in_plots import place_numbers
from imctrain.report.pareto import (
    MADE_BY,
    STEEPEST,
    Pareto,
    ParetoPoint,
    ParetoReference,
    at_steepest,
    differing_noise,
    point_name,
)
from imctrain.report.style import COLOURS, MARGIN, drawing, energy_axis, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEPTH = 0.15
"""Points that lie further below the highest accuracy are cut off the axis and told."""
MOST_CUT = 0.5
"""More than this share of the points is never cut."""
MOST_NUMBERED = 14
"""With more points, only those on a front have a number."""
MARKERS = "osD^vPX"
Style = str | tuple[int, tuple[float, float]]
MOST_SERIES = 7
STEPS = 60
ROOM_FOR_NAMES = 2.6
"""Room above the points where names of references stand, in times of `MARGIN`."""
MOST_ROWS = 5
"""A table of more lines has two columns."""
ROW = 0.145
"""Height of a line of the table below, inches."""
LEVELS = 3
"""Heights for the names of references."""
TABLE_CHARACTERS = 64
"""A name in the table is cut here."""


@drawing()
def draw_pareto(pareto: Pareto, target: Path, title: str = "") -> None:
    """Draw to `target` (format by its suffix): the points alone, and with what they are compared with."""
    points, references = pareto["points"], pareto["references"]
    floor = _floor(points, references)
    seen = [point for point in points if point["accuracy"] >= floor]
    numbered = _numbered(seen)
    lines = _caption(pareto)
    below = ROW * (_rows(len(numbered)) + len(lines)) + 0.42
    panels = 2 if references else 1
    height = 3.3 + below
    figure = new_figure(figsize=(7.1 if references else 5.2, height))
    grid = figure.add_gridspec(
        1, panels, width_ratios=(1.25, 1.0)[:panels], left=0.085 if references else 0.115, right=0.985,
        top=1 - 0.3 / height, bottom=(below + 0.42) / height, wspace=0.14,
    )  # fmt: skip
    series = _series(points)
    close = figure.add_subplot(grid[0])
    bars = bool(differing_noise(points))
    _draw_points(close, seen, series, bars=bars)
    _draw_fronts(close, points, steep=bars)
    energies = [point["energy_training_j"] for point in seen]
    energy_axis(close, [*energies, *(end for point in seen for end in _bar(point))] if bars else energies)
    _y_axis(close, seen, references, len(points) - len(seen))
    close.set_ylabel("test accuracy (%)")
    place_numbers(close, [_place(point) for point in seen], numbered, _along_fronts(points))
    if references:
        wide = figure.add_subplot(grid[1], sharey=close)
        wide.tick_params(axis="y", labelleft=False)
        _draw_points(wide, seen, series, small=True)
        _draw_fronts(wide, points)
        energy_axis(wide, [*energies, *(reference["energy_training_j"] for reference in references)])
        _draw_references(wide, references)
    close.legend(loc="lower right", fontsize=6.5, handletextpad=0.3, borderaxespad=0.2)
    close.set_title(title, loc="left")
    _write_below(figure, seen, numbered, lines, (below - 0.05) / height, height)
    save_figure(figure, target, made_by=MADE_BY)


def _floor(points: Sequence[ParetoPoint], references: Sequence[ParetoReference]) -> float:
    """Accuracies below this are cut off the axis."""
    highest = max((found["accuracy"] for found in (*points, *references)), default=0.0)
    cut = [point for point in points if point["accuracy"] < highest - DEPTH]
    return highest - DEPTH if len(cut) <= MOST_CUT * len(points) else -math.inf


def _series(points: Sequence[ParetoPoint]) -> dict[str, str]:
    """{sweep and variant: name in the legend}: sweeps, or the variants of one that are on several levels; else one."""
    sweeps = {point["sweep"] for point in points}
    variants = {point["variant"] for point in points}
    by_variant = len(sweeps) == 1 and len(variants) < min(len(points), MOST_SERIES + 1)
    return {_key(point): point["variant"] if by_variant else point["sweep"] for point in points}


def _key(point: ParetoPoint) -> str:
    return f"{point['sweep']}: {point['variant']}"


def _numbered(points: Sequence[ParetoPoint]) -> dict[int, int]:
    """{place in points: number}."""
    shown = [i for i, p in enumerate(points) if len(points) <= MOST_NUMBERED or p["on_front"] or p["on_noise_front"]]
    return {i: number for number, i in enumerate(shown, 1)}


def _rows(entries: int) -> int:
    """Lines of the table: two columns where there are many."""
    return -(-entries // 2) if entries > MOST_ROWS else entries


def _place(point: ParetoPoint) -> tuple[float, float]:
    return point["energy_training_j"], 100 * point["accuracy"]


def _bar(point: ParetoPoint) -> tuple[float, float]:
    low, high = point["energy_noise_band_j"]
    energy = point["energy_training_j"]
    return energy if low is None else low, energy if high is None else high


def _draw_points(
    axis: Axes, points: Sequence[ParetoPoint], series: dict[str, str], small: bool = False, bars: bool = False
) -> None:
    """A marker and colour a series; hollow where nothing is on the array; the noise band as a bar, seeds as dashes."""
    names = list(dict.fromkeys(series.values()))
    named: set[str] = set()
    for point in points:
        name = series[_key(point)]
        place = names.index(name)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        x, y = _place(point)
        front = point["on_front"] or point["on_noise_front"]
        axis.plot(
            [x], [y], marker, color=colour, mfc="white" if point["digital_int8_ratio"] is None else colour,
            ms=3 if small else 5.2 if front else 4, alpha=1.0 if front else 0.55, mew=0.8, zorder=4, ls="none",
            label=None if small or name in named or len(names) == 1 else name,
        )  # fmt: skip
        named.add(name)
        if not small:
            _draw_seeds(axis, point, colour)
        if bars:
            _draw_bar(axis, point, colour)


def _draw_bar(axis: Axes, point: ParetoPoint, colour: str) -> None:
    """What a price of noise would make of a point's energy; an arrow where it has no bound."""
    x, y = _place(point)
    low, high = _bar(point)
    if high > low:
        axis.plot([low, high], [y, y], color=colour, lw=2.4, alpha=0.22, solid_capstyle="butt", zorder=2)
    if point["energy_noise_band_j"][1] is None:
        endless = {"arrowstyle": "<|-", "lw": 2.0, "color": colour, "alpha": 0.3, "shrinkB": 3}
        axis.annotate("", xy=(x, y), xytext=(22, 0), textcoords="offset points", arrowprops=endless)


def _draw_seeds(axis: Axes, point: ParetoPoint, colour: str) -> None:
    x = point["energy_training_j"]
    if len(point["accuracy_seeds"]) > 1:
        seeds = [100 * accuracy for accuracy in point["accuracy_seeds"]]
        axis.plot([x, x], [min(seeds), max(seeds)], color=colour, lw=0.9, zorder=3)
        axis.plot([x] * len(seeds), seeds, "_", color=colour, ms=4, mew=0.9, zorder=3)


def _draw_fronts(axis: Axes, points: Sequence[ParetoPoint], steep: bool = False) -> None:
    """Steps: what accuracy an energy buys. Dashed at p = 2."""
    _step(axis, _front(points), "-", "Pareto front")
    if steep:
        _step(axis, _front(points, steep=True), (0, (2, 1.6)), f"... with noise at p = {STEEPEST}")


def _front(points: Sequence[ParetoPoint], steep: bool = False) -> list[tuple[float, float]]:
    """Its corners."""
    if not steep:
        return sorted(_place(point) for point in points if point["on_front"])
    found = [(at_steepest(point), 100 * point["accuracy"]) for point in points if point["on_noise_front"]]
    return sorted(place for place in found if math.isfinite(place[0]))


def _along_fronts(points: Sequence[ParetoPoint]) -> list[tuple[float, float]]:
    """Places on the drawn steps, close together."""
    corners = _front(points)
    found = []
    for (x, y), (to_x, to_y) in itertools.pairwise(corners):
        found += [(float(way), y) for way in np.geomspace(x, to_x, STEPS)]
        found += [(to_x, float(way)) for way in np.linspace(y, to_y, STEPS)]
    return found


def _step(axis: Axes, places: Sequence[tuple[float, float]], style: Style, name: str | None) -> None:
    if places:
        x, y = zip(*sorted(places), strict=True)
        axis.step(x, y, where="post", color="0.25", lw=1.0, ls=style, zorder=3, label=name)


def _draw_references(axis: Axes, references: Sequence[ParetoReference]) -> None:
    """Stars for what was trained, diamonds for what is assumed. Each name once: float's above, at heights of their own
    so that neighbours in energy do not meet, and those of the formats beside."""
    named: list[str] = []
    for reference in references:
        assumed, name = bool(reference["assumed"]), reference["name"]
        x, y = reference["energy_training_j"], 100 * reference["accuracy"]
        seeds = [100 * accuracy for accuracy in reference["accuracy_seeds"]]
        if assumed:
            axis.plot([x], [y], "D", color="0.2", mfc="white", ms=4.5, zorder=5)
        else:
            axis.plot([x], [y], "*", color="0.2", ms=8, zorder=5)
            axis.plot([x, x], [min(seeds), max(seeds)], color="0.2", lw=0.9, zorder=4)
        if name in named:
            continue
        above = name.startswith("float")
        place = sum(other.startswith("float") == above for other in named)
        named.append(name)
        axis.annotate(
            name + (" (assumed)" if assumed else ""),
            xy=(x, y),
            xytext=(0, 8 + 10 * (place % LEVELS)) if above else (7, -10 * (place % LEVELS)),
            textcoords="offset points",
            ha=("right" if reference is references[-1] else "center") if above else "left",
            va="bottom" if above else "center",
            fontsize=6.5,
            color="0.2",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": 4},
        )


def _y_axis(axis: Axes, points: Sequence[ParetoPoint], references: Sequence[ParetoReference], cut: int) -> None:
    accuracies = [100 * accuracy for found in (*points, *references) for accuracy in found["accuracy_seeds"]]
    low, high = min(accuracies), max(accuracies)
    room = MARGIN * (high - low or 1.0)
    axis.set_ylim(low - room, high + room * (ROOM_FOR_NAMES if references else 1))
    if cut:
        axis.annotate(
            f"{cut} more below" if cut > 1 else "1 more below",
            xy=(0.3, 0.01), xycoords="axes fraction", fontsize=6.5, color="0.35",
        )  # fmt: skip


def _caption(pareto: Pareto) -> list[str]:
    """What a reader must know, in lines that fit."""
    technology = " and ".join(pareto["technology"])
    text = [f"Energy: {technology}, {pareto['provenance']}" if pareto["provenance"] else f"Energy: {technology}"]
    if pareto["points"]:
        bands = [np.asarray(point["energy_band_j"]) / point["energy_training_j"] for point in pareto["points"]]
        low, high = np.median(bands, axis=0)
        text[0] += f", by their ranges x{low:.2g} to x{high:.2g} (median; all points move together)"
    text[0] += "; whole steps, exempt layers and update included."
    text += [note[0].upper() + note[1:] + "." for note in pareto["notes"]]
    if any(reference["assumed"] for reference in pareto["references"]):
        text.append(
            "Stars: trained. Diamonds: assumed, float accuracy at the energy of BF16 and of INT8 (the array's work is "
            "exchanged, exempt layers stay in FP32); not trained."
        )
    width = 158 if pareto["references"] else 114
    return [line for part in text for line in textwrap.wrap(part, width)]


def _write_below(
    figure: Figure,
    points: Sequence[ParetoPoint],
    numbered: dict[int, int],
    lines: Sequence[str],
    top: float,
    height: float,
) -> None:
    """The table of numbers in one or two columns, then the caption."""
    entries = [
        f"{number}  {point_name(points[i])[:TABLE_CHARACTERS]}: {points[i]['energy_training_j']:.3g} J, "
        f"{100 * points[i]['accuracy']:.2f} %"
        for i, number in numbered.items()
    ]
    rows = _rows(len(entries))
    left = 0.02
    for place, entry in enumerate(entries):
        column, row = divmod(place, max(rows, 1))
        figure.text(left + 0.49 * column, top - ROW * row / height, entry, fontsize=6.5, va="top")
    start = top - (ROW * rows + 0.06) / height
    for place, line in enumerate(lines):
        figure.text(left, start - ROW * place / height, line, fontsize=6, va="top", color="0.35")
