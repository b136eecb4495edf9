"""The learning curve of a run folder: loss and accuracy against epochs, the float baseline beside it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imctrain.frozen_defaults import filled
from imctrain.report.style import COLOURS, pyplot, save_figure

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

    config: dict[str, Any]
    lines: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    style: dict[str, Any]

    @property
    def label(self) -> str:
        path = self.config["imc"]["path"]
        return PATHS.get(path, path)

    @property
    def tested(self) -> list[dict[str, Any]]:
        return [record for record in self.epochs if record.get("test_accuracy") is not None]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON Lines file; a last line cut off by a crash is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def plot_learning_curve(folder: Path, target: Path) -> None:
    """Draw `folder`'s metrics (and its baseline's) to a picture; the format follows the target's suffix."""
    plt = pyplot()
    from matplotlib.ticker import LogFormatter

    curves = [_read(folder, {"color": COLOURS[0], "zorder": 3})]
    if (folder / "baseline" / "metrics.jsonl").is_file():
        curves.append(_read(folder / "baseline", {"color": COLOURS[1], "zorder": 2}))
    curves = [curve for curve in curves if curve.epochs]
    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(7.0, 2.9), layout="constrained")
    for curve in curves:
        _draw_loss(loss, curve)
        _draw_accuracy(accuracy, curve)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.5)))
    accuracy.plot([], [], color="0.4", ls=(0, (1, 1)), lw=1.0, label="on training images, as seen")
    accuracy.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=_limits(curves))
    loss.legend()
    accuracy.legend(loc="lower right")
    for axis in (loss, accuracy):
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlim(left=0)
    if curves:
        figure.suptitle(_title(curves[0]), fontsize=9)
    save_figure(figure, target)


def _read(folder: Path, style: dict[str, Any]) -> _Curve:
    records = read_jsonl(folder / "metrics.jsonl")
    epochs = [record for record in records if record["kind"] == "epoch"]
    marker = {"marker": "o", "markersize": 2.5} if len(epochs) <= MARKED else {}
    config = filled(tomllib.loads((folder / "config.toml").read_text(encoding="utf-8")))
    return _Curve(config, [record for record in records if record["kind"] == "train"], epochs, style | marker)


def _draw_loss(axis: Any, curve: _Curve) -> None:
    epochs = curve.epochs
    if len(curve.lines) >= LINES_AN_EPOCH * len(epochs):
        steps_an_epoch = epochs[0]["step"] / epochs[0]["epoch"]
        x = [record["step"] / steps_an_epoch for record in curve.lines]
        y = [record["loss"] for record in curve.lines]
        axis.plot(x, y, color=curve.style["color"], lw=0.5, alpha=0.4, zorder=1)
    # What is a mean over an epoch stands in its middle.
    axis.plot([r["epoch"] - 0.5 for r in epochs], [r["loss"] for r in epochs], label=curve.label, **curve.style)


def _draw_accuracy(axis: Any, curve: _Curve) -> None:
    x, y = [r["epoch"] - 0.5 for r in curve.epochs], [100 * r["accuracy"] for r in curve.epochs]
    axis.plot(x, y, color=curve.style["color"], ls=(0, (1, 1)), lw=1.0, zorder=1)
    tested = curve.tested
    y = [100 * record["test_accuracy"] for record in tested]
    axis.plot([record["epoch"] for record in tested], y, label=f"{curve.label}: {y[-1]:.1f}%", **curve.style)


def _limits(curves: list[_Curve]) -> tuple[float, float]:
    """Accuracies worth seeing: all of a short run; of a long one, not the steep first epochs."""
    tested = [100 * record["test_accuracy"] for curve in curves for record in curve.tested]
    if not tested:
        return 0.0, 100.0
    top = max(tested + [100 * record["accuracy"] for curve in curves for record in curve.epochs])
    usual = float(np.percentile(tested, 10))
    low = max(0.0, min(tested) - 2.0, usual - 1.5 * (top - usual) - 2.0)
    return low, top + 0.06 * (top - low)


def _title(curve: _Curve) -> str:
    config = curve.config
    title = f"{config['model']['name']} on {config['data']['name']}"
    if config["imc"]["path"] in ("float", "digital"):
        return title
    return f"{title}, array and noise of {Path(config['imc']['calibration']).stem}"
