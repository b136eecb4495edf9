"""The results of the sweeps in a folder: tables, figures, and the noise levels at which curves cross the lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from imctrain.errors import UserError
from imctrain.files import write_text
from imctrain.records.copies import conflicts_of, copies_of
from imctrain.records.energy import SILICON_LSB, STORED_ENERGY, Pricing
from imctrain.records.kept_config import setting
from imctrain.records.layout import SweepFiles
from imctrain.records.runs import RunRecord, gather, leave_out
from imctrain.records.sweeps import (
    Sweep,
    TrialRow,
    find_sweep,
    measured,
    place_of,
    rows_of,
    select,
    stems,
    sweeps_of,
    titles,
)
from imctrain.report.axis_figure import DROPS, draw_axis_figure
from imctrain.report.crossing import ASSUMED_SEED_STD, Estimate, crossing, seed_std
from imctrain.report.mixture import EACH_SEED, mixture
from imctrain.report.pareto import Pareto, pareto_of
from imctrain.report.pareto_figure import draw_pareto
from imctrain.report.site_snr import write_site_snr
from imctrain.report.sweep_table import (
    SIGMA,
    Curves,
    as_csv,
    as_json,
    as_list,
    as_markdown,
    curve_name,
    curves_of,
)
from imctrain.report.variant_figure import draw_variants

MOST_PIPELINES = 6
"""With more, the SNR of sites is no picture."""
WHAT_TO_DO = "Put them into folders of their own: `imctrain sweep` with another --out, or --name."
"""About trials that are not one experiment."""

Crossings = dict[str, dict[float, Estimate]]


class SweepOrigin(TypedDict):
    """Which sweep a table is of, and what its reader should know."""

    name: str
    folder: str
    notes: list[str]


def write_results(folder: Path, pricing: Pricing = STORED_ENERGY) -> list[str]:
    """Write `folder`/results/NAME.{csv,json,md,png,svg} of every sweep, and NAME-pareto.{png,svg} of accuracy against
    energy; returns lines that say what came out.

    Sweeps of one name in several folders below get files of their own, NAME--FOLDER; the one of `folder` itself keeps
    its name.

    Args:
        pricing: what trainings took; by default what their results say.
    """
    records = gather(folder)
    target = SweepFiles(folder).results
    target.mkdir(exist_ok=True)
    lines = []
    for sweep in sweeps_of(records):
        lines += write_sweep(records, sweep, target, folder, pricing)
    return lines + [f"NOTE: {note}" for note in conflicts_of(records, folder)]


def write_sweep(
    records: Sequence[RunRecord],
    sweep: Sweep | str,
    target: Path,
    root: Path | None = None,
    pricing: Pricing = STORED_ENERGY,
) -> list[str]:
    """The files of one sweep into `target`; returns lines for a person.

    Of trials that are not one experiment (`mixture`) there is a list, no mean and no figure.

    Args:
        records: all there are: those of other sweeps say which names are not taken. sweep: which; a name stands for
            the only sweep of that name. root: folder that `records` were gathered in. pricing: as in `write_results`.

    Raises UserError for a name that several folders have a sweep of.
    """
    found = find_sweep(records, sweep) if isinstance(sweep, str) else sweep
    if found is None:
        raise UserError(f"there are no results of a sweep {sweep!r}")
    home = root if root is not None else (found.folder or target)
    title, stem = (naming(sweeps_of(records), home)[found] for naming in (titles, stems))
    trials = select(records, found)
    rows = rows_of(records, found, pricing)
    notes = notes_on(records, found, home)
    mixed = mixture(records, found)
    origin: SweepOrigin = {"name": found.name, "folder": place_of(found.folder, home), "notes": notes}
    if mixed is not None:
        return _write_mixed(rows, origin, mixed, measured(trials), title, target / stem)
    curves = curves_of(rows)
    curves.measured = measured(trials)
    points = curves.are_points
    images = test_images(trials)
    crossings = {} if points else crossings_of(curves, images)
    as_dict = {
        curve: {f"{100 * drop:g}": level.as_dict() for drop, level in levels.items()}
        for curve, levels in crossings.items()
    }
    spread = seed_std(curves.groups, images) if curves.groups else None
    extra: dict[str, object] = {
        "sweep": origin,
        **({} if curves.measured == "test accuracy" else {"measured": curves.measured}),
        "axis": curves.axis,
        "crossings_by_points_below_float": as_dict,
        "seed_std": spread,
    }
    table = as_list(rows, curves.measured) if points else as_markdown(rows, curves.measured)
    markdown = table + _crossings_text(crossings, curves) + _notes_text(notes)
    front = front_of_sweep(records, found, pricing)
    if front is not None:
        extra["pareto"] = front
    write_text(target / f"{stem}.csv", as_csv(rows))
    write_text(target / f"{stem}.json", as_json(rows, extra))
    write_text(target / f"{stem}.md", markdown)
    heading = _title(trials) + (f": {title}" if title != found.name else "") if curves.by_curve else ""
    for suffix in ("png", "svg"):
        file = target / f"{stem}-pareto.{suffix}"
        if front is None:
            file.unlink(missing_ok=True)
        else:
            draw_pareto(front, file, heading)
    if curves.by_curve and not points:
        for suffix in ("png", "svg"):
            file = target / f"{stem}.{suffix}"
            if curves.axis is None:
                draw_variants(curves, file, heading)
            else:
                draw_axis_figure(curves, file, crossings, heading)
    groups = snr_groups(trials, found.name, curves)
    if len(groups) <= MOST_PIPELINES and not points:
        try:
            write_site_snr(groups, target / f"{stem}-snr")
        except UserError as error:
            leave_out(f"SNR of the sites of sweep {title}", error)
    return [f"sweep {title}:", *markdown.splitlines(), f"tables and figures: {target / stem}.{{csv,json,md,png,svg}}"]


def _write_mixed(
    rows: Sequence[TrialRow], origin: SweepOrigin, mixed: str, what: str, title: str, target: Path
) -> list[str]:
    """What can be said of trials that are not one experiment; what an older version made of them goes."""
    why = f"NOT ONE SWEEP: {mixed}. {WHAT_TO_DO}"
    notes = _notes_text(origin["notes"])
    write_text(target.with_name(f"{target.name}.csv"), as_csv(rows))
    write_text(target.with_name(f"{target.name}.json"), as_json(rows, {"sweep": origin, "mixed": mixed}))
    write_text(target.with_name(f"{target.name}.md"), f"**{why}**\n\n{as_list(rows, what)}{notes}")
    for suffix in (".png", ".svg", "-snr.md", "-snr.png", "-snr.svg", "-pareto.png", "-pareto.svg"):
        target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
    return [
        f"sweep {title}: {why}",
        *notes.splitlines(),
        f"trials, without means and figures: {target}.{{csv,json,md}}",
    ]


def front_of_sweep(records: Sequence[RunRecord], sweep: Sweep, pricing: Pricing) -> Pareto | None:
    """Accuracy against energy of a sweep's configurations; None for fewer than two, or energies that do not compare."""
    front = pareto_of(records, {sweep: sweep.name}, (), pricing)
    return front if len(front["points"]) > 1 and len(front["technology"]) == 1 else None


