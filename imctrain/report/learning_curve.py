"""The learning curve of a run folder: loss and accuracy against epochs, the float baseline beside it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from imctrain.report.style import COLOURS, pyplot

LABELS = {"float": "float", "digital": "4-bit formats, digital", "exact": "IMC, exact"}


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
    curves = [(folder, COLOURS[0])]
    if (folder / "baseline" / "metrics.jsonl").is_file():
        curves.append((folder / "baseline", COLOURS[1]))
    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(7.0, 2.8), layout="constrained")
    for source, colour in curves:
        config = tomllib.loads((source / "config.toml").read_text(encoding="utf-8"))
        records = read_jsonl(source / "metrics.jsonl")
        label = LABELS.get(config["imc"]["path"], config["imc"]["path"])
        steps = [r for r in records if r["kind"] == "train"]
        epochs = [r for r in records if r["kind"] == "epoch"]
        if not epochs:
            continue
        per_epoch = epochs[0]["step"] / epochs[0]["epoch"]
        loss.plot([r["step"] / per_epoch for r in steps], [r["loss"] for r in steps], color=colour, lw=0.6, alpha=0.45)
        loss.plot([r["epoch"] for r in epochs], [r["loss"] for r in epochs], color=colour, marker=".", label=label)
        tested = [r for r in epochs if "test_accuracy" in r]
        x = [r["epoch"] for r in tested]
        final = 100 * tested[-1]["test_accuracy"]
        accuracy.plot([r["epoch"] for r in epochs], [100 * r["accuracy"] for r in epochs], color=colour, ls=":")
        accuracy.plot(
            x, [100 * r["test_accuracy"] for r in tested], color=colour, marker=".", label=f"{label}: {final:.1f}%"
        )
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)")
    accuracy.plot([], [], color="0.4", ls=":", label="training (dotted)")
    loss.legend()
    accuracy.legend(loc="lower right")
    for axis in (loss, accuracy):
        axis.xaxis.get_major_locator().set_params(integer=True)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, format=target.suffix[1:])
    plt.close(figure)
    temporary.replace(target)
