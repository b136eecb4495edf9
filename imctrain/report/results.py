"""Results on disk: run folders below a folder, and what the sweeps there call them.

A sweep is its folder and its name: `noise` in one folder has nothing to do with `noise` in another, since both may be
nobody's choice but the default. A trial is its key and its content, so a copied folder is known as a copy.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from imctrain.errors import UserError
from imctrain.frozen_defaults import filled
from imctrain.packed import ARCHIVE, contents

CLOCK = ("seconds", "seconds_per_epoch", "compile_seconds", "baseline_seconds_per_epoch")
"""Of result.json: what differs when the same training is done again."""


class Sweep(NamedTuple):
    """A sweep: the folder that holds its plan/ and trials/, and its name there."""

    folder: Path | None
    name: str


_SAME = Path()
"""Files that are where the run's folder is."""


@dataclass(frozen=True)
class RunRecord:
    """A run folder.

    Attributes:
        folder: where it is. config: as resolved, None for what TOML leaves out.
        result: of result.json, empty if the run has none.
        labels: what each sweep calls it: {sweep: {"reference", "variant", "axes", "seed"}}.
        error: why it failed, if it did.
        sweep_folder: of the sweeps in `labels`; None for a run of its own.
        edited: config.toml is not what the result is of.
        files: where its files can be read: `folder`, or another one for a packed trial (see `packed`).
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""
    sweep_folder: Path | None = None
    edited: bool = False
    files: Path = _SAME

    def __post_init__(self) -> None:
        if self.files is _SAME:
            object.__setattr__(self, "files", self.folder)

    @property
    def accuracy(self) -> float | None:
        """Test accuracy, a fraction; None without a result."""
        return self.result.get("test_accuracy")


def gather(root: Path) -> list[RunRecord]:
    """Every run below `root`, baselines within runs left out. Raises UserError where there is none."""
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give one that holds runs or sweeps")
    records = list(_find(root))
    if not records:
        raise UserError(f"no run below {root} (no config.toml with a result.json or failed.json): train one first")
    return records


def _find(root: Path) -> Iterator[RunRecord]:
    for folder, files in sorted(_places(root).items()):
        home = folder.parent.parent
        plans = (home / "plan" / f"{folder.name}.json", files.parent.parent / "plan" / f"{folder.name}.json")
        plan = next((path for path in plans if path.is_file()), None) if folder.parent.name == "trials" else None
        planned = plan is not None
        labels = json.loads(plan.read_text(encoding="utf-8"))["labels"] if plan is not None else {}
        config_file = files / "config.toml"
        written = config_file.read_bytes() if config_file.is_file() else b""
        result, failed = (
            json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for path in (files / "result.json", files / "failed.json")
        )
        digest = result.get("config_toml_sha256")
        edited = digest is not None and digest != hashlib.sha256(written).hexdigest()
        if written or failed:
            config = filled(tomllib.loads(written.decode("utf-8"))) if written else {}
            error = "" if result else failed.get("error", "")
            yield RunRecord(folder, config, result, labels, error, home if planned else None, edited, files)


def _places(root: Path) -> dict[Path, Path]:
    """{folder of a run: where its files are}: the folder itself, or what its sweep's archive was unpacked to."""
    names = ("result.json", "failed.json")
    found = {path.parent: path.parent for name in names for path in root.rglob(name)}
    found = {
        folder: f for folder, f in found.items() if folder.name != "baseline" and "checkpoints" not in folder.parts
    }
    for archive in sorted(root.rglob(ARCHIVE)):
        inside = contents(archive.parent)
        for path in (inside / "trials").glob("*/result.json") if inside is not None else ():
            # A trial that lies there unpacked, trained again perhaps, is the newer one.
            found.setdefault(archive.parent / "trials" / path.parent.name, path.parent)
    return found


def sweeps_of(records: Sequence[RunRecord]) -> list[Sweep]:
    """The sweeps that the records belong to, by name and folder."""
    found = {Sweep(record.sweep_folder, name) for record in records for name in record.labels}
    return sorted(found, key=lambda sweep: (sweep.name, str(sweep.folder or "")))


