"""`imctrain claims`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imctrain.cli.options import Force
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite


def claims(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Summary (default: DIR/summary.json).", show_default=False),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="NAME",
            help="Sweep that carries the claims, into DIR/NAME-summary.json (default: claims, into DIR/summary.json).",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Judge the claims of the paper by the results in a sweep's folder.

    Reads the sweep `claims` or NAME (variants silicon and feasible, float
    reference) and the sweep `noise` (variants best and plain), and writes the
    baseline, each claim with its numbers, and the noise tolerance ratio with its
    interval. Where folders below DIR hold sweeps of the same name, that of DIR
    itself is judged, and without one none is: give the folder of one of them.

    Example: `imctrain claims experiments/cifar10/results/reproduction`
    """
    from imctrain.files import write_json
    from imctrain.records.runs import gather
    from imctrain.records.sweeps import sweeps_of
    from imctrain.report.claims import summarise
    from imctrain.report.crossing import Estimate

    records = gather(folder)
    names = sorted({found.name for found in sweeps_of(records)})
    if sweep is not None and sweep not in names:
        raise UserError(f"no results of a sweep {sweep!r} in {folder}: there are {', '.join(names) or 'none'}")
    summary = summarise(records, sweep or "claims", root=folder)
    target = out if out is not None else folder / (f"{sweep}-summary.json" if sweep else "summary.json")
    refuse_overwrite(target, "--out", force=force, made_by='"noise_tolerance_ratio"')
    write_json(target, summary)
    for what, found in summary["sweeps"].items():
        if found is not None:
            typer.echo(f"{what}: sweep {found['name']} in {folder / found['folder']}")
    if summary["baseline_accuracy"] is not None:
        typer.echo(f"float baseline: {100 * summary['baseline_accuracy']:.2f} %")
    for claim in summary["claims"]:
        accuracy, drop = claim["accuracy"], claim["drop_points"]
        if accuracy is None or drop is None:
            typer.echo(f"{claim['id']}: no result yet")
        else:
            word = "holds" if claim["holds"] else "fails"
            typer.echo(
                f"{claim['id']}: {word} at {claim['sigma_lsb']:g} LSB: {100 * accuracy:.2f} %, "
                f"{drop:.2f} points below ({claim['drop_interval'][0]:.2f} to "
                f"{claim['drop_interval'][1]:.2f}), {len(claim['seeds'])} seeds"
            )
    for line in (summary["noise_tolerance_ratio"], *summary["other_noise_tolerance_ratios"]):
        if "best" not in line:
            continue
        ratio = Estimate(line["value"], line["low"], line["high"], line["bound"], line["limit"])
        typer.echo(
            f"noise tolerance ratio, {line['best']} over plain, {line['points']:g} points below {line['below']}: "
            f"{ratio.text()}"
        )
    typer.echo(f"written to {target}")
