"""The table of all runs: what each is called, what came out, and in what it differs."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from imctrain.errors import UserError
from imctrain.records.energy import TrainingEnergy
from imctrain.records.environment import Environment
from imctrain.records.kept_config import setting
from imctrain.records.plans import Label
from imctrain.records.runs import RunRecord, leave_out
from imctrain.records.sweeps import Sweep, place_of
from imctrain.report.web.curves import RunCurves
from imctrain.report.web.differences import Difference
from imctrain.units import joules, seconds


class IndexRow(TypedDict):
    """A run in the table; texts are "" where nothing is known. *_sort: to sort by; None goes last."""

    name: str
    where: str
    status: str
    note: str
    accuracy: str
    accuracy_sort: float | None
    energy: str
    energy_sort: float | None
    time: str
    time_sort: float | None
    date: str
    date_sort: float | None
    commit: str
    differs: list[Difference]
    sort_keys: str
    """JSON: {dotted key: value to sort by}."""


def index_row(
    record: RunRecord,
    root: Path,
    titles: Mapping[Sweep, str],
    energy: TrainingEnergy | None,
    curves: RunCurves | None,
    differs: Sequence[Difference],
) -> IndexRow:
    """A run as a line of the table.

    Args:
        root: where all runs are. titles: what people call sweeps. differs: from other runs.
    """
    result, environment = record.result, _environment(record)
    commit = (environment.git_commit or "")[:7] if environment is not None else ""
    accuracy = record.accuracy
    started = None if environment is None else _date(environment.started)
    share = "" if accuracy is None else f"{100 * accuracy:.2f} %"
    if result is not None and result.test_accuracy is None and accuracy is not None:
        share += " (validation)"
    return IndexRow(
        name=run_name(record, root, titles),
        where=place_of(record.folder, root),
        status=record.status,
        note=_note(record, curves),
        accuracy=share,
        accuracy_sort=accuracy,
        energy="" if energy is None else joules(energy.energy_training_j),
        energy_sort=None if energy is None else energy.energy_training_j,
        time="" if result is None else seconds(result.seconds),
        time_sort=None if result is None else result.seconds,
        date="" if started is None else started.strftime("%Y-%m-%d %H:%M"),
        date_sort=None if started is None else started.timestamp(),
        commit=f"{commit}+" if commit and environment is not None and environment.git_dirty else commit,
        differs=list(differs),
        sort_keys=json.dumps({each.key: each.sort for each in differs}),
    )


def run_name(record: RunRecord, root: Path, titles: Mapping[Sweep, str]) -> str:
    """What people call a run: its place, or what its sweep calls it where its folder is called by a hash."""
    if not record.labels:
        return place_of(record.folder, root)
    return ", ".join(
        dict.fromkeys(_called(titles[Sweep(record.sweep_folder, name)], label) for name, label in record.labels.items())
    )


def anchors(records: Sequence[RunRecord], root: Path) -> dict[Path, str]:
    """An anchor for each run: its folder's name, or its whole place where several folders have that name."""
    names = [record.folder.name for record in records]
    return {
        record.folder: record.folder.name
        if names.count(record.folder.name) == 1
        else place_of(record.folder, root).replace("/", ":")
        for record in records
    }


def _called(sweep: str, label: Label) -> str:
    """Axes are among what differs: they are not said twice."""
    words = label["reference"] or label["variant"]
    return f"{sweep}: {words}" if words else sweep


def _note(record: RunRecord, curves: RunCurves | None) -> str:
    """How far a run came that did not end, or why it failed."""
    if record.status == "failed":
        return record.error
    if record.status == "finished":
        return ""
    of = setting(record.config, "training.epochs")
    done = curves["run"]["epochs"][-1] if curves is not None and curves["run"]["epochs"] else 0
    return f"epoch {done} of {of}" if isinstance(of, int | float) else f"epoch {done}"


def _environment(record: RunRecord) -> Environment | None:
    if not record.files.environment.is_file():
        return None
    try:
        return Environment.read(record.files.environment)
    except UserError as error:
        leave_out(f"date and commit of run {record.folder}", error)
        return None


def _date(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
