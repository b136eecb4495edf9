"""Whether the trials that a folder calls one sweep are one: the same experiment but for axes, variants and seeds.

A folder that was extended with another model under the same name holds two experiments whose trials look like points
of one curve. No mean, figure, crossing or claim is made of those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from imctrain.files import JsonValue
from imctrain.records.kept_config import leaves
from imctrain.records.plans import Label
from imctrain.records.result import Result
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep, measured, select

STATISTICAL = "imc.statistical"
FREE = (
    "name",
    "seed",
    "baseline",
    "tensorboard",
    "tracking",
    "checkpoint",
    "data.data_dir",
    "imc.memory_mib",
    STATISTICAL,
)
"""Config keys in which trials of one curve may differ."""
EACH_SEED = "each seed"
"""Of a label's chips (`sweep.spec`)."""
CHIP = ("imc.chip.die", "imc.chip_seed")
"""What chooses a chip of a calibration."""
PATHS = {"exact": "array", "statistical": "array", "auto": "array"}
"""Paths that compute the same thing in different ways: a curve's trials may take either."""
ARRAY = "imc"
"""A reference has another [imc] than the trials that are compared with it."""
MOST_SHOWN = 3
KEPT_CONTENT: dict[str, Callable[[Result], tuple[str | None, str | None]]] = {
    "data set": lambda result: (result.dataset, result.dataset_content),
    "calibration": lambda result: (result.calibration, result.calibration_sha256),
}
"""(name, hash of the content) of what is called by a name."""

Leaves = dict[str, JsonValue]


def mixture(records: Sequence[RunRecord], sweep: Sweep | str) -> str | None:
    """Why the trials of a sweep are not one experiment, in words; None if they are.

    Trials planned by this version carry hashes of the sweep's and the variant's settings. Of older ones the configs are
    compared, in keys that both have: a version may know keys that another did not.
    """
    name = sweep if isinstance(sweep, str) else sweep.name
    trials = [(record, record.labels[name]) for record in select(records, sweep)]
    return next(
        (
            reason
            for reason in (
                _twice(trials),
                _bases(trials),
                _curves(trials),
                _references(trials),
                _contents(trials),
                _measures(trials),
            )
            if reason is not None
        ),
        None,
    )


Trials = Sequence[tuple[RunRecord, Label]]


def _measures(trials: Trials) -> str | None:
    """What their accuracies are of."""
    if measured([record for record, _ in trials]) != "accuracy":
        return None
    return "some trials measured the test images, and others the held-out ones alone"


def _twice(trials: Trials) -> str | None:
    """Two trials of one place would both count in its mean."""
    seen: dict[str, RunRecord] = {}
    for record, label in trials:
        place = repr((label["reference"], label["variant"], sorted(label["axes"].items()), label["seed"]))
        other = seen.setdefault(place, record)
        if other is not record:
            return (
                f"trials {other.folder.name} and {record.folder.name} are both {_called(label)}, seed {label['seed']}"
            )
    return None


def _bases(trials: Trials) -> str | None:
    """Settings of the whole sweep."""
    found: dict[str, tuple[RunRecord, Label]] = {}
    for trial in trials:
        if "base" in trial[1]:
            found.setdefault(trial[1]["base"], trial)
    if len(found) < 2:
        return None
    (first, _), (second, _), *_ = found.values()
    keys = _differing(_leaves(first.config), _leaves(second.config), _axes(trials))
    told = f" ({keys})" if keys else ""
    return f"trials {first.folder.name} and {second.folder.name} were planned from different experiments{told}"


def _curves(trials: Trials) -> str | None:
    """Settings of a variant, or of a reference."""
    groups: dict[tuple[str | None, str], list[tuple[RunRecord, Label]]] = {}
    for record, label in trials:
        groups.setdefault((label["reference"], label["variant"]), []).append((record, label))
    axes = _axes(trials)
    for group in groups.values():
        first, label = group[0]
        for record, other in group[1:]:
            known = "curve" in label and "curve" in other
            if known and label["curve"] == other["curve"]:
                continue
            keys = _differing(_leaves(first.config), _leaves(record.config), axes)
            if known or keys:
                told = f" ({keys})" if keys else ""
                return (
                    f"trials {first.folder.name} and {record.folder.name} are both {_called(label)}, and differ{told}"
                )
    return None


