"""The results of the sweeps in a folder: tables, figures, and the noise levels at which curves cross the lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imctrain.files import write_text
from imctrain.report.axis_figure import DROPS, draw_axis_figure
from imctrain.report.crossing import ASSUMED_SEED_STD, Estimate, crossing, seed_std
from imctrain.report.results import RunRecord, gather, rows_of, sweeps_of
from imctrain.report.site_snr import write_site_snr
from imctrain.report.sweep_table import SIGMA, Curves, as_csv, as_json, as_markdown, curve_name, curves_of
from imctrain.report.variant_figure import draw_variants

MOST_PIPELINES = 6
"""With more, the SNR of sites is no picture."""
SILICON_LSB = 1.0
"""The noise that stands for silicon (calibration/README.md)."""

Crossings = dict[str, dict[float, Estimate]]


def write_results(folder: Path) -> list[str]:
    """Write `folder`/results/NAME.{csv,json,md,png,svg} of every sweep; returns lines that say what came out."""
    records = gather(folder)
    target = folder / "results"
    target.mkdir(exist_ok=True)
    lines = []
    for name in sweeps_of(records):
        lines += write_sweep(records, name, target)
    return lines


def write_sweep(records: list[RunRecord], name: str, target: Path) -> list[str]:
    """The files of one sweep into `target`; returns lines for a person."""
    rows = rows_of(records, name)
    curves = curves_of(rows)
    crossings = crossings_of(curves, test_images(records))
    as_dict = {
        curve: {f"{100 * drop:g}": level.as_dict() for drop, level in levels.items()}
        for curve, levels in crossings.items()
    }
    spread = seed_std(curves.groups, test_images(records)) if curves.groups else None
    extra: dict[str, Any] = {"axis": curves.axis, "crossings_by_points_below_float": as_dict, "seed_std": spread}
    markdown = as_markdown(rows) + _crossings_text(crossings, curves)
    write_text(target / f"{name}.csv", as_csv(rows))
    write_text(target / f"{name}.json", as_json(rows, extra))
    write_text(target / f"{name}.md", markdown)
    if curves.by_curve:
        for suffix in ("png", "svg"):
            file = target / f"{name}.{suffix}"
            if curves.axis is None:
                draw_variants(curves, file, _title(records, name))
            else:
                draw_axis_figure(curves, file, crossings, _title(records, name))
    groups = snr_groups(records, name, curves)
    if len(groups) <= MOST_PIPELINES:
        write_site_snr(groups, target / f"{name}-snr")
    return [f"sweep {name}:", *markdown.splitlines(), f"tables and figures: {target / name}.{{csv,json,md,png,svg}}"]


def snr_groups(records: list[RunRecord], name: str, curves: Curves) -> dict[str, list[Path]]:
    """Folders of the finished trials whose SNR is shown, by curve; of a noise axis the shared level next to 1 LSB."""
    axis = curves.axis
    found: dict[str, dict[Any, list[Path]]] = {curve: {} for curve in curves.by_curve}
    for record in records:
        label = record.labels.get(name)
        if label is None or label["reference"] is not None or record.accuracy is None:
            continue
        curve = curve_name({"variant": label["variant"], "axes": label["axes"]}, axis)
        found.setdefault(curve, {}).setdefault(label["axes"].get(axis), []).append(record.folder)
    if axis is None:
        return {curve: levels[None] for curve, levels in found.items()}
    shared = set.intersection(*(set(levels) for levels in found.values())) if found else set()
    if axis != SIGMA or not shared:
        return {}
    level = min(shared, key=lambda sigma: abs(sigma - SILICON_LSB))
    return {f"{curve}, {level:g} LSB": levels[level] for curve, levels in found.items()}


def crossings_of(curves: Curves, images: int | None) -> Crossings:
    """Noise at which each curve falls 2 and 10 points below the float baseline; empty for other axes."""
    baseline = curves.references.get("float")
    if curves.axis != SIGMA or not baseline:
        return {}
    std = seed_std(curves.groups, images)
    return {
        name: {drop: crossing(points, baseline, drop, std) for drop in DROPS}
        for name, points in curves.by_curve.items()
        if len(points) > 1
    }


def test_images(records: list[RunRecord]) -> int | None:
    """How many images the accuracies come from, where the results say so."""
    found = {record.result["test_images"] for record in records if "test_images" in record.result}
    return min(found) if found else None


def _crossings_text(crossings: Crossings, curves: Curves) -> str:
    if not crossings:
        return ""
    lines = ["", "| noise that costs | " + " | ".join(crossings) + " |", "|---" * (len(crossings) + 1) + "|"]
    for drop in DROPS:
        cells = [levels[drop].text() for levels in crossings.values()]
        lines.append(f"| {100 * drop:g} points | " + " | ".join(cells) + " |")
    lines += ["", "In LSB at R = 1, with 95 % intervals."]
    if not any(len(group) > 1 for group in curves.groups):
        lines[-1] += f" No config has two seeds: their spread is taken to be {100 * ASSUMED_SEED_STD:g} points."
    return "\n".join(lines) + "\n"


def _title(records: list[RunRecord], name: str) -> str:
    config = next(record.config for record in records if name in record.labels and record.config)
    return f"{config['model']['name']} on {config['data']['name']}"
