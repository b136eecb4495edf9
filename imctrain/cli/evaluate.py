"""`imctrain evaluate`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from imctrain.cli.evaluation_table import show
from imctrain.cli.numbers import numbers
from imctrain.cli.options import find_experiment
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite
from imctrain.records.layout import EvaluationFiles, RunFiles

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
    dies: Annotated[
        str, typer.Option("--dies", metavar="N|A,B", help="Other dies, 1, 2 ... N; or measured ones by name.")
    ] = "0",
    spread_bounds: Annotated[
        bool,
        typer.Option(
            "--spread-bounds/--no-spread-bounds", help="These dies at the low and high of the spread of dies too."
        ),
    ] = True,
    below: Annotated[
        list[str] | None,
        typer.Option(
            "--below", metavar="P,P", help="Points below the training die to tell yields at (2,10).", show_default=False
        ),
    ] = None,
    accuracy: Annotated[
        list[str] | None,
        typer.Option("--accuracy", metavar="%,%", help="Accuracies to tell yields at too.", show_default=False),
    ] = None,
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
        typer.Option("--recalibrate", metavar="WHAT", help="offsets, gains, batch-norm: some of them."),
    ] = None,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", min=1, metavar="N", help="Training images to calibrate with.")
    ] = 512,
    checkpoint: Annotated[
        Literal["best", "last"], typer.Option("--checkpoint", help="Of a run: of best accuracy, or the newest.")
    ] = "best",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="Experiment of a file without one.",
            show_default=False,
            callback=find_experiment,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder (default: RUN/evaluate).", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite pictures in DIR that no evaluation has drawn.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers for programs.")] = False,
) -> None:
    """Test a trained network on other dies, noise or converters, without training.

    Nothing is trained. Test images go through the network on its own die and on N
    others, each drawn with the calibration's spread of columns; noise draws are the
    same on every die. All dies run in one compiled step. The table says how much of
    the accuracy belongs to the die that the network was trained on. `--dies A,B`
    takes dies of the calibration that were measured.

    A float run goes on the array with `--set imc.path=exact`: ranges and learned
    clips are then calibrated on training images first. `--set imc.path=float` takes
    a network off the array.

    `--recalibrate offsets` reads every column at zero input and subtracts what it
    finds; `gains` reads every column at a known input and divides by the gain that
    it finds; `batch-norm` estimates batch statistics anew, on training images on
    each die. Several are given with commas. The network is evaluated without any
    remedy, then with one after the other added.

    Yields are told at 2 and 10 percentage points below the training die and the
    float baseline (`--below`), and at accuracies (`--accuracy 95,90`). Where dies
    are drawn from the calibration's spread of dies, all are drawn with its low and
    its high too: three measured dies leave it within a factor of 0.52 to 6.3.

    `--temperature -40,25,85 --supply 0.72,0.8` evaluates every die at these too, with
    the slopes of the calibration.

    DIR gets evaluate.json, and dies.png and conditions.png (and svg). Another evaluation into DIR
    adds to it, and what was measured before is not measured again. Ctrl-C loses
    nothing that was finished.

    Examples:

        imctrain evaluate runs/digits --dies 20

        imctrain evaluate runs/digits --dies 20 --recalibrate offsets,gains,batch-norm

        imctrain evaluate runs/float --set imc.path=exact --calibration chip.json --repeats 3
    """
    from imctrain.experiment.jax_setup import prepare_jax

    console = Console(highlight=False, stderr=as_json)
    console.print("loading jax ...", markup=False, soft_wrap=True)
    prepare_jax()
    from imctrain.evaluation.evaluate import Request
    from imctrain.evaluation.evaluate import evaluate as measure
    from imctrain.evaluation.evaluator import calibration_for
    from imctrain.evaluation.overrides import asked_dies, at_spread, conditions, overridden, parse_overrides
    from imctrain.evaluation.summary import checked_levels
    from imctrain.experiment.network_file import trained_network
    from imctrain.experiment.own_sources import located
    from imctrain.training.signals import Interrupted

    trained = trained_network(network, checkpoint)
    if config is not None:
        from imctrain.experiment.from_config import calibration_of
        from imctrain.settings import load_config

        if trained.config is not None:
            raise UserError(f"{network} holds the config it was trained with: change it with --set, without --config")
        loaded = load_config(config)
        own = calibration_of(loaded, config.parent)
        trained = replace(trained, config=loaded, calibration=own, model_name=located(loaded, config.parent))
    changes = parse_overrides([*(overrides or []), *([f"imc.calibration={calibration}"] if calibration else [])])
    changed = overridden(trained.known_config, changes)
    chip = None if changed.imc.path == "float" else calibration_for(trained, changed)
    others = tuple(asked_dies(changed, dies, chip))
    request = Request(
        overrides=changes,
        others=others,
        at_spread=tuple(at_spread(changed, others, chip)) if spread_bounds and chip is not None else (),
        conditions=tuple(conditions(numbers("--temperature", temperature), numbers("--supply", supply))),
        repeats=repeats,
        images=images,
        recalibrate=tuple(name for item in recalibrate or () for name in item.split(",")),
        calibration_images=calibration_images,
        levels=checked_levels(numbers("--below", below), numbers("--accuracy", accuracy)),
    )
    folder = out if out is not None else _default_folder(network)
    _refuse_pictures(EvaluationFiles(folder), force)
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
    show(found, console)
    console.print(f"written to {folder}", markup=False, soft_wrap=True)


def _refuse_pictures(files: EvaluationFiles, force: bool) -> None:
    """Raise UserError for pictures that an evaluation would replace and that none has drawn: one has left its JSON."""
    if not files.evaluations.exists():
        for suffix in (".png", ".svg"):
            for picture in (files.figure(suffix), files.conditions_figure(suffix)):
                refuse_overwrite(picture, "--out", force=force)


def _default_folder(network: Path) -> Path:
    return RunFiles(network).evaluations.folder if network.is_dir() else network.with_name(f"{network.stem}-evaluate")
