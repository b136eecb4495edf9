"""Kept results keep their names and their meaning: keys, plans and configs are read by the frozen defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imctrain.config import known_keys, load_kept_config, validate_config
from imctrain.frozen_defaults import FROZEN, FROZEN_RULE, apart_from_frozen, filled_up
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.spec import expand, read_sweep
from imctrain.sweep.trial import trial_key

CIFAR10 = Path(__file__).parent.parent / "experiments" / "cifar10"
KEPT = CIFAR10 / "results" / "reproduction"
SWEEPS = sorted(path.name.removesuffix(".sweep.toml") for path in CIFAR10.glob("*.sweep.toml"))
WAITING = {
    "claims-85": {
        "feasible, seed 0",
        "feasible, seed 1",
        "feasible, seed 2",
    },
    "claims": {
        "feasible, seed 0",
        "feasible, seed 1",
        "feasible, seed 2",
    },
    "formats": {
        "all, learned activation clips, seed 0",
    },
    "mismatch": {
        "feasible-assumed, gradient MVMs done four times, offsets not calibrated, seed 0",
        "feasible-assumed, gradient MVMs done four times, offsets not calibrated, seed 1",
        "feasible-assumed, gradient MVMs done four times, offsets not calibrated, seed 2",
        "feasible-assumed, gradient MVMs done four times, seed 0",
        "feasible-assumed, gradient MVMs done four times, seed 1",
        "feasible-assumed, gradient MVMs done four times, seed 2",
        "feasible-assumed, seed 0",
        "feasible-assumed, seed 1",
        "feasible-assumed, seed 2",
        "vlsi21-28nm-assumed, seed 1",
        "vlsi21-28nm-assumed, seed 2",
    },
    "noise": {
        "best, gradient MVMs done four times, sigma_lsb 0.25, seed 0",
        "best, gradient MVMs done four times, sigma_lsb 0.35, seed 0",
        "best, gradient MVMs done four times, sigma_lsb 0.7, seed 0",
        "best, gradient MVMs done four times, sigma_lsb 1.4, seed 0",
        "best, gradient MVMs done four times, sigma_lsb 2.0, seed 0",
        "best, sigma_lsb 0.25, seed 0",
        "best, sigma_lsb 0.35, seed 0",
        "plain, sigma_lsb 0.25, seed 0",
        "plain, sigma_lsb 0.35, seed 0",
    },
    "within2": {
        "... and clips from statistics again, seed 0",
        "... four times, gradients clipped at 10 rms, seed 0",
        "... four times, seed 0",
        "best pipeline, seed 0",
        "gradients clipped at 12 rms, seed 0",
        "learned activation clips, gradient MVMs done twice, seed 0",
    },
}
"""Trials of the sweep files that are not trained, by the title of the trial."""


def test_every_key_of_the_config_has_a_frozen_value():
    missing = {key for key in known_keys() if not key.startswith("imc.rules.")} - set(FROZEN)
    assert not missing, (
        f"{sorted(missing)} have no entry in imctrain/frozen_defaults.py: give the value that does what was done before"
    )
    rules = {key.removeprefix("imc.rules.") for key in known_keys() if key.startswith("imc.rules.")}
    assert rules == {"match", *FROZEN_RULE}


def test_the_frozen_defaults_are_a_config():
    config = validate_config(filled_up({}), "the frozen defaults")
    assert apart_from_frozen(config.model_dump(mode="json")) == {}


@pytest.mark.parametrize("key", sorted(path.stem for path in (KEPT / "plan").glob("*.json")))
def test_a_kept_plan_means_the_trial_of_its_name(key):
    """The hash of what is read is the name of the file, and the run's own config is the same training."""
    folder = SweepFolder(KEPT)
    config = folder.config(key)
    assert trial_key(config) == key
    stored = folder.trial(key) / "config.toml"
    if stored.is_file():
        assert trial_key(load_kept_config(stored)) == key


@pytest.mark.parametrize("name", SWEEPS)
def test_every_trained_trial_of_a_sweep_file_is_found_again(name):
    folder = SweepFolder(KEPT)
    waiting = {
        trial.title for trial in expand(read_sweep(CIFAR10 / f"{name}.sweep.toml")) if not _is_done(folder, trial)
    }
    assert waiting == WAITING.get(name, set())


def _is_done(folder, trial):
    return (folder.trial(trial.key) / "result.json").is_file()


def test_a_new_default_renames_and_reinterprets_nothing():
    """`bias_limit` was 0.03 when results were kept: a kept config means that, a new one the default of today."""
    kept = validate_config(filled_up({"model": {"name": "vit"}}), "kept")
    new = validate_config({"model": {"name": "vit"}}, "new")
    assert kept.imc.statistical.bias_limit == 0.03
    assert new.imc.statistical.bias_limit != 0.03
    assert trial_key(kept) != trial_key(new)
    assert apart_from_frozen(kept.model_dump(mode="json")) == {"model": {"name": "vit"}}
    again = validate_config(filled_up(apart_from_frozen(new.model_dump(mode="json"))), "again")
    assert again == new
    named = validate_config({"model": {"name": "vit"}, "imc": {"statistical": {"bias_limit": 0.03}}}, "named")
    assert trial_key(named) == trial_key(kept)


def test_references_stay_the_same_trials_whatever_the_array_is_by_default():
    keys = {trial.reference: trial.key for trial in expand(read_sweep(CIFAR10 / "noise.sweep.toml")) if trial.reference}
    labels = {
        path.stem: label["reference"]
        for path in (KEPT / "plan").glob("*.json")
        for name, label in json.loads(path.read_text(encoding="utf-8"))["labels"].items()
        if name == "noise" and label["reference"]
    }
    assert keys == {reference: key for key, reference in labels.items()}
