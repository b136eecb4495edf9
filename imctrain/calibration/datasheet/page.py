"""The datasheet: one page that shows what was measured, how well the fit describes it, and the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from imctrain.calibration.datasheet.columns import draw_map
from imctrain.calibration.datasheet.conditions import STRIP, strips_of
from imctrain.calibration.datasheet.dnl import draw_dnl
from imctrain.calibration.datasheet.heading import draw_heading
from imctrain.calibration.datasheet.inl import draw_inl
from imctrain.calibration.datasheet.noise import draw_column_noise, draw_noise, draw_range_noise
from imctrain.calibration.datasheet.style import A4, LEFT, RIGHT
from imctrain.calibration.datasheet.text import draw_text
from imctrain.calibration.datasheet.transfer import draw_residuals, draw_transfer
from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.typical import alive_columns
from imctrain.calibration.sections.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_datasheet(c: Calibration, e: Evidence, new_figure: Callable[..., Figure]) -> Figure:
    """A figure of one A4 page, longer by a strip for each of temperature, supply and dies that the chip has.

    Args:
        new_figure: makes a figure, of matplotlib's options, in the project's style.
    """
    strips = strips_of(c)
    width, height = A4
    taller = height + STRIP * len(strips)
    figure = new_figure(figsize=(width, taller))
    # Head and foot keep their inches.
    top_edge, bottom_edge = 1 - 0.105 * height / taller, 0.05 * height / taller
    figure.subplots_adjust(left=LEFT, right=RIGHT, top=top_edge, bottom=bottom_edge)
    ratios = (1.3, 0.95, 1.3, *([0.85] * len(strips)), 1.35)
    rows = figure.add_gridspec(len(ratios), 1, height_ratios=ratios, hspace=0.42)
    draw_heading(figure, c)

    top = rows[0].subgridspec(1, 2, width_ratios=(1.25, 1), wspace=0.22)
    left = top[0].subgridspec(2, 1, height_ratios=(2.2, 1), hspace=0.09)
    transfer = figure.add_subplot(left[0])
    draw_transfer(transfer, e)
    draw_residuals(figure.add_subplot(left[1], sharex=transfer), e)
    draw_noise(figure.add_subplot(top[1]), c, e)

    middle = rows[1].subgridspec(1, 2, width_ratios=(1.25, 1), wspace=0.22)
    draw_inl(figure.add_subplot(middle[0]), c, e)
    beside = figure.add_subplot(middle[1])
    if c.dnl is not None:
        draw_dnl(beside, c)
    elif c.ranges is not None and len(c.ranges) > 1:
        draw_range_noise(beside, c)
    else:
        draw_column_noise(beside, c)

    maps = rows[2].subgridspec(1, 2, wspace=0.3)
    gain = [(column.column, 100.0 * (column.gain - 1.0)) for column in alive_columns(c)]
    offset = [(column.column, column.offset_lsb) for column in alive_columns(c)]
    draw_map(figure, maps[0], gain, "Gain of columns", "gain, deviation from nominal (%)", "%")
    draw_map(figure, maps[1], offset, "Offset of columns", "offset (LSB)", "LSB")

    for number, draw in enumerate(strips, start=3):
        draw(figure, rows[number])
    draw_text(figure, rows[len(ratios) - 1], c)
    return figure
