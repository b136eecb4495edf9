"""Warnings of a run: its hardware before it starts, its training at the end. On the console and in result.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from imctrain.data import Dataset
from imctrain.errors import UserError
from imctrain.imc.forecast.advice import Problem, advise, all_remedies, remedy_text
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.training.loop import data_parts
from imctrain.training.metrics import read_metrics
from imctrain.training.verdict import verdict

PREFIX = "imc."


def hardware_warnings(problems: list[Problem]) -> list[str]:
    """A line each, with the keys of a config."""
    return advise(problems, PREFIX)


def refuse_zeros(problems: list[Problem]) -> None:
    """Raise UserError if every output of an MVM is zero by construction: no data and no recipe can train that."""
    zeros = [problem for problem in problems if problem.kind == "zero"]
    if zeros:
        raise UserError(hardware_warnings(zeros)[0])


def training_warnings(config: Config, dataset: Dataset, folder: Path, problems: list[Problem]) -> list[str]:
    """What is wrong with the end of a training, with the remedy that fits its hardware."""
    labels = data_parts(config, dataset).evaluation.labels
    counts = np.bincount(np.asarray(labels), minlength=len(dataset.classes))
    return verdict(
        read_metrics(RunFiles(folder).metrics),
        classes=len(dataset.classes),
        chance=float(counts.max() / counts.sum()),
        test_images=int(counts.sum()),
        remedy=_remedy(config, problems),
    )


def _remedy(config: Config, problems: list[Problem]) -> str:
    remedies = all_remedies(problems)
    if remedies:
        return f"{remedy_text(remedies, PREFIX)}, which the check of the hardware advises"
    rate = f"try a training.learning_rate below {config.training.learning_rate:g}"
    if config.imc.path in ("float", "digital"):
        return f"{rate}, or more epochs"
    return f"{rate}, more epochs, or less noise; `imctrain inspect` shows the SNR of every site"


def warn(console: Console, lines: list[str]) -> None:
    """A line of the console for each."""
    for line in lines:
        console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
