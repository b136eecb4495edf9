"""The page's size and colours, and words that a panel may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

A4 = (8.27, 11.69)
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.45"
LEFT, RIGHT = 0.09, 0.965


def set_title(axis: Axes, words: str) -> None:
    """A panel's title, at its left."""
    axis.set_title(words, loc="left", fontweight="bold")


def instead(axis: Axes, words: str, title: str) -> None:
    """What is written where there is nothing to draw."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=GREY)
    axis.set_xticks([])
    axis.set_yticks([])
    set_title(axis, title)


def aside(axis: Axes, words: str) -> None:
    """A remark in the upper right corner."""
    axis.text(
        0.985,
        0.95,
        words,
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=7,
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
    )
