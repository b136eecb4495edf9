"""Sweeps on disk: which runs belong to which, and what people call them.

A sweep is its folder and its name: `noise` in one folder has nothing to do with `noise` in another, since both may be
nobody's choice but the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from imctrain.errors import UserError
from imctrain.files import JsonValue
from imctrain.records.energy import STORED_ENERGY, Pricing, TrainingEnergy
from imctrain.records.runs import RunRecord


class Sweep(NamedTuple):
    """A sweep: the folder that holds its plans and trials, and its name there."""

    folder: Path | None
    name: str


class EnergyKeys(TypedDict, total=False):
    """What a training took on the chip (`energy.TrainingEnergy`); null where it is not known."""

    cost_technology: str | None
    energy_training_j: float | None
    energy_step_j: float | None
    fj_per_mac: float | None
    seconds_training_chip: float | None
    digital_int8_ratio: float | None


class TrialRow(EnergyKeys):
    """A trial of a sweep as a line of its table; null where it has no result. path: of its config."""

    reference: str | None
    variant: str
    axes: dict[str, JsonValue]
    seed: int
    accuracy: float | None
    seconds: float | None
    clipped_fraction: float | None
    path: JsonValue
    folder: str
    error: str


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


def measured(trials: Sequence[RunRecord]) -> str:
    """What the accuracies of trials are: "test accuracy", "validation accuracy", or "accuracy" where they are both."""
    names = {record.result.accuracy_name for record in trials if record.result is not None}
    return (names or {"test accuracy"}).pop() if len(names) < 2 else "accuracy"


def rows_of(records: Sequence[RunRecord], sweep: Sweep | str, pricing: Pricing = STORED_ENERGY) -> list[TrialRow]:
    """A row a trial of a sweep: references, then variants in the sweep's order, by axes and seed."""
    rows = []
    places: dict[str, int] = {}
    name = sweep if isinstance(sweep, str) else sweep.name
    for record in select(records, sweep):
        label, result = record.labels[name], record.result
        place = label.get("place", 0)
        places[label["variant"]] = min(place, places.get(label["variant"], place))
        rows.append(
            TrialRow(
                reference=label["reference"],
                variant=label["variant"],
                axes=label["axes"],
                seed=label["seed"],
                accuracy=record.accuracy,
                seconds=None if result is None else result.seconds,
                clipped_fraction=None if result is None else result.clipped_fraction,
                path=record.setting("imc.path"),
                folder=record.folder.name,
                error=record.error,
            )
        )
        rows[-1].update(_energy_keys(pricing(record)))
    order = ("float", "digital", None)
    return sorted(
        rows,
        key=lambda row: (
            order.index(row["reference"]),
            places[row["variant"]],
            row["variant"],
            _order(row["axes"]),
            row["seed"],
        ),
    )


def _energy_keys(energy: TrainingEnergy | None) -> EnergyKeys:
    if energy is None:
        return EnergyKeys(
            cost_technology=None,
            energy_training_j=None,
            energy_step_j=None,
            fj_per_mac=None,
            seconds_training_chip=None,
            digital_int8_ratio=None,
        )
    return EnergyKeys(
        cost_technology=energy.technology,
        energy_training_j=energy.energy_training_j,
        energy_step_j=energy.energy_step_j,
        fj_per_mac=energy.fj_per_mac,
        seconds_training_chip=energy.seconds_training_chip,
        digital_int8_ratio=energy.digital_int8_ratio,
    )


def _order(axes: dict[str, JsonValue]) -> tuple[tuple[bool, JsonValue], ...]:
    # Numbers in order of size, all else by its words: one axis may hold both only by mistake.
    return tuple((False, v) if isinstance(v, int | float) else (True, str(v)) for v in axes.values())


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
