"""Codes that were really driven, from the reports of sites: what a value-aware energy is priced with."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from imctrain.cost.events import Drive
from imctrain.cost.step import MeasuredDrives
from imctrain.imc.site.state import CODES
from imctrain.records.layout import RunFiles
from imctrain.records.metrics import TrainLine, read_lines
from imctrain.settings import MVMS


def drives_of_run(run: RunFiles) -> MeasuredDrives | None:
    """Mean over the lines of metrics of a run; None where it counted no codes."""
    lines = [line for line in read_lines(run.metrics) if isinstance(line, TrainLine)]
    return drives_of_reports(line.sites for line in lines)


def drives_of_reports(reports: Iterable[Mapping[str, float | None]]) -> MeasuredDrives | None:
    """Mean over reports, {"SITE:QUANTITY_MVM": value} each; None where none holds codes."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for report in reports:
        for key in report:
            site, _, quantity = key.rpartition(":")
            mvm = next((mvm for mvm in MVMS if quantity == f"{CODES[0]}_{mvm}"), None)
            if mvm is None:
                continue
            values = [report.get(f"{site}:{name}_{mvm}") for name in CODES]
            numbers = [value for value in values if value is not None and math.isfinite(value)]
            if len(numbers) == len(CODES):
                found[site, mvm].append(numbers)
    means = {place: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for place, rows in found.items()}
    return {place: (Drive(passes, swing), on) for place, (passes, swing, on) in means.items()} or None
