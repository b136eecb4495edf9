"""Runs on disk: every run folder below a folder, and what the sweeps there call it."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imctrain.errors import DamageWarning, UserError
from imctrain.files import JsonValue
from imctrain.paths import is_folder
from imctrain.reading import CONFIG_BYTES, decoded, read_bytes
from imctrain.records.kept_config import Table, config_table, setting
from imctrain.records.layout import (
    ARCHIVE,
    BASELINE,
    CHECKPOINTS,
    ENVIRONMENT,
    FAILED,
    RESULT,
    RunFiles,
    SweepFiles,
    sweep_of,
)
from imctrain.records.packed import contents
from imctrain.records.plans import Label, SweepView, read_plan
from imctrain.records.result import Failure, Result

Status = Literal["finished", "failed", "stopped", "unfinished"]


@dataclass(frozen=True)
class RunRecord:
    """A run folder.

    Attributes:
        folder: where it is. config: as resolved, None for what TOML leaves out; empty where there is no config.toml.
        result: None if the run has none.
        labels: what each sweep calls it, by name of sweep.
        error: why it failed, if it did.
        sweep_folder: of the sweeps in `labels`; None for a run of its own.
        edited: config.toml is not what the result is of.
        read_from: where its files can be read, for a packed trial (see `packed`); None where that is `folder`.
    """

    folder: Path
    config: Table
    result: Result | None
    labels: dict[str, Label] = field(default_factory=dict)
    error: str = ""
    sweep_folder: Path | None = None
    edited: bool = False
    read_from: Path | None = None

    @property
    def files(self) -> RunFiles:
        """For reading only."""
        return RunFiles(self.read_from or self.folder)

    @property
    def accuracy(self) -> float | None:
        """On the test images, or on the held-out ones where those were not measured; None without a result."""
        return None if self.result is None else self.result.accuracy

    @property
    def status(self) -> Status:
        """A run that a search stopped is "stopped", one that was interrupted or still trains is "unfinished"."""
        if self.result is not None:
            return "finished"
        if self.error:
            return "failed"
        return "stopped" if self.files.pruned.is_file() else "unfinished"

    def setting(self, key: str) -> JsonValue:
        """A value of its config by dotted key; None where there is none."""
        return setting(self.config, key)


def gather(root: Path, *, unfinished: bool = False, left_out: list[str] | None = None) -> list[RunRecord]:
    """Every run below `root` that ended, baselines within runs left out.

    A run of which a file is damaged is left out, and told (`errors.DamageWarning`).

    Args:
        unfinished: with those that did not end. left_out: what is left out is added to it, a line each.

    Raises UserError where there is none.
    """
    if not is_folder(root):
        raise UserError(f"{root} is no folder: give one that holds runs or sweeps")
    records: list[RunRecord] = []
    damaged: list[UserError] = []
    for folder, files in sorted(_places(root, damaged, unfinished).items()):
        try:
            record = _record(folder, files)
        except UserError as error:
            damaged.append(error)
            leave_out(f"run {folder}", error)
            continue
        if record is not None:
            records.append(record)
    if left_out is not None:
        left_out.extend(str(error) for error in damaged)
    if not records and damaged:
        raise UserError(f"no run below {root} can be read: {damaged[0]}")
    if not records:
        raise UserError(f"no run below {root} (no config.toml with a result.json or failed.json): train one first")
    return records


def leave_out(what: str, error: UserError) -> None:
    """Tell that something on disk is left out."""
    warnings.warn(f"{what} is left out: {error}", DamageWarning, stacklevel=3)


def _record(folder: Path, read_from: Path) -> RunRecord | None:
    files, sweep = RunFiles(read_from), sweep_of(folder)
    result = Result.read(files.result) if files.is_finished else None
    failure = Failure.read(files.failed) if files.failed.is_file() else None
    written = read_bytes(files.config, CONFIG_BYTES) if files.is_run else b""
    if not written and failure is None:
        return None
    plan = None if sweep is None else SweepView(sweep).plan(folder.name)
    planned = plan is not None and plan.is_file()
    digest = None if result is None else result.config_toml_sha256
    return RunRecord(
        folder,
        config_table(decoded(written, files.config), files.config) if written else {},
        result,
        read_plan(plan)["labels"] if plan is not None and planned else {},
        failure.error if failure is not None and result is None else "",
        sweep.folder if sweep is not None and planned else None,
        digest is not None and digest != hashlib.sha256(written).hexdigest(),
        None if read_from == folder else read_from,
    )


def _places(root: Path, damaged: list[UserError], unfinished: bool) -> dict[Path, Path]:
    """{folder of a run: where its files are}: the folder itself, or what its sweep's archive was unpacked to; errors of
    archives that cannot be read are added to `damaged`."""
    # A run that has not ended is known by its environment: others may call a file of theirs config.toml.
    marks = {RESULT, FAILED, *([ENVIRONMENT] if unfinished else [])}
    found: dict[Path, Path] = {}
    archives = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (BASELINE, CHECKPOINTS)]
        if marks.intersection(names):
            found[Path(place)] = Path(place)
        if ARCHIVE in names:
            archives.append(Path(place) / ARCHIVE)
    for archive in sorted(archives):
        try:
            inside = contents(archive.parent)
        except UserError as error:
            damaged.append(error)
            leave_out(f"what {archive} holds", error)
            continue
        for path in inside.trials.glob(f"*/{RESULT}") if inside is not None else ():
            # A trial that lies there unpacked, trained again perhaps, is the newer one.
            found.setdefault(SweepFiles(archive.parent).trial(path.parent.name).folder, path.parent)
    return found
