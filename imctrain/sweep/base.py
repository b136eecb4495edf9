"""What a sweep stands on, so that a folder does not come to call two experiments one sweep.

`noise` and `grid` are names that nobody chose: a folder that is extended from another config would hold points of two
experiments under one name. Each trial's label carries a hash of its sweep's settings and of its variant's; reports know
by them too which trials belong together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.experiment.identity import calibration_hash, config_differences, within
from imctrain.experiment.own_sources import by_content
from imctrain.reading import read_toml
from imctrain.records.plans import Label, Marks, same_trial
from imctrain.settings import Config, load_config
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.spec import SweepSpec, toml_literal
from imctrain.sweep.trial import KEY_DIGITS, Trial, trial_key

MOST_SHOWN = 3
PATHS = {"exact": "array", "statistical": "array", "auto": "array"}
"""Paths that compute the same thing in different ways: a curve's trials may take either."""


def marks_of(spec: SweepSpec, trials: Sequence[Trial]) -> list[Marks]:
    """For each trial's label: "base", a hash of what all start from, and "curve", one of its variant's changes."""
    base = _base(spec)
    return [{"base": base, "curve": _hash(spec.variants.get(trial.variant, {}))} for trial in trials]


def require_one_sweep(sweep: SweepFolder, name: str, trials: Sequence[Trial], marks: Sequence[Marks]) -> None:
    """Raise UserError where the folder would call trials of two experiments by the name of one sweep.

    What the new trials replace does not count: a changed sweep whose trials are all planned anew is one sweep.

    Args:
        trials, marks: that are to be planned under `name`.
    """
    keys = {trial.key for trial in trials}
    axes = {key for trial in trials for key in trial.axes}
    curves = {(trial.reference, trial.variant): mark["curve"] for trial, mark in zip(trials, marks, strict=True)}
    for key, label in _planned(sweep, name):
        if key in keys or any(same_trial(label, trial.label) for trial in trials):
            continue
        group = (label["reference"], label["variant"])
        same = [trial.config for trial in trials if (trial.reference, trial.variant) == group]
        if "base" in label:
            if label["base"] == marks[0]["base"] and label["curve"] == curves.get(group, label["curve"]):
                continue
            differing = _closest(sweep.config(key), same or [trial.config for trial in trials], {*axes, *label["axes"]})
        else:
            differing = _closest(sweep.config(key), same, {*axes, *label["axes"]})
            if not differing:
                continue
        told = f" ({', '.join(differing[:MOST_SHOWN])})" if differing else ""
        raise UserError(
            f"sweep {name!r} in {sweep.path} holds trials of another experiment{told}, such as {key}: give this sweep "
            "a name of its own (--name, or `name` in its file), or a folder of its own with --out"
        )


def _planned(sweep: SweepFolder, name: str) -> Iterator[tuple[str, Label]]:
    """(key, label) of every trial that the folder calls `name`."""
    planned = sweep.keys()
    for key in planned:
        labels = sweep.labels(key)
        if name in labels:
            yield key, labels[name]


def _closest(config: Config, others: Sequence[Config], axes: set[str]) -> list[str]:
    """Differences to the config that has fewest, axes and seeds left out."""
    return min((_differing(config, other, axes) for other in others), key=len, default=[])


def _differing(config: Config, other: Config, axes: set[str]) -> list[str]:
    free = ("seed", "imc.statistical", *axes)
    first, second = (each.model_dump(mode="json") for each in (config, other))
    found = []
    for difference in config_differences(first, second):
        values = [PATHS.get(str(v), v) for v in (difference.before, difference.now)]
        alike = difference.key == "imc.path" and values[0] == values[1]
        # A calibration file has another name in the sweep's folder; the hash of the base tells its content.
        moved = difference.key == "imc.calibration" and all(str(v).endswith(".json") for v in values)
        if not (within(difference.key, free) or alike or moved):
            found.append(str(difference))
    return found


def _base(spec: SweepSpec) -> str:
    """Hash of the config that all trials start from, and of the content of its calibration file."""
    path = Path(spec.config)
    items = [f"{key}={toml_literal(value)}" for key, value in {**spec.set, "seed": 0}.items()]
    try:
        config = load_config(path, items)
    except UserError:
        # A config may be possible with an axis only (more warm-up than epochs, say).
        return _hash([read_toml(path), spec.set])
    content, config = None, by_content(config, path.parent)
    if config.imc.path != "float" and config.imc.calibration.endswith(".json"):
        content = calibration_hash(load_calibration(config.imc.calibration, path.parent))
        # Wherever the file lies.
        imc = config.imc.model_copy(update={"calibration": Config().imc.calibration})
        config = config.model_copy(update={"imc": imc})
    return _hash([trial_key(config), content, *([spec.chips] if spec.own_chips else [])])


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
