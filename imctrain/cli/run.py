"""`imctrain run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from imctrain.cli.options import OptionalConfigFile, Overrides
from imctrain.cli.terminal import Terminal
from imctrain.errors import UserError
from imctrain.experiment.jax_setup import prepare_jax
from imctrain.files import told, what_to_do
from imctrain.records.layout import RunFiles
from imctrain.records.result import Result
from imctrain.units import joules, seconds


def run(
    config: OptionalConfigFile = None,
    overrides: Overrides = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="N", help="Short for --set seed=N.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Run folder (default: runs/NAME-TIMESTAMP).", show_default=False
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", metavar="RUN_OR_FILE", help="Start from a run's network, or an exported one.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="Continue the run in this folder.", show_default=False),
    ] = None,
    accept_changes: Annotated[
        str | None,
        typer.Option(
            "--accept-changes",
            metavar="KEY,..",
            help="With --resume: what may differ from the checkpoint.",
            show_default=False,
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            "--track", metavar="NAME,..", help="Also report to wandb, mlflow (docs/tracking.md).", show_default=False
        ),
    ] = None,
    list_shipped: Annotated[bool, typer.Option("--list", help="List the shipped experiments, and do no more.")] = False,
) -> None:
    """Train the network of an experiment, every matmul on the simulated array.

    Results go to a run folder: the config as resolved, the environment, metrics
    as JSON Lines, checkpoints, result.json, a learning curve, and the ledger of
    all matmuls. Interrupting a run (Ctrl-C) saves it; `--resume DIR` continues
    to the same bits as if it had not stopped.

    A checkpoint carries the config, calibration and data it was trained with. If
    the folder says otherwise when the run goes on, that is an error which lists
    every difference. To go on with other settings (more epochs, say), edit
    DIR/config.toml and name their keys with `--accept-changes`, and result.json
    lists what changed after which step; `calibration` and `data.content` are keys
    too. Batch size and model cannot change within a run. A damaged checkpoint is
    told, and the one before it is taken.

    `--init` starts from the best checkpoint of a run, or a file of `imctrain
    export`: its parameters and batch statistics, and the ranges and clips of sites
    that are the same; the optimizer begins anew. Any config goes whose network
    fits. The run keeps a copy, and result.json says what it started from.

    Hardware that cannot train is told before it starts, and a training that
    went wrong at its end, in lines that begin with "warning:" and name a
    remedy; result.json has them too. The exit code stays 0.

    `-c NAME` is NAME, else NAME.toml, of the current folder, else the shipped
    experiment of that name. A config may name a network and an optimizer of your
    own (`[model] name = "my_nets.py:Net"`): `imctrain new DIR` writes one to start
    from. The run keeps a copy of such files.

    Compiled steps are kept in ~/.cache/imctrain/xla for the next run;
    IMCTRAIN_CACHE_DIR=DIR moves them, IMCTRAIN_CACHE_DIR=off keeps none.

    Exit codes: 0 trained, 1 internal or disk error, 2 bad input or a full disk, 3 diverged,
    130, 143, 129, 138 or 141 interrupted by SIGINT, SIGTERM,
    SIGHUP, SIGUSR1 or a closed pipe, and saved.

    Examples:

        imctrain run --config quickstart

        imctrain run -c my.toml --set imc.noise.sigma_lsb=0.5 --seed 1

        imctrain run --resume runs/quickstart-20250101-120000

        imctrain run --resume runs/long --accept-changes training.epochs

        imctrain run -c my.toml --init runs/float --set training.epochs=3
    """
    if list_shipped:
        _list()
        return
    if (config is None) == (resume is None):
        raise UserError("run needs either --config FILE (a new run) or --resume DIR (one that stopped)")
    if resume is not None and (overrides or track or any(given is not None for given in (out, seed, init))):
        raise UserError(
            "--resume continues a run as it was: --set, --seed, --out, --init and --track cannot be given with it"
        )
    if resume is None and accept_changes is not None:
        raise UserError("--accept-changes goes with --resume DIR: a new run is what its config says")
    accept = [key.strip() for key in (accept_changes or "").split(",") if key.strip()]
    console = Terminal(highlight=False)
    if config is not None:
        from imctrain.settings import load_config

        short = [] if seed is None else [f"seed={seed}"]
        if track is not None:
            short.append(f"tracking.to={[name.strip() for name in track.split(',') if name.strip()]}")
        loaded = load_config(config, [*(overrides or []), *short])
    console.print("loading jax ...", markup=False, soft_wrap=True)
    prepare_jax()
    from imctrain.experiment import run as runs
    from imctrain.training.loop import Diverged
    from imctrain.training.signals import Interrupted

    place = runs.Place()
    try:
        if config is not None:
            result = runs.start(loaded, out, config.parent, console, place, init)
        else:
            assert resume is not None
            result = runs.resume(resume, console, place, accept)
    except Interrupted as stopped:
        _leave(f"stopped by {stopped}, saved; continue with: imctrain run --resume {place.folder}", stopped.code)
    except Diverged as error:
        _leave(str(error), 3)
    except KeyboardInterrupt:
        if place.folder is None:
            raise
        _leave(f"stopped at once; continue from what was saved with: imctrain run --resume {place.folder}", 130)
    except OSError as error:
        if place.folder is None:
            raise
        what = what_to_do(error)
        code = 2 if what else 1
        if not RunFiles(place.folder).is_run:
            # Nothing was begun that could go on.
            _leave(f"{told(error, str(place.folder))}{f'{what}, and' if what else ':'} give the command again", code)
        _leave(
            f"{told(error, str(place.folder))}; what was saved before is intact: make room (or the folder writable), "
            f"then continue with: imctrain run --resume {place.folder}",
            code,
        )
    accuracies = {
        "validation": (result.validation_accuracy, result.baseline_validation_accuracy),
        "test": (result.test_accuracy, result.baseline_test_accuracy),
    }
    accuracy = ", ".join(
        f"{what} accuracy {100 * found:.2f}%" + (f" (float baseline {100 * base:.2f}%)" if base is not None else "")
        for what, (found, base) in accuracies.items()
        if found is not None
    )
    if result.energy_training_j is not None:
        console.print(_energy(result), markup=False, soft_wrap=True)
    console.print(
        f"{accuracy}, {result.seconds_per_epoch:.1f} s an epoch; results in {place.folder}",
        markup=False,
        soft_wrap=True,
    )


def _list() -> None:
    """Names of the shipped experiments, and a line on each."""
    from imctrain.settings.shipped import about, shipped_configs

    found = shipped_configs()
    width = max(map(len, found))
    for name, path in found.items():
        typer.echo(f"{name:<{width}}  {about(path)}")


def _energy(result: Result) -> str:
    """What the training took on the chip, in one line."""
    energy, chip, per_mac = (
        result.energy_training_j or 0.0,
        result.seconds_training_chip or 0.0,
        result.fj_per_mac or 0.0,
    )
    ratio = result.digital_int8_ratio
    against = "" if ratio is None else f", digital INT8 takes x{ratio:.2g} the energy"
    return (
        f"on the chip the training takes {joules(energy)} and {seconds(chip)}, {per_mac:.3g} fJ/MAC{against} "
        f"({result.cost_technology}, {result.cost_provenance})"
    )


def _leave(message: str, code: int) -> NoReturn:
    print(f"imctrain: {message}", file=sys.stderr)
    raise SystemExit(code)
