"""Accuracy of one network over dies: every die, and the yield at every accuracy with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imctrain.records.evaluation import Evaluation
from imctrain.report.style import COLOURS, drawing, legend_outside, save_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 6
"""Evaluations in a figure; the newest are drawn where there are more."""
NARROW = 1.96
"""Standard normal quantile of the 95 % interval."""
BASELINE = "float baseline"
STYLES = {"training die": "--", BASELINE: ":"}
"""Of the lines at accuracies that yields are told at."""
ENDS = {"low": (0, (1, 1)), "high": (0, (5, 2))}
"""Ends of what is known of the spread of dies, with their dashes."""
JITTER = 0.26
"""Height over which dots of a row are spread."""


class _Row(NamedTuple):
    """An evaluation as drawn; accuracies in percent, in the order of dies.

    ends: of the test dies with the low and the high of the spread of dies, by its name; empty without.
    """

    name: str
    tested: np.ndarray
    own: float | None
    colour: str
    ends: dict[str, np.ndarray]


def has_dies(evaluations: Sequence[Evaluation]) -> bool:
    """Whether there is a distribution to draw: an evaluation with two test dies or more."""
    return any(one.summary.test_dies > 1 for one in evaluations)


@drawing()
def draw_dies(evaluations: Sequence[Evaluation], target: Path) -> None:
    """Draw evaluations of one network to `target` (format by its suffix)."""
    shown = [one for one in evaluations if one.summary.test_dies > 1][-MOST:]
    rows = [_row(one, COLOURS[number]) for number, one in enumerate(shown)]
    height = 0.45 + sum(0.6 if row.ends else 0.42 for row in rows)
    figure, (dots, curve) = subplots(
        2, 1, figsize=(6.4, height + 3.1), sharex=True, layout="constrained", height_ratios=(height, 2.4)
    )
    _draw_dots(dots, rows)
    legend_outside(figure, "outside upper right", 3, dots.get_legend_handles_labels(), fontsize=7)
    _draw_yield(curve, rows)
    _draw_lines((dots, curve), shown)
    first = shown[0]
    dots.set_title(f"{Path(first.network).name}: {first.images} test images of {first.dataset}", loc="left")
    save_figure(figure, target)


def _row(one: Evaluation, colour: str) -> _Row:
    at_own = [die for die in one.dies if not die.own and not die.conditions]
    own = one.summary.own_accuracy
    drawn = {
        level: 100 * np.asarray([die.accuracy for die in at_own if die.die_spread == level]) for level in (None, *ENDS)
    }
    tested = drawn.pop(None)
    ends = {level: found for level, found in drawn.items() if level is not None and len(found) > 1}
    return _Row(one.name, tested, None if own is None else 100 * own, colour, ends)


def _draw_dots(axis: Axes, rows: list[_Row]) -> None:
    """A dot a die, a diamond for the training die, a bar from the mean one standard deviation to both sides."""
    for place, row in enumerate(rows):
        spread = np.linspace(-1, 1, 7)[np.arange(len(row.tested)) % 7] * JITTER / 2
        label = "test die" if place == 0 else None
        axis.scatter(row.tested, place + spread, s=14, color=row.colour, alpha=0.7, lw=0, label=label)
        mean, std = row.tested.mean(), row.tested.std(ddof=1)
        label = "mean, std of test dies" if place == 0 else None
        axis.errorbar(mean, place + 0.3, xerr=std, fmt="|", ms=7, color="0.25", capsize=2.5, lw=1, label=label)
        _draw_ends(axis, place, row)
        if row.own is not None:
            label = "training die" if place == 0 else None
            axis.scatter(
                row.own, place, marker="D", s=34, facecolor="white", edgecolor=row.colour, lw=1.4, zorder=3, label=label
            )
    axis.set_yticks(range(len(rows)), [row.name for row in rows])
    axis.set_ylim(len(rows) - 0.45, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _draw_ends(axis: Axes, place: int, row: _Row) -> None:
    """All dies at the low and at the high of the spread of dies: a line from the worst to the best, the mean on it."""
    for number, (level, found) in enumerate(row.ends.items()):
        y = place - 0.3 + 0.1 * number
        label = f"{level} of the spread of dies" if place == 0 else None
        axis.plot([found.min(), found.max()], [y, y], ls=ENDS[level], lw=1.1, color=row.colour, label=label)
        axis.plot(found.mean(), y, "|", ms=5, color=row.colour)


def _draw_yield(axis: Axes, rows: list[_Row]) -> None:
    """Share of the test dies of an accuracy or more, with the Wilson interval of the number of dies.

    Beside it, without intervals, the same with the low and the high of the spread of dies.
    """
    everything = np.concatenate([values for row in rows for values in (row.tested, *row.ends.values())])
    low = float(everything.min())
    high = max(float(everything.max()), *(row.own or 0.0 for row in rows))
    margin = 0.03 * max(high - low, 1.0)
    for row in rows:
        # Far outside of its dies a curve is 0 or 100 %, and its band would only cover the others.
        needed = np.concatenate([[row.tested.min() - margin], np.sort(row.tested), [row.tested.max() + margin]])
        at = np.unique(np.concatenate([needed, needed + 1e-6]))
        passed = np.asarray([np.sum(row.tested >= x - 1e-9) for x in at])
        share, (lower, upper) = passed / len(row.tested), _wilson(passed, len(row.tested))
        axis.plot(at, 100 * share, color=row.colour)
        axis.fill_between(at, 100 * lower, 100 * upper, color=row.colour, alpha=0.15, lw=0)
        for level, found in row.ends.items():
            at = np.concatenate([[found.min() - margin], np.sort(found), [found.max() + margin]])
            above = [np.mean(found >= x - 1e-9) for x in at]
            axis.step(at, 100 * np.asarray(above), where="pre", ls=ENDS[level], lw=1.1, color=row.colour)
    axis.set_ylim(0, 104)
    axis.set_ylabel("dies of that accuracy or more (%)")
    axis.set_xlabel("test accuracy (%)")


def _draw_lines(axes: tuple[Axes, Axes], shown: list[Evaluation]) -> None:
    """Accuracies that yields are told at, of the first evaluation; the float baseline."""
    dots, curve = axes
    left, right = curve.get_xlim()
    drawn = []
    for found in shown[0].summary.yields:
        style = STYLES.get(found.below or "", "-")
        name = f"{100 * found.accuracy:g} %"
        if found.below is not None and found.points is not None:
            name = f"{found.points:g} points below {found.below}"
        drawn.append((100 * found.accuracy, style, name))
    baseline = shown[0].baseline_accuracy
    if baseline is not None:
        drawn.append((100 * baseline, "-.", BASELINE))
        right = max(right, 100 * baseline + 0.04 * (right - left))
    # What is far from all dies would squeeze them, and is left out.
    width = right - left
    near_dies = [x for x, _, _ in drawn if left - 0.6 * width < x < right + 0.6 * width]
    left = min([left, *(x - 0.02 * width for x in near_dies)])
    right = max([right, *(x + 0.02 * width for x in near_dies)])
    shown_lines = sorted(line for line in drawn if left <= line[0] <= right)
    for number, (x, style, label) in enumerate(shown_lines):
        for axis in (dots, curve):
            axis.axvline(x, color="0.35", ls=style, lw=0.9, zorder=0)
        # Where two lines are close their labels stand on the outer sides of both; a third stands above.
        near = [abs(x - other) < 0.03 * (right - left) for other, _, _ in shown_lines[max(number - 2, 0) : number]]
        at_edge = x - left < 0.04 * (right - left)
        side = "left" if label == BASELINE or any(near) or at_edge else "right"
        height = 56 if len(near) == 2 and all(near) else 3
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        curve.text(
            x, height, f" {label} ", rotation=90, va="bottom", ha=side, fontsize=6.5, color="0.25", bbox=box, zorder=1
        )
    curve.set_xlim(left, right)


def _wilson(passed: np.ndarray, dies: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the share, as `intervals.wilson` has them for one."""
    share, z2 = passed / dies, NARROW**2 / dies
    centre = (share + z2 / 2) / (1 + z2)
    half = NARROW * np.sqrt(share * (1 - share) / dies + z2 / (4 * dies)) / (1 + z2)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