def notes_on(records: Sequence[RunRecord], sweep: Sweep, root: Path) -> list[str]:
    """What a reader of a sweep's results should know of its trials."""
    trials = select(records, sweep)
    known = copies_of(records)
    copies = {record.folder: known[record.folder] for record in trials if record.folder in known}
    own = [trial.labels[sweep.name].get("chips") == EACH_SEED for trial in trials]
    notes = []
    if any(own):
        notes.append(f"each seed of {sum(own)} of its {len(trials)} trials has a chip of its own")
    if copies:
        homes = ", ".join(sorted({place_of(original.parent.parent, root) for original in copies.values()}))
        notes.append(f"{len(copies)} of its {len(trials)} trials are copies of those in {homes}")
    for record in trials:
        if record.edited:
            notes.append(
                f"trial {record.folder.name}: config.toml was edited after the training, the result is not of it"
            )
        if record.result is not None and record.result.changed:
            changed = ", ".join(f"{change.key} at step {change.step}" for change in record.result.changed)
            notes.append(f"trial {record.folder.name} was changed while it trained: {changed}")
    return notes


def _notes_text(notes: Sequence[str]) -> str:
    return "".join(["\nNotes:\n\n", *(f"- {note}\n" for note in notes)]) if notes else ""


def snr_groups(trials: Sequence[RunRecord], name: str, curves: Curves) -> dict[str, list[Path]]:
    """Folders of a sweep's trials whose SNR is shown, by curve; of a noise axis the shared level next to 1 LSB.

    Args:
        trials: of one sweep. name: its.
    """
    axis = curves.axis
    found: dict[str, dict[object, list[Path]]] = {curve: {} for curve in curves.by_curve}
    for record in trials:
        label = record.labels[name]
        if label["reference"] is not None or record.accuracy is None:
            continue
        curve = curve_name(label["variant"], label["axes"], axis)
        level = None if axis is None else label["axes"].get(axis)
        found.setdefault(curve, {}).setdefault(level, []).append(record.files.folder)
    if axis is None:
        return {curve: levels[None] for curve, levels in found.items()}
    shared = set.intersection(*(set(levels) for levels in found.values())) if found else set()
    if axis != SIGMA or not shared:
        return {}
    numbers = [level for level in shared if isinstance(level, int | float)]
    nearest = min(numbers, key=lambda sigma: abs(sigma - SILICON_LSB))
    return {f"{curve}, {nearest:g} LSB": levels[nearest] for curve, levels in found.items()}


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


def test_images(records: Sequence[RunRecord]) -> int | None:
    """How many images the accuracies of these trials come from, where the results say so."""
    images = [record.result.accuracy_images for record in records if record.result is not None]
    return min((count for count in images if count is not None), default=None)


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


def _title(trials: Sequence[RunRecord]) -> str:
    config = next(record.config for record in trials if record.config)
    return f"{setting(config, 'model.name')} on {setting(config, 'data.name')}"
