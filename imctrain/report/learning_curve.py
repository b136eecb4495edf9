"""The learning curve of a run folder: loss and accuracy against epochs, the float baseline beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imctrain.records.kept_config import Table, read_config, setting
from imctrain.records.layout import RunFiles
from imctrain.records.metrics import EpochLine, TrainLine, epoch_lines, read_lines, train_lines
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.report.style import COLOURS, drawing, save_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATHS = {
    "float": "float",
    "digital": "4-bit formats, digital",
    "exact": "IMC",
    "statistical": "IMC (statistical)",
    "auto": "IMC (auto)",
}
MARKED = 40
"""More epochs than this are drawn without a marker each."""
LINES_AN_EPOCH = 4
"""Lines of metrics an epoch from which on they are drawn too, as a thin trace of the loss."""


@dataclass(frozen=True)
class _Curve:
    """One training: its config, its metrics by kind, and how it is drawn."""

    config: Table
    lines: list[TrainLine]
    epochs: list[EpochLine]
    colour: str
    zorder: int

    @property
    def label(self) -> str:
        path = str(setting(self.config, "imc.path"))
        return PATHS.get(path, path)

    @property
    def tested(self) -> list[tuple[int, float]]:
        """(epoch, accuracy in %) of those that were evaluated."""
        return [(line.epoch, 100 * line.evaluated) for line in self.epochs if line.evaluated is not None]

    @property
    def measured(self) -> str:
        """What epochs were evaluated on."""
        return "test" if setting(self.config, "data.validation") is None else "validation"

    @property
    def marker(self) -> str:
        return "o" if len(self.epochs) <= MARKED else ""


@drawing()
def plot_learning_curve(folder: Path, *targets: Path) -> None:
    """Draw `folder`'s metrics (and its baseline's) to pictures; the format follows each target's suffix."""
    from matplotlib.ticker import FuncFormatter, LogFormatter

    run = RunFiles(folder)
    curves = [_read(run, COLOURS[0], 3)]
    if run.baseline.metrics.is_file():
        curves.append(_read(run.baseline, COLOURS[1], 2))
    curves = [curve for curve in curves if curve.epochs]
    figure, (loss, accuracy) = subplots(1, 2, figsize=(7.0, 3.2), layout="constrained")
    for curve in curves:
        _draw_loss(loss, curve)
        _draw_accuracy(accuracy, curve)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    loss.yaxis.set_major_formatter("{x:g}")
    # It knows which minor ticks are worth a number, and writes 0.9 as 9e-01.
    worth = LogFormatter(minor_thresholds=(1, 0.5))
    worth.set_axis(loss.yaxis)
    loss.yaxis.set_minor_formatter(FuncFormatter(lambda value, place: f"{value:g}" if worth(value, place) else ""))
    accuracy.plot([], [], color="0.4", ls=(0, (1, 1)), lw=1.0, label="on training images, as seen")
    accuracy.set(
        xlabel="epoch", ylabel=f"{curves[0].measured if curves else 'test'} accuracy (%)", ylim=_limits(curves)
    )
    for axis in (loss, accuracy):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlim(left=0)
    if curves:
        figure.suptitle(_title(curves[0]), fontsize=9)
    # One legend below both: nothing of the curves is behind it.
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    save_figure(figure, *targets)


def _read(run: RunFiles, colour: str, zorder: int) -> _Curve:
    lines = read_lines(run.metrics)
    return _Curve(read_config(run.config), train_lines(lines), epoch_lines(lines), colour, zorder)


def _draw_loss(axis: Axes, curve: _Curve) -> None:
    epochs = curve.epochs
    if len(curve.lines) >= LINES_AN_EPOCH * len(epochs):
        steps_an_epoch = epochs[0].step / epochs[0].epoch
        x = [line.step / steps_an_epoch for line in curve.lines]
        axis.plot(x, [_shown(line.loss) for line in curve.lines], color=curve.colour, lw=0.5, alpha=0.4, zorder=1)
    # What is a mean over an epoch stands in its middle.
    _draw(axis, curve, [(line.epoch - 0.5, _shown(line.loss)) for line in epochs], curve.label)


def _draw_accuracy(axis: Axes, curve: _Curve) -> None:
    x, y = [line.epoch - 0.5 for line in curve.epochs], [100 * line.accuracy for line in curve.epochs]
    axis.plot(x, y, color=curve.colour, ls=(0, (1, 1)), lw=1.0, zorder=1)
    if curve.tested:
        _draw(axis, curve, curve.tested, f"{curve.label}: {curve.tested[-1][1]:.1f}%")


def _draw(axis: Axes, curve: _Curve, points: Sequence[tuple[float, float]], label: str) -> None:
    x, y = [point[0] for point in points], [point[1] for point in points]
    axis.plot(x, y, label=label, color=curve.colour, zorder=curve.zorder, marker=curve.marker, markersize=2.5)


def _shown(value: float | None) -> float:
    """A gap in the curve where the value was not finite."""
    return math.nan if value is None else value


def _limits(curves: list[_Curve]) -> tuple[float, float]:
    """Accuracies worth seeing: all of a short run; of a long one, not the steep first epochs."""
    tested = [accuracy for curve in curves for _, accuracy in curve.tested]
    if not tested:
        return 0.0, 100.0
    top = max(tested + [100 * line.accuracy for curve in curves for line in curve.epochs])
    usual = float(np.percentile(tested, 10))
    low = max(0.0, min(tested) - 2.0, usual - 1.5 * (top - usual) - 2.0)
    return low, top + 0.06 * (top - low)


def _title(curve: _Curve) -> str:
    model, data, path, calibration = (
        str(setting(curve.config, key)) for key in ("model.name", "data.name", "imc.path", "imc.calibration")
    )
    title = f"{model} on {data}"
    return title if path in OFF_THE_ARRAY else f"{title}, array and noise of {Path(calibration).stem}"
