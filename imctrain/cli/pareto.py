"""`imctrain pareto`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imctrain.cli.options import Force

if TYPE_CHECKING:
    from rich.table import Table

    from imctrain.report.pareto import Pareto


def pareto(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders that hold sweeps or runs.", show_default=False)
    ],
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="NAME", help="Only sweeps of this name; may be repeated.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where files go (default: the first DIR).", show_default=False),
    ] = None,
    technology: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Count all on this technology, whatever results say.", show_default=False),
    ] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Several networks or data sets on one front.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the front for programs; files are written with --out alone.")
    ] = False,
    force: Force = False,
) -> None:
    """Accuracy against energy: what a point of accuracy costs.

    Merges sweeps, packed ones too, and single runs into one table: the energy of
    the training, its time on the chip, and the Pareto front, on which no other
    configuration has as much accuracy for less energy. Results without energy
    are counted from their configs. Beside it what digital arithmetic takes.
    Writes pareto.json, pareto.md, pareto.png and pareto.svg.

    Example: `imctrain pareto experiments/cifar10/results/reproduction --sweep noise --sweep claims --out runs/front`
    """
    import sys

    from rich.console import Console

    from imctrain.experiment.jax_setup import prepare_jax
    from imctrain.report.pareto_results import as_json as text_of
    from imctrain.report.pareto_results import check_targets, choose, front_of, write_pareto

    target = out if out is not None else None if as_json else folders[0]
    chosen = choose(folders, sweep or (), mixed=mixed)
    if target is not None:
        check_targets(target, force=force)
    print("counting energies ...", file=sys.stderr)
    prepare_jax()
    from imctrain.studies.energy import KeptEnergy

    pricing = KeptEnergy(technology)
    found = front_of(chosen, pricing)
    for folder, problem in pricing.problems.items():
        found["notes"].append(f"{folder.name} could not be counted: {problem}")
    written = [] if target is None else write_pareto(found, target, chosen.title, force=force)
    if as_json:
        typer.echo(text_of(found))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(_table(found))
    for reference in found["references"]:
        assumed = f", assumed: {reference['assumed']}" if reference["assumed"] else ""
        console.print(
            f"{reference['name']} ({reference['sweep']}): {100 * reference['accuracy']:.2f} % for "
            f"{reference['energy_training_j']:.3g} J{assumed}",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"* Pareto front. {', '.join(found['technology'])}, {found['provenance']}.", markup=False)
    for note in found["notes"]:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    console.print(f"written to {written[0].with_suffix('')}.{{json,md,png,svg}}", markup=False, soft_wrap=True)


def _table(found: Pareto) -> Table:
    from rich.table import Table

    from imctrain.report.pareto import point_name

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for header, justify in (
        ("", "left"), ("sweep", "left"), ("configuration", "left"), ("seeds", "right"), ("accuracy", "right"),
        ("J", "right"), ("fJ/MAC", "right"), ("chip s", "right"), ("INT8/IMC", "right"),
    ):  # fmt: skip
        table.add_column(header, justify=justify, no_wrap=header != "configuration")  # type: ignore[arg-type]
    for point in found["points"]:
        ratio = point["digital_int8_ratio"]
        table.add_row(
            "*" if point["on_front"] else "",
            point["sweep"],
            point_name(point),
            str(len(point["seeds"])),
            f"{100 * point['accuracy']:.2f} %",
            f"{point['energy_training_j']:.3g}",
            f"{point['fj_per_mac']:.3g}",
            f"{point['seconds_training_chip']:.3g}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    return table
