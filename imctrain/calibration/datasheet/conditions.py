"""Gain, offset and noise against temperature, supply and dies: a strip of three panels for each that was measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.style import BLUE, GREY, aside, set_title
from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.variation import Dependence, Die

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

STRIP = 2.2
"""Height of a strip, inches."""
POINTS = 60
MOST_NAMED = 12
"""With more dies than this, their names have no room."""
PANELS = ("gain change (%)", "offset change (LSB)", "noise, at reference 1")

Strip = Callable[["Figure", "SubplotSpec"], None]


def strips_of(c: Calibration) -> list[Strip]:
    """What there is to draw, from the top."""
    strips: list[Strip] = []
    if c.temperature is not None:
        strips.append(partial(_draw_dependence, c.temperature, "temperature", "\u00b0C"))
    if c.supply is not None:
        strips.append(partial(_draw_dependence, c.supply, "supply", "V"))
    if c.dies:
        strips.append(partial(_draw_dies, c.dies))
    return strips


def _panels(figure: Figure, place: SubplotSpec) -> list[Axes]:
    inner = place.subgridspec(1, 3, wspace=0.42)
    return [figure.add_subplot(inner[number]) for number in range(3)]


def _draw_dependence(d: Dependence, what: str, unit: str, figure: Figure, place: SubplotSpec) -> None:
    """The fitted change about the reference, with the interval of its slope, over what was measured."""
    at = np.linspace(d.lowest, d.highest, POINTS)
    x = at - d.reference
    changes = (
        (d.gain_per_unit, lambda slope: 100.0 * slope * x),
        (d.offset_lsb_per_unit, lambda slope: slope * x),
        (d.sigma_per_unit, lambda slope: np.exp(slope * x)),
    )
    panels = _panels(figure, place)
    set_title(panels[0], f"Against {what}")
    for axis, name, (slope, curve) in zip(panels, PANELS, changes, strict=True):
        axis.fill_between(at, curve(slope.low), curve(slope.high), color=BLUE, alpha=0.25, lw=0)
        axis.plot(at, curve(slope.value), color=BLUE)
        axis.axvline(d.reference, color=GREY, lw=0.8, ls=":")
        axis.set(xlabel=f"{what} ({unit})", ylabel=name)
        axis.locator_params(nbins=5)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high + 0.4 * (high - low))
    aside(panels[0], "shade: 95 % interval\ndots: reference")


def _draw_dies(dies: tuple[Die, ...], figure: Figure, place: SubplotSpec) -> None:
    """Means over the columns of each die, with their intervals, and the spread of its columns."""
    number = np.arange(len(dies))
    gain = np.array([100.0 * (die.gain_mean - 1.0) for die in dies])
    offset = np.array([die.offset_mean_lsb for die in dies])
    sigma = np.array([die.sigma_lsb.value for die in dies])
    spreads = (np.array([100.0 * die.gain_std for die in dies]), np.array([die.offset_std_lsb for die in dies]), None)
    errors = (
        _arms(gain, [_percent(die.gain_mean_ci) for die in dies]),
        _arms(offset, [die.offset_mean_ci_lsb for die in dies]),
        _arms(sigma, [(die.sigma_lsb.low, die.sigma_lsb.high) for die in dies]),
    )
    names = ("gain less nominal (%)", "offset (LSB)", "noise (LSB)")
    panels = _panels(figure, place)
    set_title(panels[0], f"{len(dies)} dies: mean of columns")
    for axis, name, value, spread, error in zip(panels, names, (gain, offset, sigma), spreads, errors, strict=True):
        if spread is not None:
            axis.vlines(number, value - spread, value + spread, color=BLUE, alpha=0.25, lw=5)
        axis.errorbar(number, value, error, fmt="o", ms=3.5, color="black", lw=1, capsize=2)
        if len(dies) <= MOST_NAMED:
            longest = max(len(die.die) for die in dies)
            axis.set_xticks(number, [die.die for die in dies], rotation=90 if longest * len(dies) > 24 else 0)
        axis.set(xlabel="die", ylabel=name, xlim=(-0.6, len(dies) - 0.4))
        axis.grid(axis="x", visible=False)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high + 0.5 * (high - low))
    aside(panels[0], "bar: 95 % interval of the mean\nshade: \u00b11 \u03c3 of columns")


def _percent(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (100.0 * (interval[0] - 1.0), 100.0 * (interval[1] - 1.0))


def _arms(value: np.ndarray, intervals: list[tuple[float, float] | None]) -> np.ndarray:
    """Lengths below and above each value; none where an interval is not known."""
    known = [(v, v) if found is None else found for v, found in zip(value, intervals, strict=True)]
    low, high = np.array(known).T
    return np.maximum(np.array([value - low, high - value]), 0.0)
