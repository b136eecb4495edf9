"""The datasheet: what is drawn for temperature, supply and dies, and that no text of its figures runs into another."""

from __future__ import annotations

import numpy as np
import pytest

from imctrain.calibration import load_calibration
from imctrain.calibration.datasheet.columns import draw_map
from imctrain.calibration.datasheet.conditions import PANELS, strips_of
from imctrain.calibration.datasheet.text import GAP, _columns
from imctrain.report.style import drawing, new_figure


@pytest.fixture
def figure():
    with drawing():
        yield new_figure(figsize=(8.27, 4.0))


def test_a_strip_for_each_condition_that_was_measured():
    three = load_calibration("example-three-dies")
    assert (three.temperature is not None, three.supply is not None, len(three.dies or ())) == (True, False, 3)
    assert len(strips_of(three)) == 2
    assert strips_of(load_calibration("feasible-assumed")) == []


def test_temperature_is_drawn_from_its_slopes(figure):
    chip = load_calibration("example-three-dies")
    strips_of(chip)[0](figure, figure.add_gridspec(1, 1)[0])
    d = chip.temperature
    gain, offset, noise = figure.axes
    assert [axis.get_ylabel() for axis in figure.axes] == list(PANELS)
    assert gain.get_xlabel() == "temperature (\u00b0C)"
    for axis, last in (
        (gain, 100 * d.gain_per_unit.value * (d.highest - d.reference)),
        (offset, d.offset_lsb_per_unit.value * (d.highest - d.reference)),
        (noise, np.exp(d.sigma_per_unit.value * (d.highest - d.reference))),
    ):
        x, y = axis.lines[0].get_data()
        assert (x[0], x[-1]) == (d.lowest, d.highest)
        assert y[-1] == pytest.approx(last)


def test_dies_are_drawn_with_their_names_and_intervals(figure):
    chip = load_calibration("example-three-dies")
    strips_of(chip)[1](figure, figure.add_gridspec(1, 1)[0])
    gain = figure.axes[0]
    assert [label.get_text() for label in gain.get_xticklabels()] == [die.die for die in chip.dies]
    drawn = next(line for line in gain.lines if len(line.get_xdata()) == 3 and line.get_marker() == "o")
    assert drawn.get_ydata() == pytest.approx([100 * (die.gain_mean - 1) for die in chip.dies])


def test_values_and_intervals_do_not_overprint(figure):
    axis = figure.add_axes((0.1, 0.1, 0.42, 0.8))
    axis.axis("off")
    short = [("noise", "0.5 LSB", "0.4 to 0.6")]
    long = [*short, ("noise against supply", "-188.5040 %/V", "-211.0460 to -165.9610")]
    assert _columns(axis, 8.27, short) == (7.5, 0.7)
    size, end = _columns(axis, 8.27, long)
    renderer = figure.canvas.get_renderer()
    for row in long:
        places = ((0.0, "left"), (end, "right"), (0.99, "right"))
        boxes = [
            axis.text(x, 0.5, words, ha=side, fontsize=size, transform=axis.transAxes).get_window_extent(renderer)
            for words, (x, side) in zip(row, places, strict=True)
        ]
        gap = 0.5 * GAP * axis.get_window_extent(renderer).width
        assert boxes[0].x1 + gap < boxes[1].x0
        assert boxes[1].x1 + gap < boxes[2].x0


def test_the_scale_of_a_map_has_its_unit(figure):
    draw_map(figure, figure.add_gridspec(1, 1)[0], [(0, 1.0), (1, -2.0)], "Gain of columns", "gain (%)", "%")
    assert "%" in [axis.get_ylabel() for axis in figure.axes]
