"""One look for all figures: print-sized, colour-blind safe, readable in grey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from imctrain.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe-Ito palette."""
WIDE = 4.0
"""An axis of energies that spans more is logarithmic."""
DECADES = 30.0
"""... and one that spans more has one tick a decade."""
MARGIN = 0.08
"""Beside the points, as a share of what they span."""


def pyplot() -> ModuleType:
    """matplotlib.pyplot without a display, with the project's style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.5,
            "legend.frameon": False,
            # Names are the user's, and "$" is a letter in them.
            "text.parse_math": False,
            "axes.unicode_minus": True,
            "savefig.dpi": 200,
            "svg.hashsalt": "imctrain",
            "axes.prop_cycle": cycler(color=COLOURS),
        }
    )
    return plt


def energy_axis(axis: Axes, energies: Sequence[float]) -> None:
    """Energies of trainings, J, along x: wide enough for all, logarithmic where they span much."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = min(energies), max(energies)
    if low > 0 and high / low > WIDE:
        axis.set_xscale("log")
        room = (high / low) ** MARGIN
        axis.set_xlim(low / room, high * room)
        # Names of ticks are wide ("500 uJ"): over several decades there is room for one a decade.
        subs = (1.0,) if high / low > DECADES else (1.0, 2.0, 5.0)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = MARGIN * (high - low or high or 1.0)
        axis.set_xlim(low - room, high + room)
    axis.xaxis.set_major_formatter(EngFormatter(unit="J", sep=" "))
    axis.set_xlabel("energy of the training")


def plain_ticks(axis: Axes, which: Literal["x", "y"]) -> None:
    """Numbers of a logarithmic axis as plain text: matplotlib writes powers as mathematics, which is off (`pyplot`)."""
    from matplotlib.ticker import NullFormatter

    line = axis.xaxis if which == "x" else axis.yaxis
    line.set_major_formatter("{x:g}")
    line.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, target: Path, dpi: int | None = None, made_by: str | None = None) -> None:
    """Write a figure whole or not at all, in the format of `target`'s suffix, the same bytes every time; close it.

    Args:
        made_by: told in the file, in place of matplotlib.
    """
    maker = "Software" if target.suffix == ".png" else "Creator"
    metadata = ({"Date": None} if target.suffix == ".svg" else {}) | ({} if made_by is None else {maker: made_by})
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:], metadata=metadata, dpi=dpi)
    pyplot().close(figure)
