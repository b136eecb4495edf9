"""Accuracy of one network over dies: every die, and the yield at every accuracy with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imctrain.records.evaluation import Evaluation
from imctrain.report.style import COLOURS, pyplot, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 6
"""Evaluations in a figure; the newest are drawn where there are more."""
NARROW = 1.96
"""Standard normal quantile of the 95 % interval."""
BASELINE = "float baseline"
JITTER = 0.26
"""Height over which dots of a row are spread."""


class _Row(NamedTuple):
    """An evaluation as drawn; accuracies in percent, in the order of dies."""

    name: str
    tested: np.ndarray
    own: float | None
    colour: str


def has_dies(evaluations: Sequence[Evaluation]) -> bool:
    """Whether there is a distribution to draw: an evaluation with two test dies or more."""
    return any(one.summary.test_dies > 1 for one in evaluations)


def draw_dies(evaluations: Sequence[Evaluation], target: Path) -> None:
    """Draw evaluations of one network to `target` (format by its suffix)."""
    plt = pyplot()
    shown = [one for one in evaluations if one.summary.test_dies > 1][-MOST:]
    rows = [_row(one, COLOURS[number]) for number, one in enumerate(shown)]
    height = 0.45 + 0.42 * len(rows)
    figure, (dots, curve) = plt.subplots(
        2, 1, figsize=(6.4, height + 3.1), sharex=True, layout="constrained", height_ratios=(height, 2.4)
    )
    _draw_dots(dots, rows)
    _draw_yield(curve, rows)
    _draw_lines((dots, curve), shown)
    first = shown[0]
    dots.set_title(f"{Path(first.network).name}: {first.images} test images of {first.dataset}", loc="left")
    save_figure(figure, target)


def _row(one: Evaluation, colour: str) -> _Row:
    tested = 100 * np.asarray([die.accuracy for die in one.dies if not die.own])
    own = one.summary.own_accuracy
    return _Row(one.name, tested, None if own is None else 100 * own, colour)


def _draw_dots(axis: Axes, rows: list[_Row]) -> None:
    """A dot a die, a diamond for the training die, a bar from the mean one standard deviation to both sides."""
    for place, row in enumerate(rows):
        spread = np.linspace(-1, 1, 7)[np.arange(len(row.tested)) % 7] * JITTER / 2
        label = "test die" if place == 0 else None
        axis.scatter(row.tested, place + spread, s=14, color=row.colour, alpha=0.7, lw=0, label=label)
        mean, std = row.tested.mean(), row.tested.std(ddof=1)
        label = "mean, std of test dies" if place == 0 else None
        axis.errorbar(mean, place + 0.3, xerr=std, fmt="|", ms=7, color="0.25", capsize=2.5, lw=1, label=label)
        if row.own is not None:
            label = "training die" if place == 0 else None
            axis.scatter(
                row.own, place, marker="D", s=34, facecolor="white", edgecolor=row.colour, lw=1.4, zorder=3, label=label
            )
    axis.set_yticks(range(len(rows)), [row.name for row in rows])
    axis.set_ylim(len(rows) - 0.45, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.12), ncols=3, fontsize=7, borderaxespad=0)


def _draw_yield(axis: Axes, rows: list[_Row]) -> None:
    """Share of the test dies of an accuracy or more, with the Wilson interval of the number of dies."""
    low = min(float(row.tested.min()) for row in rows)
    high = max(max(float(row.tested.max()), row.own or 0.0) for row in rows)
    margin = 0.03 * max(high - low, 1.0)
    for row in rows:
        # Far outside of its dies a curve is 0 or 100 %, and its band would only cover the others.
        needed = np.concatenate([[row.tested.min() - margin], np.sort(row.tested), [row.tested.max() + margin]])
        at = np.unique(np.concatenate([needed, needed + 1e-6]))
        passed = np.asarray([np.sum(row.tested >= x - 1e-9) for x in at])
        share, (lower, upper) = passed / len(row.tested), _wilson(passed, len(row.tested))
        axis.plot(at, 100 * share, color=row.colour)
        axis.fill_between(at, 100 * lower, 100 * upper, color=row.colour, alpha=0.15, lw=0)
    axis.set_ylim(0, 104)
    axis.set_ylabel("dies of that accuracy or more (%)")
    axis.set_xlabel("test accuracy (%)")


def _draw_lines(axes: tuple[Axes, Axes], shown: list[Evaluation]) -> None:
    """Accuracies that yields are told at, of the first evaluation; the float baseline."""
    dots, curve = axes
    left, right = curve.get_xlim()
    drawn = []
    for found in shown[0].summary.yields:
        style = "--" if found.below == "training die" else ":"
        drawn.append((100 * found.accuracy, style, f"{found.points:g} points below {found.below}"))
    baseline = shown[0].baseline_accuracy
    if baseline is not None:
        drawn.append((100 * baseline, "-.", BASELINE))
        right = max(right, 100 * baseline + 0.04 * (right - left))
    needed = [x for x, _, _ in drawn if x > left - 0.6 * (right - left)]
    left = min([left, *(x - 0.02 * (right - left) for x in needed)])
    for x, style, label in drawn:
        if x < left:
            continue
        for axis in (dots, curve):
            axis.axvline(x, color="0.35", ls=style, lw=0.9, zorder=0)
        side = "left" if label == BASELINE else "right"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        curve.text(
            x, 3, f" {label} ", rotation=90, va="bottom", ha=side, fontsize=6.5, color="0.25", bbox=box, zorder=1
        )
    curve.set_xlim(left, right)


def _wilson(passed: np.ndarray, dies: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the share, as `intervals.wilson` has them for one."""
    share, z2 = passed / dies, NARROW**2 / dies
    centre = (share + z2 / 2) / (1 + z2)
    half = NARROW * np.sqrt(share * (1 - share) / dies + z2 / (4 * dies)) / (1 + z2)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
