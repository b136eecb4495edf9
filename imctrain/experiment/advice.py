"""Warnings of a run: its hardware before it starts, its training at the end. On the console and in result.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from imctrain.data import Dataset
from imctrain.errors import UserError
from imctrain.imc.forecast.advice import Problem, advise, all_remedies, remedy_text
from imctrain.intercept import Ledger
from imctrain.records.layout import RunFiles
from imctrain.records.result import OFF_THE_ARRAY
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


def refuse_nothing_on_the_array(config: Config, ledger: Ledger | None) -> None:
    """Raise UserError if a run that asks for the array has no site on it: its result would be called analog."""
    if ledger is None or config.imc.path in OFF_THE_ARRAY or any(entry.path not in OFF_THE_ARRAY for entry in ledger):
        return
    if not len(ledger):
        raise UserError(
            f"imc.path is {config.imc.path}, but this network has no matmul or convolution (products written as * and "
            'sum stay digital): set imc.path = "float", or write them as matmuls'
        )
    raise UserError(
        f"imc.path is {config.imc.path}, but imc.rules leaves every site digital ({', '.join(ledger.names[:3])}"
        f'{" ..." if len(ledger) > 3 else ""}): set imc.path = "float" or "digital", or leave a site on the array'
    )


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
    if config.imc.path in OFF_THE_ARRAY:
        return f"{rate}, or more epochs"
    return f"{rate}, more epochs, or less noise; `imctrain inspect` shows the SNR of every site"


def warn(console: Console, lines: list[str]) -> None:
    """A line of the console for each."""
    for line in lines:
        console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