def _references(trials: Trials) -> str | None:
    """A reference is of the same network, data and recipe as one variant at least."""
    if all("base" in label for _, label in trials):
        return None
    axes = (*_axes(trials), ARRAY)
    others = [record for record, label in trials if label["reference"] is None and record.config]
    for record, label in trials:
        if label["reference"] is None or not record.config or not others:
            continue
        keys = [_differing(_leaves(record.config), _leaves(other.config), axes) for other in others]
        if all(keys):
            return f"trial {record.folder.name} ({_called(label)}) is of another experiment than all others ({keys[0]})"
    return None


def _contents(trials: Trials) -> str | None:
    """Data and calibrations are called by names: what they hold must be the same too."""
    for what, of in KEPT_CONTENT.items():
        found: dict[str, dict[str, RunRecord]] = {}
        for record, _ in trials:
            content = None if record.result is None else of(record.result)
            if content is not None and content[1]:
                found.setdefault(str(content[0]), {}).setdefault(content[1], record)
        for called, by_content in found.items():
            if len(by_content) > 1:
                first, second, *_ = by_content.values()
                return (
                    f"trials {first.folder.name} and {second.folder.name} were trained on different content of {what} "
                    f"{called}"
                )
    return None


def one_configuration(record: RunRecord, chips: str | None = None) -> str:
    """The same for trials that differ in nothing but seeds, names and the like; where the statistical path is allowed
    tells two apart, since an accuracy outside of where it holds is no seed's spread.

    Args:
        chips: of the trial's label; chips that seeds have of their own tell no trials apart.
    """
    free = [*(key for key in FREE if key != STATISTICAL), *(CHIP if chips == EACH_SEED else ())]
    kept = {key: value for key, value in _leaves(record.config).items() if not _within(key, free)}
    return json.dumps([kept, chips] if chips else kept, sort_keys=True, default=str)


def chips_told(trials: Sequence[RunRecord], name: str) -> str | None:
    """On which chips the seeds of a sweep were trained, in a line; None where it has one seed, or no array."""
    labels = [(trial, trial.labels[name]) for trial in trials if trial.labels[name]["reference"] is None]
    on_array = [(trial, label) for trial, label in labels if trial.setting("imc.path") in PATHS]
    seeds = {label["seed"] for _, label in on_array}
    if len(seeds) < 2:
        return None
    if all(label.get("chips") == EACH_SEED for _, label in on_array):
        return "each seed was trained on a chip of its own: what seeds spread by holds what chips differ by"
    chips = {tuple(str(trial.setting(key)) for key in CHIP) for trial, _ in on_array}
    if len(chips) > 1:
        return None
    return "all seeds were trained on the same chip: what seeds spread by holds nothing of what chips differ by"


def _called(label: Label) -> str:
    return " ".join([label["reference"] or label["variant"] or "IMC", *(f"{k} {v}" for k, v in label["axes"].items())])


def _axes(trials: Trials) -> tuple[str, ...]:
    return tuple({key for _, label in trials for key in label["axes"]})


def _differing(first: Leaves, second: Leaves, ignored: Sequence[str]) -> str:
    """Keys that both configs have with different values, with the values; empty if there are none."""
    keys = [
        f"{key} {first[key]} and {second[key]}"
        for key in first
        if key in second and first[key] != second[key] and not _within(key, (*FREE, *ignored))
    ]
    return ", ".join(keys[:MOST_SHOWN]) + (f" and {len(keys) - MOST_SHOWN} more" if len(keys) > MOST_SHOWN else "")


def _within(key: str, tables: Sequence[str]) -> bool:
    return any(key == table or key.startswith(f"{table}.") for table in tables)


def _leaves(config: Mapping[str, JsonValue]) -> Leaves:
    """With one name for paths that compute the same."""
    found = leaves(config)
    path = found.get("imc.path")
    return found if path is None else found | {"imc.path": PATHS.get(str(path), path)}
