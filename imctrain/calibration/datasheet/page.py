"""The datasheet: one page that shows what was measured, how well the fit describes it, and the figures."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from imctrain.calibration.datasheet.columns import draw_map
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


def draw_datasheet(c: Calibration, e: Evidence, plt: ModuleType) -> Figure:
    """A figure of one A4 page.

    Args:
        plt: matplotlib.pyplot in the project's style.
    """
    figure = plt.figure(figsize=A4)
    figure.subplots_adjust(left=LEFT, right=RIGHT, top=0.895, bottom=0.05)
    rows = figure.add_gridspec(4, 1, height_ratios=(1.3, 0.95, 1.3, 1.2), hspace=0.4)
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
    draw_map(figure, maps[0], gain, "Gain of columns", "gain, deviation from nominal (%)")
    draw_map(figure, maps[1], offset, "Offset of columns", "offset (LSB)")

    draw_text(figure, rows[3], c)
    return figure
