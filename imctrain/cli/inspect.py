"""`imctrain inspect`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from imctrain.cli.options import ConfigFile, Overrides
from imctrain.cli.terminal import Terminal
from imctrain.experiment.jax_setup import prepare_jax
from imctrain.records.ledger import LedgerSite
from imctrain.units import joules

if TYPE_CHECKING:
    from imctrain.cost.step import StepCost

LEGEND = (
    "size: vectors x contraction x outputs. T: row tiles, parts of the contraction that fit the array's rows. P: "
    "passes, how often inputs are driven. J: planes, stored bits side by side. conv.: conversions a step. cells: share "
    "of the array's cells in use. R: reference range of the ADC. SNR: of the MVM's output. uJ: of a step."
)
SIMULATED = " sim: the path that it takes."
SHORT = {"forward": "fwd", "input_grad": "dX", "weight_grad": "dW"}


def inspect(
    config: ConfigFile,
    overrides: Overrides = None,
    epoch: Annotated[
        int | None,
        typer.Option("--epoch", min=0, metavar="N", help="Where conditions change (default: 0).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print records for programs.")] = False,
) -> None:
    """Show every matmul of an experiment: where it runs, on what, and how well.

    Each site's three MVMs (forward, input gradient dX, weight gradient dW) with
    their size, row tiles, passes, planes, conversions, the share of the array's
    cells they use, the ADC's reference range, the SNR of the output under the
    config's noise, from one forward and backward pass of a real batch, and the
    energy of a step. Every column is explained below the table, and what cannot
    work on this hardware, with its remedy.

    Example: `imctrain inspect --config experiments/quickstart.toml`
    """
    from imctrain.settings import load_config

    loaded = load_config(config, overrides or [])
    print("compiling one step ...", file=sys.stderr)
    prepare_jax()
    from imctrain.experiment.advice import warn
    from imctrain.studies.inspect import inspect as inspect_experiment

    inspection = inspect_experiment(loaded, config.parent, epoch)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "batch": inspection.batch,
                    "warnings": inspection.warnings,
                    "notes": inspection.notes,
                    "technology": inspection.cost.technology,
                    "energy_step_j": inspection.cost.energy_step_j,
                    "sites": inspection.records,
                },
                indent=1,
            )
        )
        return
    console = Terminal(highlight=False)
    console.print(_table(inspection.records))
    console.print(f"{LEGEND}{SIMULATED if _simulated(inspection.records) else ''}", markup=False, style="dim")
    sites = inspection.records
    on_array = [r for r in sites if r["path"] not in ("float", "digital")]
    total = sum(mvm["conversions"] for r in sites for mvm in r["mvms"])
    macs = sum(mvm["macs"] for r in sites for mvm in r["mvms"])
    console.print(
        f"{len(on_array)} of {len(sites)} sites on the array, {len(sites) - len(on_array)} digital; "
        f"{total:,} conversions and {macs:,} MACs a step of {loaded.data.batch_size} images.",
        markup=False,
    )
    console.print(_energy(inspection.cost), markup=False, soft_wrap=True)
    console.print(f"SNR measured on {inspection.batch}.", markup=False)
    for note in inspection.notes:
        console.print(f"{note}.", markup=False, soft_wrap=True)
    warn(console, inspection.warnings)


def _table(records: list[LedgerSite]) -> Table:
    from imctrain.records.ledger import passes_label

    simulated = _simulated(records)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for header, justify in (
        ("site", "left"), ("MVM", "left"), ("size", "right"), ("T", "right"), ("P", "right"), ("J", "right"),
        ("conv.", "right"), ("cells", "right"), ("R", "right"), ("SNR dB", "right"),
        ("uJ", "right"),
    ):  # fmt: skip
        table.add_column(header, justify=justify, no_wrap=header != "site")  # type: ignore[arg-type]
    if simulated:
        table.add_column("sim", no_wrap=True)
    for record in records:
        label = {"float": "float (digital)", "digital": "formats (digital)"}.get(record["path"])
        if label is not None:
            table.add_row(record["site"], "", label, *[""] * 7, _micro(record["energy_j"]))
            continue
        for index, mvm in enumerate(record["mvms"]):
            size = f"{mvm['vectors']}x{mvm['contraction']}x{mvm['outputs']}"
            if mvm["path"] == "digital":
                table.add_row(
                    record["site"] if index == 0 else "",
                    SHORT[mvm["mvm"]],
                    "formats (digital)",
                    *[""] * 7,
                    _micro(mvm["energy_j"]),
                )
                continue
            table.add_row(
                record["site"] if index == 0 else "",
                SHORT[mvm["mvm"]],
                size if mvm["groups"] == 1 else f"{mvm['groups']}x({size})",
                str(mvm["tiles"]),
                passes_label(mvm),
                str(mvm["planes"]),
                _engineering(mvm["conversions"]),
                f"{100 * mvm['utilisation']:.0f}%",
                "" if mvm["range"] is None else f"{mvm['range']:.3g}",
                "" if mvm["snr_db"] is None else f"{mvm['snr_db']:.1f}",
                _micro(mvm["energy_j"]),
                *([_simulation(mvm["statistical"])] if simulated else []),
            )
    return table


def _simulated(records: list[LedgerSite]) -> bool:
    """Whether sites may take the statistical path."""
    return any(record["path"] in ("statistical", "auto") for record in records)


def _micro(joules: float | None) -> str:
    """In uJ, three digits."""
    return "" if joules is None else f"{1e6 * joules:.3g}" if joules < 1e-4 else f"{1e6 * joules:.0f}"


def _energy(cost: StepCost) -> str:
    """Of a whole step, in one line."""
    on_array = sum(mvm.energy.total.value for mvm in cost.mvms if mvm.line.on_array)
    digital = sum(mvm.energy.total.value for mvm in cost.mvms if not mvm.line.on_array)
    rest = cost.energy_step_j - on_array - digital
    parts = f"MVMs on the array {joules(on_array)}, digital ones {joules(digital)}, all other work {joules(rest)}"
    ratio = f"; digital INT8 takes x{cost.ratio('int8'):.2g}" if cost.macs_on_array else ""
    return f"A step takes {joules(cost.energy_step_j)} on {cost.technology}: {parts}{ratio} (`imctrain cost`)."


def _simulation(statistical: float | None) -> str:
    """The path that an MVM took."""
    if statistical is None:
        return ""
    return {0.0: "exact", 1.0: "stat."}.get(statistical, f"{100 * statistical:.0f}% stat.")


def _engineering(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return str(int(value))