def find_sweep(records: Sequence[RunRecord], name: str, *preferred: Path | None) -> Sweep | None:
    """The sweep of a name: that of the first preferred folder which has one, else the only one; None if there is none.

    Raises UserError where several folders have one, and no preferred folder does: they are not to be mixed.
    """
    found = [sweep for sweep in sweeps_of(records) if sweep.name == name]
    for folder in preferred:
        if Sweep(folder, name) in found:
            return Sweep(folder, name)
    if len(found) > 1:
        folders = ", ".join(str(sweep.folder) for sweep in found)
        raise UserError(f"{len(found)} sweeps are called {name!r}: give the folder of one of them: {folders}")
    return found[0] if found else None


def select(records: Sequence[RunRecord], sweep: Sweep | str) -> list[RunRecord]:
    """The trials of a sweep, and of no other of the same name; a name stands for the only sweep of that name."""
    found = find_sweep(records, sweep) if isinstance(sweep, str) else sweep
    if found is None:
        return []
    return [record for record in records if record.sweep_folder == found.folder and found.name in record.labels]


def titles(sweeps: Sequence[Sweep], root: Path) -> dict[Sweep, str]:
    """What people call each sweep: its name, and its folder below `root` where the name alone does not say which."""
    names = [sweep.name for sweep in sweeps]
    return {
        sweep: sweep.name
        if sweep.folder in (None, root) or names.count(sweep.name) == 1
        else f"{sweep.name} in {place_of(sweep.folder, root)}"
        for sweep in sweeps
    }


def stems(sweeps: Sequence[Sweep], root: Path) -> dict[Sweep, str]:
    """A file name for each sweep, of letters that any name of a sweep may have, none of them twice."""
    found: dict[Sweep, str] = {}
    shown = titles(sweeps, root)
    # Those that keep their names come first: nothing else may take one.
    for sweep in sorted(sweeps, key=lambda sweep: shown[sweep] != sweep.name):
        stem = sweep.name
        if shown[sweep] != sweep.name:
            stem += "--" + "-".join(Path(place_of(sweep.folder, root)).parts)
        number, unique = 2, stem
        while unique in found.values():
            number, unique = number + 1, f"{stem}-{number}"
        found[sweep] = unique
    return found


def place_of(folder: Path | None, root: Path) -> str:
    """A folder as seen from `root`."""
    if folder is None:
        return "."
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def copies_of(records: Sequence[RunRecord]) -> dict[Path, Path]:
    """{folder of a copy: folder of the first run with the same key, config and result, clock included}."""
    first: dict[str, Path] = {}
    copies = {}
    for record in records:
        if not record.result:
            continue
        key = record.folder.name if record.sweep_folder is not None else ""
        content = json.dumps([key, record.config, record.result], sort_keys=True, default=str)
        original = first.setdefault(content, record.folder)
        if original != record.folder:
            copies[record.folder] = original
    return copies


def conflicts_of(records: Sequence[RunRecord], root: Path) -> list[str]:
    """Trials of one key whose results differ between folders: the same config, and yet not the same training."""
    by_key: dict[str, dict[str, RunRecord]] = {}
    for record in records:
        if record.result and record.sweep_folder is not None:
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


TRIAL_ROW = "reference variant axes seed accuracy seconds clipped_fraction path folder error"


def rows_of(records: Sequence[RunRecord], sweep: Sweep | str) -> list[dict[str, Any]]:
    """A row a trial of a sweep (see TRIAL_ROW): references, then variants in the sweep's order, by axes and seed."""
    rows = []
    places: dict[str, int] = {}
    name = sweep if isinstance(sweep, str) else sweep.name
    for record in select(records, sweep):
        label = record.labels[name]
        place = label.get("place", 0)
        places[label["variant"]] = min(place, places.get(label["variant"], place))
        result = record.result
        values = (
            label["reference"],
            label["variant"],
            label["axes"],
            label["seed"],
            record.accuracy,
            result.get("seconds"),
            result.get("clipped_fraction"),
            record.config.get("imc", {}).get("path"),
            record.folder.name,
            record.error,
        )
        rows.append(dict(zip(TRIAL_ROW.split(), values, strict=True)))
    order = ("float", "digital", None)
    return sorted(
        rows,
        key=lambda row: (
            order.index(row["reference"]),
            places[row["variant"]],
            row["variant"],
            _order(row),
            row["seed"],
        ),
    )


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    # Numbers in order of size, words by themselves: one axis may hold both only by mistake.
    return tuple((isinstance(v, str), v if not isinstance(v, list) else str(v)) for v in row["axes"].values())
