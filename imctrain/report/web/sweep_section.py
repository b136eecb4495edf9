"""A sweep on the page: its figures, the noise at which its curves cross the lines, and a row for each trial."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imctrain.files import scratch_folder
from imctrain.records.energy import Pricing
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep, TrialRow, measured, place_of, rows_of, select
from imctrain.report.axis_figure import DROPS, draw_axis_figure
from imctrain.report.mixture import chips_told, mixture
from imctrain.report.pareto_figure import draw_pareto
from imctrain.report.sweep_results import WHAT_TO_DO, crossings_of, front_of_sweep, notes_on, test_images
from imctrain.report.sweep_table import Curves, curve_name, curves_of
from imctrain.report.variant_figure import draw_variants
from imctrain.report.web.differences import short_names
from imctrain.report.web.kept import Pictures, kept_pictures


def sweep_section(
    records: Sequence[RunRecord], sweep: Sweep, title: str, root: Path, ids: Mapping[Path, str], pricing: Pricing
) -> dict[str, object]:
    """What the template shows of a sweep; of trials that are not one experiment, no more than each by itself."""
    trials = select(records, sweep)
    ended = [record for record in records if record.status in ("finished", "failed")]
    rows = rows_of(records, sweep, pricing)
    mixed = mixture(ended, sweep)
    curves = curves_of(rows) if mixed is None else Curves(None)
    curves.measured = measured(trials)
    technology = " and ".join(dict.fromkeys(row["cost_technology"] or "" for row in rows if row["cost_technology"]))

    def draw() -> Pictures:
        front = front_of_sweep(ended, sweep, pricing) if mixed is None else None
        heading = f"{title}: accuracy against energy"
        crossings = {} if curves.are_points else crossings_of(curves, test_images(trials))
        figure = None
        if curves.by_curve and curves.axis is not None and not curves.are_points:
            figure = _picture(lambda file: draw_axis_figure(curves, file, crossings))
        elif curves.by_curve and not curves.are_points:
            figure = _picture(lambda file: draw_variants(curves, file))
        return {
            "figure": figure,
            "pareto": None if front is None else _picture(lambda file: draw_pareto(front, file, heading)),
            "crossings": [
                {"name": curve, "levels": [crossing.text() for crossing in by_drop.values()]}
                for curve, by_drop in crossings.items()
            ],
        }

    axes = list(dict.fromkeys(key for row in rows for key in row["axes"]))
    return {
        "name": title,
        "where": place_of(sweep.folder, root),
        "mixed": None if mixed is None else f"{mixed}. {WHAT_TO_DO}",
        "notes": [*filter(None, [chips_told(trials, sweep.name)]), *notes_on(ended, sweep, root)],
        "measured": curves.measured,
        "technology": technology,
        "rows": _table(trials, rows, curves, ids),
        "axes": axes,
        "axis_names": short_names(axes),
        "drops": [f"{100 * drop:g} points" for drop in DROPS],
        **kept_pictures(sweep, trials, (title, technology), draw),
    }


def _table(
    trials: Sequence[RunRecord], rows: Sequence[TrialRow], curves: Curves, ids: Mapping[Path, str]
) -> list[dict[str, object]]:
    """Rows with what a reader sees of each: its name, points against float, its status, and the run to open."""
    by_name = {record.folder.name: record for record in trials}
    baseline = curves.references.get("float")
    mean = sum(baseline) / len(baseline) if baseline else None
    table: list[dict[str, object]] = []
    for row in rows:
        record, accuracy = by_name[row["folder"]], row["accuracy"]
        more = {
            "name": row["reference"] or curve_name(row["variant"], row["axes"], curves.axis),
            "against": None if mean is None or accuracy is None else 100 * (accuracy - mean),
            "anchor": ids[record.folder],
            "status": record.status,
        }
        table.append({**row, **more})
    return table


def _picture(draw: Callable[[Path], None]) -> str:
    """A picture as a data address."""
    with scratch_folder() as folder:
        file = folder / "picture.svg"
        draw(file)
        return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"
