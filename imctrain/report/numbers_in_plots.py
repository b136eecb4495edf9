"""Numbers beside points of a plot that neither cover points nor each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (7.0, 8.0)
"""Width and height that a number takes, points (1/72 inch)."""
RADII = (8.0, 12.0, 17.0, 23.0, 30.0)
DIRECTIONS = (90, 45, 135, 0, 180, 270, 315, 225, 67, 113, 22, 158)
"""Degrees, the first that is free is taken: above, then beside, then below."""
POINT = 4.0
"""Half the width of a point."""

Place = tuple[float, float]


def place_numbers(
    axis: Axes, places: Sequence[Place], numbered: Mapping[int, int], avoided: Sequence[Place] = ()
) -> None:
    """Write numbers beside the points at `places` (data coordinates, limits of the axis are set): {place: number}.

    Args:
        avoided: places along lines that no number should cover.
    """
    scale = 72.0 / axis.figure.dpi
    shown = [tuple(scale * axis.transData.transform(place)) for place in places]
    box = axis.get_window_extent()
    limits = (scale * box.x0, scale * box.y0, scale * box.x1, scale * box.y1)
    lines = [tuple(scale * axis.transData.transform(place)) for place in avoided]
    found = offsets(shown, list(numbered), limits, lines)
    for (index, number), offset in zip(numbered.items(), found, strict=True):
        far = math.hypot(*offset) > RADII[0] + 1
        axis.annotate(
            str(number),
            xy=places[index],
            xytext=offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            zorder=6,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.5", "shrinkA": 3, "shrinkB": 2} if far else None,
        )


def offsets(
    places: Sequence[tuple[float, ...]],
    numbered: Sequence[int],
    limits: tuple[float, float, float, float],
    avoided: Sequence[tuple[float, ...]] = (),
) -> list[Place]:
    """From each numbered point to the middle of its number; all in 1/72 inch.

    Args:
        limits: left, bottom, right, top of the axis. avoided: as in `place_numbers`.
    """
    points = [_around(x, y, (2 * POINT, 2 * POINT)) for x, y in places]
    taken: list[tuple[float, float, float, float]] = []
    found = []
    for index in numbered:
        x, y = places[index]
        best, least = (0.0, RADII[0]), math.inf
        for radius in RADII:
            for degrees in DIRECTIONS:
                offset = (radius * math.cos(math.radians(degrees)), radius * math.sin(math.radians(degrees)))
                number = _around(x + offset[0], y + offset[1], SIZE)
                outside = not (
                    limits[0] <= number[0]
                    and limits[1] <= number[1]
                    and number[2] <= limits[2]
                    and number[3] <= limits[3]
                )
                cost = 1e3 * outside + 10 * sum(_meet(number, t) for t in taken) + sum(_meet(number, p) for p in points)
                cost += 0.5 * any(number[0] < u < number[2] and number[1] < v < number[3] for u, v in avoided)
                if cost < least:
                    best, least = offset, cost
            if least == 0:
                break
        taken.append(_around(x + best[0], y + best[1], SIZE))
        found.append(best)
    return found


def _around(x: float, y: float, size: Place) -> tuple[float, float, float, float]:
    return x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
