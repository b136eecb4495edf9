"""Curves of a run as few numbers as a screen can show, for the browser to draw.

A file of metrics may hold thousands of lines: of its training lines only those are parsed that are shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from imctrain.files import JsonValue
from imctrain.reading import Unreadable, parse_json, read_text
from imctrain.records.layout import RunFiles
from imctrain.report.site_curves import FLOOR, MVMS

POINTS = 120
"""Of a curve of epochs or losses."""
SITE_POINTS = 40
"""Of a curve of a site, where the page has room; never fewer than FEWEST."""
FEWEST = 8
PAGE_BYTES = 2_500_000
"""For the curves of the sites of all runs on a page."""
NUMBER_BYTES = 5
"""That a number takes there."""

Row = dict[str, JsonValue]
Numbers = list[float | None]
BySite = dict[str, dict[str, Numbers]]
"""{MVM: {site: a value a step}}."""


class Training(TypedDict):
    """Means of epochs: accuracies in %, of the test or held-out images where they were evaluated."""

    epochs: list[int]
    loss: Numbers
    accuracy: Numbers
    evaluated: Numbers


class RunCurves(TypedDict):
    """What the page draws of a run. steps: of the values of the sites. snr: dB. clipped: fractions."""

    run: Training
    baseline: Training | None
    steps: list[int]
    snr: BySite
    clipped: BySite


def run_curves(files: RunFiles, runs: int = 1) -> RunCurves | None:
    """Curves of a run; None where it has no line of metrics.

    Args:
        runs: on the page, which share its room.

    Raises UserError for a file that is no text.
    """
    epochs, lines = _split(files)
    steps, snr, clipped = _sites(lines, runs)
    run = _training(epochs)
    if not run["epochs"] and not steps:
        return None
    base = _training(_split(files.baseline)[0]) if files.baseline.metrics.is_file() else None
    return RunCurves(run=run, baseline=base if base and base["epochs"] else None, steps=steps, snr=snr, clipped=clipped)


def worst_of(curves: RunCurves, count: int = 3) -> list[tuple[str, str, float]]:
    """(site, MVM, SNR in dB) of the lowest SNRs at the end."""
    found = [
        (values[-1], site, MVMS[mvm])
        for mvm, by_site in curves["snr"].items()
        for site, values in by_site.items()
        if values and values[-1] is not None
    ]
    return [(site, mvm, snr) for snr, site, mvm in sorted(found)[:count]]


def _split(files: RunFiles) -> tuple[list[str], list[str]]:
    """Lines of epochs, and lines of steps, unparsed."""
    if not files.metrics.is_file():
        return [], []
    epochs: list[str] = []
    steps: list[str] = []
    for line in read_text(files.metrics).splitlines():
        # Keys are in the order that they were written in: the kind comes first.
        (epochs if '"kind": "epoch"' in line[:40] else steps).append(line)
    return epochs, steps


def _training(lines: Sequence[str]) -> Training:
    rows = _parsed(_spread(lines, POINTS))
    numbers = [row for row in rows if isinstance(row.get("epoch"), int)]
    return Training(
        epochs=[_whole(row, "epoch") for row in numbers],
        loss=[_rounded(row.get("loss"), 1.0) for row in numbers],
        accuracy=[_rounded(row.get("accuracy"), 100.0) for row in numbers],
        evaluated=[_rounded(row.get("validation_accuracy", row.get("test_accuracy")), 100.0) for row in numbers],
    )


def _sites(lines: Sequence[str], runs: int) -> tuple[list[int], BySite, BySite]:
    """(steps, SNR, clipped fractions)."""
    last = next((row for row in _parsed(lines[-2:][::-1]) if row.get("sites")), None)
    sites = None if last is None else last["sites"]
    if not isinstance(sites, dict):
        return [], {}, {}
    kinds = {"snr_db": BySite(), "clipped": BySite()}
    wanted = [
        (key, kinds[kind].setdefault(mvm, {}).setdefault(key.rpartition(":")[0], []), kind)
        for mvm in MVMS
        for kind in kinds
        for key in sites
        if key.endswith(f":{kind}_{mvm}")
    ]
    room = PAGE_BYTES // (runs * NUMBER_BYTES * max(1, len(wanted)))
    steps = []
    for row in _parsed(_spread(lines, max(FEWEST, min(SITE_POINTS, room)))):
        found = row.get("sites")
        if not isinstance(found, dict):
            continue
        steps.append(_whole(row, "step"))
        for key, values, kind in wanted:
            value = found.get(key)
            number = float(value) if isinstance(value, int | float) and math.isfinite(value) else None
            if number is not None:
                number = round(number, 1) if kind == "snr_db" else float(f"{max(number, FLOOR):.2g}")
            values.append(number)
    return steps, kinds["snr_db"], kinds["clipped"]


def _spread(lines: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly spread, the last one among them."""
    count = len(lines)
    if count <= most:
        return list(lines)
    return [lines[round(place * (count - 1) / (most - 1))] for place in range(most)]


def _parsed(lines: Sequence[str]) -> list[Row]:
    """Those that are whole: a run that was killed leaves half a line."""
    rows = []
    for line in lines:
        try:
            row = parse_json(line, "a line")
        except Unreadable:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _whole(row: Row, key: str) -> int:
    value = row.get(key)
    return value if isinstance(value, int) else 0


def _rounded(value: JsonValue, factor: float) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{factor * value:.4g}")
