"""A figure of every column, as a map and a histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.datasheet.style import BLUE, aside, instead, set_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

COLUMNS_A_ROW = 32


def draw_map(
    figure: Figure, place: SubplotSpec, values: list[tuple[int, float]], title: str, quantity: str, unit: str
) -> None:
    """Columns in rows of 32, and how their values are spread."""
    # The third column keeps the scale's labels on the page.
    inner = place.subgridspec(2, 3, height_ratios=(1.25, 1), width_ratios=(1, 0.025, 0.03), hspace=0.5, wspace=0.04)
    grid, scale, spread = (figure.add_subplot(inner[at]) for at in ((0, 0), (0, 1), (1, 0)))
    if not values:
        scale.axis("off")
        instead(grid, "no column to show", title)
        instead(spread, "", "")
        return
    last = max(number for number, _ in values)
    width = min(COLUMNS_A_ROW, last + 1)
    image = np.full((-(-(last + 1) // width), width), np.nan)
    for number, value in values:
        image[number // width, number % width] = value
    numbers = np.array([value for _, value in values])
    limit = float(np.quantile(np.abs(numbers), 0.99)) or 1.0
    picture = grid.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    bar = figure.colorbar(picture, cax=scale, ticks=[-limit, 0, limit], format="{x:.2g}")
    bar.ax.tick_params(labelsize=7)
    bar.set_label(unit, size=7, labelpad=1)
    grid.grid(False)
    rows = range(0, image.shape[0], max(1, image.shape[0] // 4))
    grid.set_yticks(rows, [str(width * k) for k in rows])
    places = range(0, width, max(1, width // 8))
    grid.set_xticks(places, [f"+{k}" for k in places])
    grid.set_ylabel("column")
    set_title(grid, title)
    spread.hist(numbers, bins=min(40, max(5, numbers.size // 6)), color=BLUE, alpha=0.6)
    spread.set(xlabel=quantity, ylabel="columns")
    spread.locator_params(axis="y", integer=True)
    if numbers.size > 1:
        aside(spread, f"mean {numbers.mean():.3g}\nstd {numbers.std(ddof=1):.3g}")
