"""`imctrain evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from imctrain.cli.numbers import numbers
from imctrain.errors import UserError
from imctrain.records.layout import EvaluationFiles, RunFiles

if TYPE_CHECKING:
    from imctrain.records.evaluation import Evaluation, Yield

UNITS = {"temperature_c": "C", "supply_v": "V"}
FILE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""


def evaluate(
    network: Annotated[
        Path, typer.Argument(metavar="RUN_OR_FILE", help="Folder of a run, or a file of `imctrain export`.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; may be repeated.", show_default=False),
    ] = None,
    dies: Annotated[int, typer.Option("--dies", min=0, metavar="N", help="Other dies, 1, 2 ... N.")] = 0,
    temperature: Annotated[
        list[str] | None,
        typer.Option("--temperature", metavar="C,C", help="Also at these, degrees Celsius.", show_default=False),
    ] = None,
    supply: Annotated[
        list[str] | None, typer.Option("--supply", metavar="V,V", help="Also at these, volt.", show_default=False)
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Another chip: short for --set imc.calibration=FILE.", show_default=False),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, metavar="N", help="Noise draws of every die.")] = 1,
    images: Annotated[
        int | None, typer.Option("--images", min=1, metavar="N", help="The first N test images.", show_default=False)
    ] = None,
    recalibrate: Annotated[
        list[str] | None,
        typer.Option("--recalibrate", metavar="WHAT", help="offsets or batch-norm; may be repeated."),
    ] = None,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", min=1, metavar="N", help="Training images to calibrate with.")
    ] = 512,
    checkpoint: Annotated[
        Literal["best", "last"], typer.Option("--checkpoint", help="Of a run: of best accuracy, or the newest.")
    ] = "best",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="Experiment of a file without one.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder (default: RUN/evaluate).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers for programs.")] = False,
) -> None:
    """Test a trained network on other dies, noise or converters, without training.

    Nothing is trained. Test images go through the network on its own die and on N
    others, each drawn with the calibration's spread of columns; noise draws are the
    same on every die. All dies run in one compiled step. The table says how much of
    the accuracy belongs to the die that the network was trained on.

    A float run goes on the array with `--set imc.path=exact`: ranges and learned
    clips are then calibrated on training images first. `--set imc.path=float` takes
    a network off the array.

    `--recalibrate offsets` reads every column at zero input and subtracts what it
    finds; `--recalibrate batch-norm` estimates batch statistics anew, on training
    images on each die. The network is evaluated without any remedy, then with one
    after the other added.

    `--temperature -40,25,85 --supply 0.72,0.8` evaluates every die at these too, with
    the slopes of the calibration.

    DIR gets evaluate.json, and dies.png and conditions.png (and svg). Another evaluation into DIR
    adds to it, and what was measured before is not measured again. Ctrl-C loses
    nothing that was finished.

    Examples:

        imctrain evaluate runs/digits --dies 20

        imctrain evaluate runs/digits --dies 20 --recalibrate offsets --recalibrate batch-norm

        imctrain evaluate runs/float --set imc.path=exact --calibration chip.json --repeats 3
    """
    from imctrain.experiment.jax_setup import prepare_jax

    console = Console(highlight=False, stderr=as_json)
    console.print("loading jax ...", markup=False, soft_wrap=True)
    prepare_jax()
    from imctrain.evaluation.evaluate import Request
    from imctrain.evaluation.evaluate import evaluate as measure
    from imctrain.evaluation.evaluator import calibration_for
    from imctrain.evaluation.overrides import conditions, overridden, parse_overrides
    from imctrain.evaluation.overrides import dies as other_dies
    from imctrain.experiment.network_file import trained_network
    from imctrain.training.signals import Interrupted

    trained = trained_network(network, checkpoint)
    if config is not None:
        from imctrain.settings import load_config

        if trained.config is not None:
            raise UserError(f"{network} holds the config it was trained with: change it with --set, without --config")
        trained = replace(trained, config=load_config(config))
    changes = parse_overrides([*(overrides or []), *([f"imc.calibration={calibration}"] if calibration else [])])
    changed = overridden(trained.known_config, changes)
    chip = None if changed.imc.path == "float" else calibration_for(trained, changed)
    request = Request(
        overrides=changes,
        others=tuple(other_dies(changed, dies, chip)),
        conditions=tuple(conditions(numbers("--temperature", temperature), numbers("--supply", supply))),
        repeats=repeats,
        images=images,
        recalibrate=tuple(recalibrate or ()),
        calibration_images=calibration_images,
    )
    folder = out if out is not None else _default_folder(network)
    try:
        found = measure(trained, request, folder, console)
    except Interrupted as stopped:
        print(
            f"imctrain: stopped by {stopped}; what was measured is in {folder}: run it again",
            file=sys.stderr,
        )
        raise SystemExit(stopped.code) from None
    from imctrain.report.dies_figure import draw_dies, has_dies

    if has_dies(found):
        for suffix in (".png", ".svg"):
            draw_dies(found, EvaluationFiles(folder).figure(suffix))
    from imctrain.report.conditions_figure import draw_conditions, has_conditions

    if has_conditions(found):
        for suffix in (".png", ".svg"):
            draw_conditions(found, EvaluationFiles(folder).conditions_figure(suffix))
    if as_json:
        typer.echo(json.dumps([one.plain() for one in found], indent=1))
        return
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    _show(found, console)
    console.print(f"written to {folder}", markup=False, soft_wrap=True)


def _default_folder(network: Path) -> Path:
    return RunFiles(network).evaluations.folder if network.is_dir() else network.with_name(f"{network.stem}-evaluate")


def _show(found: Sequence[Evaluation], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    table.add_column("evaluation")
    for header in ("die", "accuracy %", "test dies", "mean %", "std", "lowest", "highest", "noise std"):
        table.add_column(header, justify="left" if header == "die" else "right")
    for one in found:
        first, summary = one.dies[0], one.summary
        tested = summary.test_dies
        spread = (summary.mean, summary.std, summary.lowest, summary.highest) if tested else (None,) * 4
        table.add_row(
            one.name,
            first.name,
            _percent(first.accuracy),
            str(tested) if tested else "",
            *map(_percent, spread),
            _percent(summary.noise_std),
        )
        for at in one.at_conditions:
            spread = (at.mean, at.std, at.lowest, at.highest)
            where = ", ".join(f"{value:g} {UNITS[key]}" for key, value in sorted(at.conditions.items(), reverse=True))
            tested_at = str(at.test_dies) if at.test_dies else ""
            table.add_row(f"  at {where}", first.name, _percent(at.own_accuracy), tested_at, *map(_percent, spread), "")
    console.print(table)
    console.print()
    for line in _lines(found):
        console.print(line, markup=False, soft_wrap=True)


def _lines(found: Sequence[Evaluation]) -> list[str]:
    first = found[0]
    lines = [f"{first.network}, {first.checkpoint} checkpoint, on {first.images} test images of {first.dataset}"]
    if first.trained_accuracy is not None:
        held_out = dict(first.config["data"]).get("validation") is not None  # type: ignore[arg-type]
        where = " on the images that were held out" if held_out else ""
        lines[0] += f"; {_percent(first.trained_accuracy)} % when it was trained{where}"
    if first.baseline_accuracy is not None:
        lines[0] += f", float baseline {_percent(first.baseline_accuracy)} %"
    for one in found:
        lines += [f"{one.name}: {line}" for line in [*_of_the_die(one), *map(_yield, one.summary.yields)]]
        lines += [f"note: {one.name}: {note}" for note in one.notes]
    return list(dict.fromkeys(lines))


def _of_the_die(one: Evaluation) -> list[str]:
    summary = one.summary
    if summary.belongs_to_die is None or summary.own_accuracy is None:
        return []
    error = "" if summary.belongs_to_die_error is None else f" +- {100 * summary.belongs_to_die_error:.2f}"
    return [
        f"training die {_percent(summary.own_accuracy)} %, test dies {_percent(summary.mean)} %: "
        f"{100 * summary.belongs_to_die:.2f}{error} points of the accuracy belong to the die it was trained on"
    ]


def _yield(found: Yield) -> str:
    return (
        f"yield at {found.points:g} points below the {found.below} ({_percent(found.accuracy)} %): {found.passed} of "
        f"{found.dies} dies, {100 * found.share:.0f} % (95 %: {100 * found.low:.0f} to {100 * found.high:.0f})"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
