"""One self-contained HTML page of all runs and sweeps in a folder."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from imctrain.errors import UserError
from imctrain.files import write_text
from imctrain.records.copies import conflicts_of, copies_of
from imctrain.records.energy import STORED_ENERGY, Pricing
from imctrain.records.result import OFF_THE_ARRAY
from imctrain.records.runs import RunRecord, gather, leave_out
from imctrain.records.sweeps import Sweep, place_of, sweeps_of, titles
from imctrain.report.web.curves import RunCurves, run_curves, worst_of
from imctrain.report.web.differences import Differences, differences_of
from imctrain.report.web.index import anchors, index_row
from imctrain.report.web.sweep_section import sweep_section

TEMPLATE = "page.html.j2"
COLUMNS = (
    ("accuracy", "accuracy", 1),
    ("date", "started", 1),
    ("energy", "energy", 0),
    ("time", "time", 0),
    ("status", "status", 0),
    ("name", "run", 0),
    ("commit", "commit", 0),
)
"""(what the table can be sorted by, in words, whether the largest comes first)."""


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

    damaged: list[str] = []
    records = gather(root, unfinished=True, left_out=damaged)
    copies = copies_of(records)
    ids = anchors(records, root)
    shown = titles(sweeps_of(records), root)
    sweeps = []
    for number, (sweep, title) in enumerate(shown.items(), 1):
        sweeps.append(sweep_section(records, sweep, title, root, ids, pricing))
        tell(0.8 * number / len(shown))
    differences = differences_of(records)
    runs = []
    for record in records:
        original = copies.get(record.folder)
        more = {"id": ids[record.folder], "copy_of": original and place_of(original, root)}
        runs.append(_run(record, root, shown, pricing, differences, len(records)) | more)
    tell(1.0)
    counts = Counter(record.status for record in records)
    environment = Environment(
        loader=PackageLoader("imctrain.report.web", "."), autoescape=select_autoescape(default=True), trim_blocks=True
    )
    html = environment.get_template(TEMPLATE).render(
        title=root.resolve().name,
        written=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        css=_asset("page.css"),
        script=_asset("page.js"),
        sweeps=sweeps,
        conflicts=conflicts_of(records, root),
        copies=len(copies),
        left_out=[line.replace(f"{root}/", "") for line in damaged],
        statuses=sorted(counts),
        counts={status: counts[status] for status in sorted(counts) if status != "finished"},
        columns=COLUMNS,
        keys=list(differences.names),
        alike=differences.alike,
        usual=[(each.key, each.name, each.text) for each in differences.usual],
        usual_sort=json.dumps({each.key: each.sort for each in differences.usual}),
        runs=runs,
    )
    try:
        write_text(target, html)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}): choose another place with --out") from None
    return len(records)


def _asset(name: str) -> Markup:
    """A file that the page holds as it is."""
    return Markup(resources.files("imctrain.report.web").joinpath(name).read_text(encoding="utf-8"))


def _run(
    record: RunRecord, root: Path, called: Mapping[Sweep, str], pricing: Pricing, differences: Differences, runs: int
) -> dict[str, object]:
    """What the template shows of a run."""
    curves = None
    try:
        curves = run_curves(record.files, runs)
    except UserError as error:
        leave_out(f"curves of run {record.folder}", error)
    energy = pricing(record)
    return {
        "row": index_row(record, root, called, energy, curves, differences.by_run.get(record.folder, [])),
        "energy": energy,
        "result": record.result,
        "error": record.error,
        "edited": record.edited,
        "imc": record.config.get("imc", {}),
        "measured": "validation" if record.setting("data.validation") is not None else "test",
        "digital_sites": _digital_sites(record),
        "worst": [] if curves is None else worst_of(curves),
        "curves": None if curves is None else _json(curves),
    }


def _digital_sites(record: RunRecord) -> list[str]:
    """Names of sites that rules left off the array, of a run on the array."""
    result = record.result
    if result is None or not result.sites or result.path in OFF_THE_ARRAY:
        return []
    return [name for name, path in result.sites.items() if path in OFF_THE_ARRAY]


def _json(curves: RunCurves) -> Markup:
    """Inside a script element: nothing there may end it."""
    return Markup(json.dumps(curves, separators=(",", ":")).replace("<", "\\u003c"))
