"""A training step's energy by site and component, and its timeline: writing, computing, digital work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.report.style import COLOURS, drawing, save_figure, subplots
from imctrain.units import joules, joules_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COMPONENTS = {
    "adc": ("ADC", COLOURS[0]),
    "array": ("array", COLOURS[5]),
    "dac": ("DAC", COLOURS[2]),
    "digital": ("digital", COLOURS[1]),
    "write": ("write", COLOURS[3]),
    "move": ("move", "0.6"),
}
SPANS = {"write": ("writing", COLOURS[3]), "compute": ("computing", COLOURS[0]), "digital": ("digital", COLOURS[1])}
SHORT = {"forward": "fwd", "input_grad": "dX", "weight_grad": "dW", "": ""}
MOST_BARS = 40
"""More MVMs than this are drawn a site a bar: the names of all would not be read."""


@drawing()
def draw_cost(bill: dict[str, Any], target: Path, made_by: str | None = None) -> None:
    """Draw a bill (`cost.summary`) to `target` (format by its suffix)."""
    bars = _bars(bill)
    height = 1.3 + 0.17 * len(bars)
    figure, (energy, time) = subplots(
        2, 1, figsize=(6.4, height + 2.2), layout="constrained", height_ratios=(height, 1.6)
    )
    _draw_energy(energy, bars, bill)
    _draw_timeline(time, bill)
    save_figure(figure, target, made_by=made_by)


def _bars(bill: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """(name, J by component) of every bar."""
    sites = bill["sites"]
    if len(sites) <= MOST_BARS:
        found = [(f"{site['site']} {SHORT[site['mvm']]}", site["components"]) for site in sites]
    else:
        by_site: dict[str, dict[str, float]] = {}
        for site in sites:
            total = by_site.setdefault(site["site"], dict.fromkeys(COMPONENTS, 0.0))
            for name, value in site["components"].items():
                total[name] += value
        found = list(by_site.items())
    return found + [(part["part"], part["components"]) for part in bill["unsited"]]


def _draw_energy(axis: Axes, bars: list[tuple[str, dict[str, float]]], bill: dict[str, Any]) -> None:
    unit, scale = joules_unit(max(sum(parts.values()) for _, parts in bars))
    left = [0.0] * len(bars)
    for name, (label, colour) in COMPONENTS.items():
        widths = [scale * parts[name] for _, parts in bars]
        axis.barh(range(len(bars)), widths, left=left, color=colour, label=label, height=0.8)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axis.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=7)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(f"energy of a step ({unit})")
    totals, technology = bill["totals"], bill["technology"]
    axis.set_title(
        f"{bill['name']} on {technology['name']}, {technology['supply_v']:g} V: "
        f"{joules(totals['energy_step_j'])} a step, {totals['fj_per_mac']:.3g} fJ/MAC, "
        f"digital INT8 x{totals['digital_int8_ratio']:.2g}",
        loc="left",
    )
    axis.figure.legend(*axis.get_legend_handles_labels(), ncols=len(COMPONENTS), loc="outside upper center", fontsize=7)


def _draw_timeline(axis: Axes, bill: dict[str, Any]) -> None:
    """Busy macros over the time of a step; digital work, which uses none, as a band at the bottom."""
    end = bill["totals"]["seconds_step"]
    unit, scale = next(
        (u, s) for u, s in (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)) if end * s >= 1 or u == "ns"
    )
    macros = bill["totals"]["macros"]
    for kind, (label, colour) in SPANS.items():
        spans = [span for span in bill["timeline"] if span["what"] == kind]
        ranges = [(scale * span["start"], scale * (span["end"] - span["start"])) for span in spans]
        for place, span in zip(ranges, spans, strict=True):
            base, height = (-0.06 * macros, 0.05 * macros) if kind == "digital" else (0.0, span["macros"])
            axis.broken_barh([place], (base, height), color=colour, lw=0)
        axis.plot([], [], color=colour, lw=5, label=label)
    axis.set_xlim(0.0, scale * end)
    axis.set_ylim(-0.08 * macros, 1.05 * macros)
    axis.set_xlabel(f"time in a step ({unit})")
    axis.set_ylabel(f"busy macros of {macros}")
    axis.legend(ncols=len(SPANS), loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=7)
