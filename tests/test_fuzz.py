"""Files with accidents in them are read or refused in a line: no mutation of any file is an internal error.

What drew an input is its seed: a failure names it, and `rng` gives the same file again.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path

import pytest
from kept_results import write_result
from mutations import mutated

from imctrain import load_results, load_run
from imctrain.calibration import load_calibration
from imctrain.errors import DamageWarning, UserError
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.records.metrics import read_lines
from imctrain.records.runs import gather
from imctrain.records.sweeps import rows_of, sweeps_of
from imctrain.report.mixture import mixture
from imctrain.report.page import write_page
from imctrain.report.sweep_results import write_results
from imctrain.report.sweep_table import as_csv, as_list, as_markdown
from imctrain.settings import Config, dump_toml, load_config, load_kept_config
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.spec import read_sweep
from imctrain.sweep.trial import trial_key
from imctrain.technology import load_technology

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.toml"))
TRIALS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")


def _config(path, load):
    config = load(path)
    trial_key(config)
    dump_toml(config)
    if config.imc.path != "float":
        build_rules(config.imc)
        build_hardware(config.imc, calibration_of(config, ROOT / "experiments"))


READERS = {
    "config": lambda path: _config(path, load_config),
    "kept config": lambda path: _config(path, load_kept_config),
    "sweep": read_sweep,
    "calibration": lambda path: load_calibration(str(path)),
    "technology": lambda path: load_technology(str(path)),
}
SOURCES = {
    "config": [path for path in EXPERIMENTS if ".sweep" not in path.suffixes],
    "sweep": [path for path in EXPERIMENTS if ".sweep" in path.suffixes],
    "calibration": sorted((ROOT / "calibration").glob("*.json")),
    "technology": sorted((ROOT / "calibration" / "technology").glob("*.json")),
}
SOURCES["kept config"] = SOURCES["config"]


def outcome(read, *args):
    """ "read" or "refused"; anything else that is raised is the failure of the test."""
    try:
        read(*args)
    except UserError as error:
        return "refused" if str(error).isprintable() else "told in more than a line"
    return "read"


def mutate_files(folder, kind, seeds):
    seen = set()
    for seed in seeds:
        rng = random.Random(seed)
        source = rng.choice(SOURCES[kind])
        path = folder / source.name
        path.write_bytes(mutated(rng, source.read_bytes(), source.suffix))
        try:
            seen.add(outcome(READERS[kind], path))
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}: {type(error).__name__}: {error}") from error
    return seen


@pytest.mark.parametrize("kind", READERS)
def test_mutated_inputs_are_read_or_refused(tmp_path, kind):
    assert mutate_files(tmp_path, kind, range(60)) == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_many_mutated_inputs_are_read_or_refused(tmp_path, kind):
    assert mutate_files(tmp_path, kind, range(1000, 2000)) == {"read", "refused"}


@pytest.fixture
def kept_sweep(tmp_path):
    """A sweep's folder of three made-up trials."""
    folder = tmp_path / "kept"
    (folder / "plan").mkdir(parents=True)
    for number, key in enumerate(TRIALS):
        trial = folder / "trials" / key
        trial.mkdir(parents=True)
        (trial / "config.toml").write_text(dump_toml(Config()))
        write_result(trial, test_accuracy=0.5 + number / 10, sites={"fc": "exact"}, warnings=["a word"])
        lines = [
            {
                "kind": "train",
                "step": 5,
                "epoch": 1,
                "loss": 1.0,
                "gradient_norm": 1.0,
                "accuracy": 0.4,
                "sites": {"fc:snr_db_forward": 20.0},
            },
            {
                "kind": "epoch",
                "step": 9,
                "epoch": 1,
                "loss": 1.0,
                "gradient_norm": 1.0,
                "accuracy": 0.4,
                "test_accuracy": 0.5,
                "seconds": 1.0,
            },
        ]
        (trial / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        label = {"reference": "float" if number == 0 else None, "variant": "", "axes": {}, "seed": 0, "place": number}
        if number:
            label["axes"] = {"imc.noise.sigma_lsb": float(number)}
        plan = {"frozen_defaults": 1, "config": {}, "labels": {"noise": label}}
        (folder / "plan" / f"{key}.json").write_text(json.dumps(plan))
    return folder


def read_all(folder):
    """Everything that reads a sweep's folder and draws nothing."""
    records = gather(folder)
    load_results(folder)
    for sweep in sweeps_of(records):
        rows = rows_of(records, sweep)
        as_csv(rows)
        as_list(rows, "test accuracy")
        if mixture(records, sweep) is None:
            as_markdown(rows)


def read_trial(folder, key):
    sweep = SweepFolder(folder)
    sweep.status(key)
    sweep.title(key)
    sweep.config(key)


def draw_all(folder):
    write_results(folder)
    write_page(folder, folder / "report.html")


def mutate_folders(kept, scratch, seeds, *readers):
    seen = set()
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    for seed in seeds:
        rng = random.Random(seed)
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(kept, scratch)
        victim = scratch / rng.choice(files)
        victim.write_bytes(mutated(rng, victim.read_bytes(), victim.suffix))
        for read in readers:
            try:
                seen.add(outcome(read, scratch))
            except Exception as error:
                raise AssertionError(f"seed {seed}, {victim}: {type(error).__name__}: {error}") from error
    return seen


@pytest.mark.filterwarnings("ignore::imctrain.errors.DamageWarning")
def test_mutated_run_folders_leave_the_others_readable(tmp_path, kept_sweep):
    assert mutate_folders(kept_sweep, tmp_path / "s", range(80), read_all) == {"read"}
    trials = [lambda folder, key=key: read_trial(folder, key) for key in TRIALS]
    runs = [lambda folder, key=key: load_run(folder / "trials" / key) for key in TRIALS]
    curves = [lambda folder, key=key: read_lines(folder / "trials" / key / "metrics.jsonl") for key in TRIALS]
    assert mutate_folders(kept_sweep, tmp_path / "s", range(80, 140), *trials, *runs, *curves) == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::imctrain.errors.DamageWarning")
def test_mutated_run_folders_are_drawn(tmp_path, kept_sweep):
    assert mutate_folders(kept_sweep, tmp_path / "s", range(200, 240), draw_all) == {"read"}
    assert mutate_folders(kept_sweep, tmp_path / "s", range(1000, 2000), read_all) == {"read"}


def test_what_is_left_out_is_named(kept_sweep):
    (kept_sweep / "trials" / TRIALS[1] / "config.toml").write_bytes(b"\xff\xfe")
    (kept_sweep / "trials" / TRIALS[2] / "result.json").write_text("{")
    with pytest.warns(DamageWarning) as told:
        records = gather(kept_sweep)
    assert [record.folder.name for record in records] == [TRIALS[0]]
    assert [str(warning.message).split(" is left out")[0] for warning in told] == [
        f"run {kept_sweep / 'trials' / key}" for key in TRIALS[1:]
    ]


def test_a_damaged_archive_leaves_the_trials_beside_it(kept_sweep):
    (kept_sweep / "trials.tar.xz").write_bytes(b"no archive")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(gather(kept_sweep)) == len(TRIALS)
    assert "trials.tar.xz" in str(told[0].message)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["$$", "$\\frac{", "a_b^c", "100 % of {x}"])
def test_a_name_of_a_variant_is_drawn_as_it_is(kept_sweep, name):
    for key in TRIALS[1:]:
        path = kept_sweep / "plan" / f"{key}.json"
        plan = json.loads(path.read_text())
        plan["labels"]["noise"]["variant"] = name
        path.write_text(json.dumps(plan))
    draw_all(kept_sweep)
    assert (kept_sweep / "results" / "noise.png").is_file()
