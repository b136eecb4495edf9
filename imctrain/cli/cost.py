"""`imctrain cost`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imctrain.cli.options import Force, OptionalConfigFile, Overrides
from imctrain.errors import UserError
from imctrain.files import refuse_overwrite
from imctrain.units import joules, joules_unit, seconds, seconds_unit

SHORT = {"forward": "fwd", "input_grad": "dX", "weight_grad": "dW"}
REFERENCES = {"formats": "the same formats", "int8": "INT8", "bf16": "BF16", "fp32": "FP32"}
FILE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""
TABLE_LEAST = 20.0
"""A step's energy in a table's unit: small sites then have digits left."""
MADE_BY = "imctrain cost"
PICTURES = (".png", ".svg", ".pdf")


def cost(
    config: OptionalConfigFile = None,
    overrides: Overrides = None,
    technology: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Shipped technology or JSON file, in place of the config's cost.technology."),
    ] = None,
    supply: Annotated[float | None, typer.Option(metavar="V", help="Supply voltage, in place of its own.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run", metavar="DIR", help="A training that was done, in place of --config.", show_default=False
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option("--epoch", min=0, metavar="N", help="Where conditions change (default: 0).", show_default=False),
    ] = None,
    value_aware: Annotated[
        bool,
        typer.Option("--value-aware", help="Count the codes that one real batch drives, beside typical ones."),
    ] = False,
    peak: Annotated[bool, typer.Option("--peak", help="The macro's own TOPS/W and TOPS/mm2; needs no config.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers for programs.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw energy by site and the step's timeline (png, svg, pdf).")
    ] = None,
    force: Force = False,
) -> None:
    """Count what a training step costs: energy, time and area.

    Conversions, row drives, additions, writes and movement of every MVM,
    exempt layers, elementwise work and the optimizer, each priced by a
    technology file. The same step in digital arithmetic stands beside it.
    Nothing is trained. Figures come with where they are from; what is assumed
    has a range.

    Example: `imctrain cost --config experiments/quickstart.toml`
    """
    if plot is not None and plot.suffix not in PICTURES:
        raise UserError(f"--plot {plot}: give a file that ends in {', '.join(PICTURES)}")
    if plot is not None:
        refuse_overwrite(plot, "--plot", force=force, made_by=MADE_BY)
    if peak:
        _peak(technology or "laws-28nm", supply, as_json)
        return
    if (config is None) == (run is None):
        raise UserError("give one of --config FILE, --run DIR, or --peak for a macro's own figures")
    if run is not None:
        if overrides or value_aware:
            raise UserError("--run takes no --set and no --value-aware: its training is done")
        from imctrain.studies.cost import bill_of_run

        found = bill_of_run(run, technology, supply, epoch)
    elif config is not None:
        found = _of_config(config, overrides or [], technology, supply, value_aware, epoch)
    if plot is not None:
        from imctrain.report.cost_figure import draw_cost

        draw_cost(found, plot, MADE_BY)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    _show(found, console)
    if plot is not None:
        typer.echo(f"figure written to {plot}")


def _of_config(
    config: Path,
    overrides: list[str],
    technology: str | None,
    supply: float | None,
    value_aware: bool,
    epoch: int | None = None,
) -> dict[str, Any]:
    from imctrain.settings import load_config

    chosen = {"cost.technology": technology, "cost.supply_v": supply}
    named = [f"{key}={json.dumps(value)}" for key, value in chosen.items() if value is not None]
    loaded = load_config(config, [*overrides, *named])
    from imctrain.studies.cost import bill, drives_of_batch

    measured = None
    if value_aware:
        from imctrain.experiment.jax_setup import prepare_jax

        print("compiling one step ...", file=sys.stderr)
        prepare_jax()
        measured = drives_of_batch(loaded, config.parent)
    return bill(loaded, config.parent, measured, epoch)


def _show(found: dict[str, Any], console: Console) -> None:
    console.print(_table(found))
    for line in _lines(found):
        console.print(line, markup=False, soft_wrap=True)


def _table(found: dict[str, Any]) -> Table:
    """A line an MVM, then what belongs to no matmul, then the sum."""
    unit, scale = joules_unit(found["totals"]["energy_step_j"], TABLE_LEAST)
    second, speed = seconds_unit(found["totals"]["seconds_step"], TABLE_LEAST)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title_justify="left")
    for header, justify in (
        ("site", "left"), ("MVM", "left"), ("conv.", "right"), ("ADC", "right"), ("array", "right"), ("DAC", "right"),
        ("digital", "right"), ("write", "right"), ("move", "right"), (unit, "right"), ("%", "right"), (second, "right"),
    ):  # fmt: skip
        table.add_column(header, justify=justify, no_wrap=header != "site")  # type: ignore[arg-type]
    whole = found["totals"]["energy_step_j"]
    before = None
    for site in found["sites"]:
        on_array = site["path"] not in ("float", "digital")
        conversions = _engineering(site["conversions"]) if on_array else site["path"]
        name = site["site"] if site["site"] != before else ""
        before = site["site"]
        _row(table, name, SHORT[site["mvm"]], conversions, site, (scale, speed), whole)
    for part in found["unsited"]:
        _row(table, part["part"], "", "", part, (scale, speed), whole)
    total = {"components": found["components"], "energy_j": whole, "seconds": found["totals"]["seconds_step"]}
    _row(table, "a step", "", _engineering(sum(s["conversions"] for s in found["sites"])), total, (scale, speed), whole)
    return table


def _row(
    table: Table,
    name: str,
    mvm: str,
    conversions: str,
    cost: dict[str, Any],
    scales: tuple[float, float],
    whole: float,
) -> None:
    """scales: of energy and of time."""
    scale, speed = scales
    parts = [_figure(scale * cost["components"][key]) for key in ("adc", "array", "dac", "digital", "write", "move")]
    energy = cost["energy_j"]
    share = f"{100 * energy / whole:.0f}" if whole else ""
    table.add_row(name, mvm, conversions, *parts, _figure(scale * energy), share, _figure(speed * cost["seconds"]))


def _lines(found: dict[str, Any]) -> list[str]:
    totals, technology = found["totals"], found["technology"]
    low, high = totals["energy_step_band_j"]
    weakest = found["components_provenance"]
    lines = [
        "",
        f"{technology['name']}: {technology['node_nm']:g} nm, {technology['supply_v']:g} V, {totals['macros']} macros "
        f"of {totals['area_mm2'] / totals['macros']:.3g} mm2, in use {100 * totals['macro_utilisation']:.0f} % of the "
        "time",
        f"a step: {joules(totals['energy_step_j'])} ({joules(low)} to {joules(high)}), "
        f"{seconds(totals['seconds_step'])}, {totals['fj_per_mac']:.3g} fJ/MAC, {totals['tops_per_w']:.3g} TOPS/W, "
        f"energy x delay {totals['edp_js']:.2g} J s",
        *_value_aware(totals),
        f"an image {joules(totals['energy_image_j'])}, an epoch {joules(totals['energy_epoch_j'])} in "
        f"{seconds(totals['seconds_epoch'])}, the training ({totals['steps']:,} steps) "
        f"{joules(totals['energy_training_j'])} in {seconds(totals['seconds_training'])}",
        "the same step in digital "
        + ", ".join(
            f"{REFERENCES[name]} {joules(reference['energy_step_j'])} (x{reference['ratio']:.2g})"
            for name, reference in found["references"].items()
        ),
        "figures: " + ", ".join(f"{name} {provenance}" for name, provenance in weakest.items()),
        f"bottleneck: {found['bottleneck']}",
    ]
    if found["what_if"]:
        lines.append("with " + "; ".join(_change(change, totals) for change in found["what_if"]))
    return lines + [f"note: {note}" for note in found["notes"]]


def _value_aware(totals: dict[str, Any]) -> list[str]:
    aware = totals["energy_value_aware_j"]
    if aware is None:
        return []
    apart = 100 * (aware / totals["energy_step_j"] - 1)
    return [f"with the codes that were driven: {joules(aware)} a step ({apart:+.1f} % against typical codes)"]


def _change(change: dict[str, Any], totals: dict[str, Any]) -> str:
    time = 100 * (change["seconds_step"] / totals["seconds_step"] - 1)
    energy = 100 * (change["energy_step_j"] / totals["energy_step_j"] - 1)
    return f"{change['what']}: time {time:+.1f} %, energy {energy:+.1f} %"


def _peak(technology: str, supply: float | None, as_json: bool) -> None:
    from imctrain.studies.peak import peak_figures

    found = peak_figures(technology, supply)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    console = Console(highlight=False)
    for point in found["operating_points"]:
        low, high = point["tops_per_w_band"]
        band = f" ({low:.4g} to {high:.4g})" if low < high else ""
        console.print(
            f"{found['technology']} at {point['supply_v']:g} V: {point['tops_per_w']:.4g} TOPS/W{band}, "
            f"{point['tops_per_mm2']:.3g} TOPS/mm2, 1-b normalised; a column conversion "
            f"{joules(point['conversion_j'])}, {point['provenance']}",
            markup=False,
            soft_wrap=True,
        )


def _figure(value: float) -> str:
    if not value:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "0.00"


def _engineering(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return str(int(value)) if value else ""
