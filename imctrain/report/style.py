"""One look for all figures: print-sized, colour-blind safe, readable in grey."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from imctrain.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe-Ito palette."""


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
            "savefig.dpi": 200,
            "svg.hashsalt": "imctrain",
            "axes.prop_cycle": cycler(color=COLOURS),
        }
    )
    return plt


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
