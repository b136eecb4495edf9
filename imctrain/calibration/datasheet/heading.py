"""The head and the foot of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imctrain
from imctrain.calibration.datasheet.style import A4, GREEN, GREY, LEFT, RED, RIGHT
from imctrain.calibration.schema import Calibration
from imctrain.calibration.summary.headline import geometry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_heading(figure: Figure, c: Calibration) -> None:
    """Name, provenance and geometry, and the version at the foot."""
    # A page that is longer than A4 has a head of the same inches.
    page = A4[1] / figure.get_figheight()
    figure.text(LEFT - 0.02, 1 - 0.038 * page, c.name, fontsize=16, fontweight="bold", va="center")
    measured = c.provenance == "measured"
    figure.text(
        RIGHT - 0.01,
        1 - 0.038 * page,
        c.provenance if measured else f"{c.provenance}, not measured",
        ha="right",
        va="center",
        color="white",
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.4", "facecolor": GREEN if measured else RED, "edgecolor": "none"},
    )
    figure.text(
        LEFT - 0.02,
        1 - 0.062 * page,
        f"{geometry(c)}.  LSB: step of the converter at reference range R = 1.",
        color=GREY,
        fontsize=8.5,
    )
    from matplotlib.lines import Line2D

    rule = Line2D(
        [LEFT - 0.02, RIGHT], [1 - 0.076 * page] * 2, transform=figure.transFigure, color="black", linewidth=0.8
    )
    figure.add_artist(rule)
    figure.text(
        RIGHT,
        0.02 * page,
        f"imctrain {imctrain.__version__}, calibration {c.schema_version}",
        ha="right",
        fontsize=7,
        color=GREY,
    )
