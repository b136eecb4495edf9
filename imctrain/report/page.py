"""One self-contained HTML page of all runs and sweeps in a folder."""

from __future__ import annotations

import base64
import datetime
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import write_text
from imctrain.records.copies import conflicts_of, copies_of
from imctrain.records.energy import STORED_ENERGY, Pricing
from imctrain.records.plans import Label
from imctrain.records.runs import RunRecord, gather, leave_out
from imctrain.records.sweeps import Sweep, measured, place_of, rows_of, select, sweeps_of, titles
from imctrain.report.axis_figure import DROPS, draw_axis_figure
from imctrain.report.learning_curve import plot_learning_curve
from imctrain.report.mixture import chips_told, mixture
from imctrain.report.pareto_figure import draw_pareto
from imctrain.report.site_curves import draw_site_curves, worst_sites
from imctrain.report.sweep_results import WHAT_TO_DO, crossings_of, front_of_sweep, notes_on, test_images
from imctrain.report.sweep_table import Curves, curve_name, curves_of
from imctrain.report.variant_figure import draw_variants

TEMPLATE = "page.html.j2"


def write_page(
    root: Path,
    target: Path,
    tell: Callable[[float], None] = lambda fraction: None,
    pricing: Pricing = STORED_ENERGY,
) -> int:
    """Write the page, telling the fraction done; returns how many runs are on it.

    Args:
        pricing: what trainings took; by default what their results say.

    Raises UserError where there is no run, or the page cannot be written.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    records = gather(root)
    copies = copies_of(records)
    ids = _ids(records, root)
    shown = titles(sweeps_of(records), root)
    content = {
        "title": root.resolve().name,
        "written": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "sweeps": [_sweep(records, sweep, title, root, ids, pricing) for sweep, title in shown.items()],
        "conflicts": conflicts_of(records, root),
        "copies": len(copies),
    }
    runs = []
    for number, record in enumerate(records, 1):
        original = copies.get(record.folder)
        more = {"id": ids[record.folder], "copy_of": original and place_of(original, root)}
        runs.append(_run(record, root, pricing) | more)
        tell(number / len(records))
    environment = Environment(
        loader=PackageLoader("imctrain.report", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    html = environment.get_template(TEMPLATE).render(content | {"runs": runs})
    try:
        write_text(target, html)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}): choose another place with --out") from None
    return len(records)


def _ids(records: Sequence[RunRecord], root: Path) -> dict[Path, str]:
    """An anchor for each run: its folder's name, or its whole place where several folders have that name."""
    names = [record.folder.name for record in records]
    return {
        record.folder: record.folder.name
        if names.count(record.folder.name) == 1
        else place_of(record.folder, root).replace("/", ":")
        for record in records
    }


def _sweep(
    records: Sequence[RunRecord], sweep: Sweep, title: str, root: Path, ids: Mapping[Path, str], pricing: Pricing
) -> dict[str, object]:
    """What the template shows of a sweep; of trials that are not one experiment, no more than each by itself."""
    trials = select(records, sweep)
    anchors = {record.folder.name: ids[record.folder] for record in trials}
    rows = rows_of(records, sweep, pricing)
    mixed = mixture(records, sweep)
    curves = curves_of(rows) if mixed is None else Curves(None)
    curves.measured = measured(trials)
    crossings = {} if curves.are_points else crossings_of(curves, test_images(trials))
    figure = None
    if curves.axis is not None and not curves.are_points:
        figure = _picture(lambda file: draw_axis_figure(curves, file, crossings), "svg")
    elif curves.by_curve and not curves.are_points:
        figure = _picture(lambda file: draw_variants(curves, file), "svg")
    front = front_of_sweep(records, sweep, pricing) if mixed is None else None
    heading = f"{title}: accuracy against energy"
    pareto = None if front is None else _picture(lambda file: draw_pareto(front, file, heading), "svg")
    baseline = curves.references.get("float")
    mean = sum(baseline) / len(baseline) if baseline else None
    table = []
    for row in rows:
        drop = None
        if mean is not None and row["accuracy"] is not None:
            drop = 100 * (row["accuracy"] - mean)
        called = {"name": row["reference"] or curve_name(row["variant"], row["axes"], curves.axis), "against": drop}
        table.append({**row, **called, "anchor": anchors[row["folder"]]})
    levels = [
        {"name": curve, "levels": [crossing.text() for crossing in by_drop.values()]}
        for curve, by_drop in crossings.items()
    ]
    drops = [f"{100 * drop:g} points" for drop in DROPS]
    axes = list(dict.fromkeys(key for row in rows for key in row["axes"]))
    return {
        "name": title,
        "where": place_of(sweep.folder, root),
        "mixed": None if mixed is None else f"{mixed}. {WHAT_TO_DO}",
        "notes": [*filter(None, [chips_told(trials, sweep.name)]), *notes_on(records, sweep, root)],
        "figure": figure,
        "measured": curves.measured,
        "pareto": pareto,
        "technology": " and ".join(
            dict.fromkeys(row["cost_technology"] or "" for row in rows if row["cost_technology"])
        ),
        "rows": table,
        "axes": axes,
        "crossings": levels,
        "drops": drops,
    }


def _run(record: RunRecord, root: Path, pricing: Pricing) -> dict[str, object]:
    """What the template shows of a run."""
    curve = sites = None
    files = record.files
    worst: list[tuple[str, str, float]] = []
    try:
        if files.metrics.is_file() and record.config:
            curve = _picture(lambda file: plot_learning_curve(files.folder, file), "svg")
            sites = _picture(lambda file: draw_site_curves(files.folder, file), "png")
        worst = worst_sites(files.folder)
    except UserError as error:
        leave_out(f"curves of run {record.folder}", error)
    names = [_called(label) for label in record.labels.values()]
    return {
        "energy": pricing(record),
        "where": str(record.folder.relative_to(root)),
        "name": record.config.get("name", ""),
        "called": ", ".join(dict.fromkeys(name for name in names if name)),
        "result": record.result,
        "error": record.error,
        "edited": record.edited,
        "imc": record.config.get("imc", {}),
        "model": record.config.get("model", {}),
        "data": record.config.get("data", {}),
        "curve": curve,
        "sites": sites,
        "worst": worst,
    }


def _called(label: Label) -> str:
    """What a sweep calls a run, in a few words."""
    axes = [f"{key.rpartition('.')[2]} {value}" for key, value in label["axes"].items()]
    return ", ".join([label["reference"] or label["variant"], *axes, f"seed {label['seed']}"]).lstrip(", ")


def _picture(draw: Callable[[Path], bool | None], suffix: str) -> str | None:
    """A picture as a data address; None if `draw` says that there is nothing to draw."""
    kind = "svg+xml" if suffix == "svg" else suffix
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"picture.{suffix}"
        if draw(file) is False:
            return None
        return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
