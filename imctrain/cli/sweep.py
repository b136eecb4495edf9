"""`imctrain sweep`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from imctrain.cli.app import Commands
from imctrain.cli.options import ConfigFile, Overrides
from imctrain.cli.sweep_pack import pack, unpack
from imctrain.cli.sweep_plan import DryRun, Estimate, show_plan
from imctrain.cli.terminal import Terminal
from imctrain.errors import UserError
from imctrain.files import JsonValue

if TYPE_CHECKING:
    from imctrain.sweep.spec import SweepSpec

app = Commands(rich_markup_mode="markdown")


@app.callback()
def sweep() -> None:
    """Train many variants of an experiment, each once, and compare them.

    A sweep's folder keeps every trial under a hash of its config: give the same
    command again to continue, other values to extend, another folder's content
    (cp -r A/. B) to merge. Another experiment needs another --name or --out.
    Interrupting a sweep (Ctrl-C) saves all running trials.

    Example: `imctrain sweep noise -c experiments/quickstart.toml --sigma 0.5,1,2 --out runs/noise`
    """


class Executor(StrEnum):
    local = "local"
    ray = "ray"


Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The sweep's folder.", show_default=False)]
Seeds = Annotated[
    str, typer.Option("--seeds", metavar="N|A,B,..", help="How many seeds (from 0), or which ones (0,5,7).")
]
References = Annotated[
    str, typer.Option("--references", metavar="NAMES", help="Trained for comparison: float, digital, or none.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Trials at a time (default: one a GPU, else one a core with 2 GiB).",
        show_default=False,
    ),
]
Run = Annotated[Executor, typer.Option("--executor", help="local processes, or Ray (pip install 'imctrain[ray]').")]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="Of a running Ray cluster; else one is started here.")
]
Keep = Annotated[bool, typer.Option("--keep-checkpoints", help="Keep the checkpoints of finished trials.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Also train again what diverged or was refused.")]
Name = Annotated[str, typer.Option("--name", help="Names this sweep's results in the folder.")]


@app.command()
def noise(
    config: ConfigFile,
    out: Out,
    sigma: Annotated[str, typer.Option("--sigma", metavar="S,S,..", help="Noise before rounding, LSB at R = 1.")] = (
        "0,0.25,0.5,1,2"
    ),
    seeds: Seeds = "1",
    mapping: Annotated[
        str | None, typer.Option("--mapping", metavar="M,..", help="grouped, balanced, bit_serial.", show_default=False)
    ] = None,
    range_policy: Annotated[
        str | None, typer.Option("--range", metavar="P,..", help="fixed, two_level, per_site.", show_default=False)
    ] = None,
    references: References = "float,digital",
    overrides: Overrides = None,
    name: Name = "noise",
    jobs: Jobs = None,
    executor: Run = Executor.local,
    ray_address: RayAddress = None,
    keep_checkpoints: Keep = False,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    estimate: Estimate = False,
) -> None:
    """Test accuracy against array noise, a curve for each mapping and range policy.

    Writes DIR/results/NAME.{csv,json,md,png,svg}: the accuracies, the figure with
    lines at the baseline, 2 and 10 points below it, and the noise at which each
    curve crosses them.

    Example: `imctrain sweep noise -c my.toml --sigma 0.5,1,2 --seeds 3
    --mapping grouped,balanced --range fixed,per_site --out runs/noise`
    """
    from imctrain.sweep.spec import SIGMA, make_spec, parse_axis

    axes = dict([parse_axis(f"{SIGMA}={sigma}")])
    for key, text in (("imc.mapping.gradient", mapping), ("imc.adc.range_policy", range_policy)):
        if text is not None:
            axes |= dict([parse_axis(f"{key}={text}")])
    data = {"name": name, "axes": axes}
    spec = make_spec(data | _common(config, seeds, references, overrides), "sweep noise")
    if dry_run or estimate:
        show_plan(spec, out, jobs, listing=dry_run, estimating=estimate)
        return
    _sweep(spec, out, jobs, executor, ray_address, keep_checkpoints, retry_failed)


app.command()(pack)
app.command()(unpack)


@app.command()
def grid(
    config: ConfigFile,
    out: Out,
    axis: Annotated[
        list[str],
        typer.Option(
            "--axis",
            "-a",
            metavar="KEY=V,V,..",
            help="A config key and its values; may be repeated.",
            show_default=False,
        ),
    ],
    seeds: Seeds = "1",
    references: References = "float",
    overrides: Overrides = None,
    name: Name = "grid",
    jobs: Jobs = None,
    executor: Run = Executor.local,
    ray_address: RayAddress = None,
    keep_checkpoints: Keep = False,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    estimate: Estimate = False,
) -> None:
    """Every combination of the values of any config keys.

    Of several keys, noise (imc.noise.sigma_lsb) or else the first one with
    numbers becomes the figure's x-axis; the others tell its curves apart.

    Example: `imctrain sweep grid -c my.toml --axis imc.adc.bits=6,8,10 --axis
    imc.array.replicate=true,false --out runs/adc`
    """
    from imctrain.sweep.spec import make_spec, parse_axis

    axes: dict[str, tuple[JsonValue, ...]] = {}
    for item in axis:
        key, values = parse_axis(item)
        if key in axes:
            raise UserError(f"--axis {item}: {key} is there twice")
        axes[key] = values
    spec = make_spec({"name": name, "axes": axes} | _common(config, seeds, references, overrides), "sweep grid")
    if dry_run or estimate:
        show_plan(spec, out, jobs, listing=dry_run, estimating=estimate)
        return
    _sweep(spec, out, jobs, executor, ray_address, keep_checkpoints, retry_failed)


@app.command("file")
def from_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Sweep (TOML).", show_default=False)],
    out: Out,
    overrides: Overrides = None,
    jobs: Jobs = None,
    executor: Run = Executor.local,
    ray_address: RayAddress = None,
    keep_checkpoints: Keep = False,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    estimate: Estimate = False,
) -> None:
    """A sweep written down in TOML: axes, named variants, seeds, references.

    See experiments/cifar10/*.sweep.toml for sweep files, and
    imctrain/sweep/spec.py for their keys. `--set` changes a key of all trials,
    the references too, over what the file's [set] says.

    `--estimate` says before anything is trained how many trials are left, how long
    they take here (from trials of their kind that are done, else from steps that it
    compiles and times now) and which energy they take on the chip (cost model).

    Examples:

        imctrain sweep file experiments/cifar10/noise.sweep.toml --out runs/cifar10

        imctrain sweep file my.sweep.toml --out runs/my --set training.epochs=2 --dry-run --estimate
    """
    from imctrain.sweep.spec import read_sweep

    spec = read_sweep(path)
    spec = spec.with_set(_changes(overrides), "--set")
    if dry_run or estimate:
        show_plan(spec, out, jobs, listing=dry_run, estimating=estimate)
        return
    _sweep(spec, out, jobs, executor, ray_address, keep_checkpoints, retry_failed)


@app.command()
def search(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Sweep with [search] (TOML).", show_default=False)],
    out: Out,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, help="Settings to try in all (default: as the file says).", show_default=False),
    ] = None,
    jobs: Jobs = None,
    executor: Run = Executor.local,
    ray_address: RayAddress = None,
    keep_checkpoints: Keep = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, show the space, train nothing.")] = False,
) -> None:
    """The settings that answer a designer's question, found among trials.

    FILE is a sweep with a table [search]: an objective (accuracy and energy, least
    energy within some points of a reference, or accuracy under an energy limit)
    and a space of config keys. docs/search.md has them all. Optuna proposes
    settings (pip install 'imctrain[search]'); each is an ordinary trial of the
    sweep's folder, chosen by held-out images (data.validation). What is chosen in
    the end is measured on the test images, once.

    Writes DIR/results/NAME-search.{md,json,png,svg}: the settings, their accuracies
    and energies, beside the recipe and the references of the file. Interrupted, the
    same command goes on; with more --trials it goes further.

    Example: `imctrain sweep search experiments/digits-search.sweep.toml --out runs/search`
    """
    from imctrain.sweep.folder import SweepFolder
    from imctrain.sweep.pools import pool_of
    from imctrain.sweep.search import run as searches
    from imctrain.sweep.search.spec import read_question
    from imctrain.sweep.train import Stopped

    console = Terminal(highlight=False)
    question, folder = read_question(path), SweepFolder(out)
    if trials is not None:
        question = question.with_trials(trials)
    if dry_run:
        for line in searches.dry_run(question, folder):
            console.print(line, markup=False, soft_wrap=True)
        return
    # What is chosen goes on from its checkpoint, to the test images.
    pool = pool_of(folder, executor, jobs, True, ray_address)
    try:
        answer = searches.search(question, folder, pool, console, keep_checkpoints=keep_checkpoints)
    except Stopped as stopped:
        _leave(f"stopped by {stopped}, trials saved; give the same command again to go on", stopped.code)
    from imctrain.report.sweep_results import write_results

    write_results(out)
    target = answer.write(folder.files.results, question.sweep.name)
    console.print(answer.markdown(), markup=False, soft_wrap=True)
    console.print(f"written to {target}", markup=False, soft_wrap=True)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The sweep's folder.", show_default=False)],
    jobs: Jobs = None,
    executor: Run = Executor.local,
    ray_address: RayAddress = None,
    keep_checkpoints: Keep = False,
    retry_failed: RetryFailed = False,
) -> None:
    """Train whatever is planned in a sweep's folder and has no result yet.

    Example: `imctrain sweep resume runs/noise`
    """
    _sweep(None, folder, jobs, executor, ray_address, keep_checkpoints, retry_failed)


def _common(config: Path, seeds: str, references: str, overrides: list[str] | None) -> dict[str, object]:
    try:
        numbers = [int(part) for part in seeds.split(",")]
    except ValueError:
        raise UserError(f"--seeds {seeds}: give how many (3), or which ones (0,5,7)") from None
    if "," not in seeds:
        if numbers[0] < 1:
            raise UserError(f"--seeds {seeds}: give 1 or more")
        numbers = list(range(numbers[0]))
    named = [name.strip() for name in references.split(",") if name.strip() not in ("", "none")]
    return {"config": str(config), "seeds": numbers, "references": named, "set": _changes(overrides)}


def _changes(overrides: list[str] | None) -> dict[str, JsonValue]:
    """Of --set, by key."""
    from imctrain.sweep.spec import parse_axis

    changes: dict[str, JsonValue] = {}
    for item in overrides or []:
        key, values = parse_axis(item)
        changes[key] = values[0] if len(values) == 1 else list(values)
    return changes


def _sweep(
    spec: SweepSpec | None,
    out: Path,
    jobs: int | None,
    executor: Executor,
    ray_address: str | None,
    keep_checkpoints: bool,
    retry_failed: bool,
) -> None:
    """Plan (unless `spec` is None), train, and write the results."""
    from imctrain.sweep import train as sweeps
    from imctrain.sweep.folder import SweepFolder
    from imctrain.sweep.pools import pool_of

    console = Terminal(highlight=False)
    folder = SweepFolder(out)
    if spec is None:
        keys = folder.keys()
        if not keys:
            raise UserError(f"{out} holds no sweep (no plan/): give the folder that `imctrain sweep` made")
    else:
        console.print("checking the trials' configs ...", markup=False)
        keys = sweeps.plan(folder, spec)
    pool = pool_of(folder, executor, jobs, keep_checkpoints, ray_address)
    try:
        states = sweeps.run(folder, keys, pool, console, retry_failed=retry_failed)
    except sweeps.Stopped as stopped:
        _leave(f"stopped by {stopped}, trials saved; continue with: imctrain sweep resume {out}", stopped.code)
    from imctrain.report.sweep_results import write_results
    from imctrain.studies.energy import KeptEnergy

    for line in write_results(out, KeptEnergy()):
        console.print(line, markup=False, soft_wrap=True)
    if states.get("failed"):
        _leave(f"{len(states['failed'])} of {len(keys)} trials failed; the results hold the others", 1)


def _leave(message: str, code: int) -> NoReturn:
    print(f"imctrain: {message}", file=sys.stderr)
    raise SystemExit(code)
