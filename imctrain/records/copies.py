"""Copied runs, and trials of one key with different results. A trial is its key and its content, wherever it lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from imctrain.records.result import CLOCK
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import place_of


def copies_of(records: Sequence[RunRecord]) -> dict[Path, Path]:
    """{folder of a copy: folder of the first run with the same key, config and result, clock included}."""
    first: dict[str, Path] = {}
    copies = {}
    for record in records:
        if record.result is None:
            continue
        key = record.folder.name if record.sweep_folder is not None else ""
        content = json.dumps([key, record.config, record.result.plain()], sort_keys=True, default=str)
        original = first.setdefault(content, record.folder)
        if original != record.folder:
            copies[record.folder] = original
    return copies


def conflicts_of(records: Sequence[RunRecord], root: Path) -> list[str]:
    """Trials of one key whose results differ between folders: the same config, and yet not the same training."""
    by_key: dict[str, dict[str, RunRecord]] = {}
    for record in records:
        if record.result is not None and record.sweep_folder is not None:
            content = {key: value for key, value in record.result.items() if key not in CLOCK}
            by_key.setdefault(record.folder.name, {}).setdefault(json.dumps(content, sort_keys=True), record)
    return [
        f"trial {key} has different results: "
        + ", ".join(
            f"{100 * (record.accuracy or 0.0):.2f} % in {place_of(record.sweep_folder, root)}"
            for record in found.values()
        )
        + ": the same config, trained by another version, on other data or another machine"
        for key, found in by_key.items()
        if len(found) > 1
    ]
