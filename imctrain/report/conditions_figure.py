"""Accuracy of one network against temperature and supply: its training die, and other dies with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.records.evaluation import AtCondition, Evaluation
from imctrain.report.style import COLOURS, drawing, save_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {"temperature_c": "temperature (degrees Celsius)", "supply_v": "supply (V)"}
UNITS = {"temperature_c": "C", "supply_v": "V"}
MOST = 3
"""Evaluations in a figure, a row each; the newest are drawn where there are more."""


def has_conditions(evaluations: Sequence[Evaluation]) -> bool:
    """Whether there is a line to draw: an evaluation at two conditions or more."""
    return any(len(one.at_conditions) > 1 for one in evaluations)


@drawing()
def draw_conditions(evaluations: Sequence[Evaluation], target: Path) -> None:
    """Draw evaluations of one network to `target` (format by its suffix): a panel for each quantity that differs."""
    shown = [one for one in evaluations if len(one.at_conditions) > 1][-MOST:]
    quantities = [key for key in LABELS if any(len(_values(one, key)) > 1 for one in shown)]
    figure, axes = subplots(
        len(shown),
        len(quantities),
        figsize=(0.6 + 3.1 * len(quantities), 0.7 + 2.2 * len(shown)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, one in zip(axes, shown, strict=True):
        for axis, quantity in zip(row, quantities, strict=True):
            _draw(axis, one, quantity)
        row[0].set_ylabel("test accuracy (%)")
        row[0].set_title(one.name, loc="left")
    for axis, quantity in zip(axes[-1], quantities, strict=True):
        axis.set_xlabel(LABELS[quantity])
    # A colour is a value of the other quantity: each panel names its own.
    for axis in axes[0]:
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.1), ncols=2, fontsize=6, columnspacing=1.0)
    save_figure(figure, target)


def _values(one: Evaluation, quantity: str) -> list[float]:
    return sorted({at.conditions[quantity] for at in one.at_conditions if quantity in at.conditions})


def _draw(axis: Axes, one: Evaluation, quantity: str) -> None:
    """A line for each value of the other quantity."""
    other = next(key for key in LABELS if key != quantity)
    levels: list[float | None] = [*_values(one, other)] or [None]
    for number, level in enumerate(levels):
        found = [at for at in one.at_conditions if quantity in at.conditions and at.conditions.get(other) == level]
        found.sort(key=lambda at: at.conditions[quantity])
        name = "" if level is None else f" at {level:g} {UNITS[other]}"
        _draw_line(axis, found, quantity, name, COLOURS[number % len(COLOURS)])


def _draw_line(axis: Axes, found: Sequence[AtCondition], quantity: str, name: str, colour: str) -> None:
    x = [at.conditions[quantity] for at in found]
    if all(at.own_accuracy is not None for at in found):
        own = [100 * (at.own_accuracy or 0.0) for at in found]
        axis.plot(x, own, "o-", ms=4, color=colour, label=f"training die{name}")
    if all(at.mean is not None for at in found):
        mean = np.asarray([100 * (at.mean or 0.0) for at in found])
        std = np.asarray([100 * (at.std or 0.0) for at in found])
        axis.plot(
            x, mean, "s--", ms=3.5, color=colour, mfc="white", label=f"mean of {found[0].test_dies} other dies{name}"
        )
        axis.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, lw=0)
