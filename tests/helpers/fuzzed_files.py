"""Configs, calibrations and run folders with accidents in them, each drawn from its seed, and what reads them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kept_results import write_result
from mutations import mutated

from imctrain import load_results, load_run
from imctrain.calibration import load_calibration
from imctrain.errors import UserError
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

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.toml"))
TRIALS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc")


def _config(path: Path, load: Callable[[Path], Config]) -> None:
    config = load(path)
    trial_key(config)
    dump_toml(config)
    if config.imc.path != "float":
        build_rules(config.imc)
        build_hardware(config.imc, calibration_of(config, ROOT / "experiments"))


READERS: dict[str, Callable[[Path], Any]] = {
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


def outcome(read: Callable[..., Any], *args: Any) -> str:
    """ "read" or "refused"; anything else that is raised is a failure."""
    try:
        read(*args)
    except UserError as error:
        return "refused" if str(error).isprintable() else "told in more than a line"
    return "read"


def attempt_file(kind: str, seed: int, folder: Path) -> str:
    """Read a shipped file of a kind, changed as the seed says."""
    rng = random.Random(seed)
    source = rng.choice(SOURCES[kind])
    path = folder / source.name
    path.write_bytes(mutated(rng, source.read_bytes(), source.suffix))
    return outcome(READERS[kind], path)


def write_sweep(folder: Path) -> Path:
    """A sweep's folder of three made-up trials."""
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


def read_all(folder: Path) -> None:
    """Everything that reads a sweep's folder and draws nothing."""
    records = gather(folder)
    load_results(folder)
    for sweep in sweeps_of(records):
        rows = rows_of(records, sweep)
        as_csv(rows)
        as_list(rows, "test accuracy")
        if mixture(records, sweep) is None:
            as_markdown(rows)


def read_trial(folder: Path, key: str) -> None:
    sweep = SweepFolder(folder)
    sweep.status(key)
    sweep.title(key)
    sweep.config(key)


def draw_all(folder: Path) -> None:
    write_results(folder)
    write_page(folder, folder / "report.html")


def readers_of_trials() -> list[Callable[[Path], Any]]:
    """What reads each trial of the made-up sweep by itself."""
    trials = [lambda folder, key=key: read_trial(folder, key) for key in TRIALS]
    runs = [lambda folder, key=key: load_run(folder / "trials" / key) for key in TRIALS]
    curves = [lambda folder, key=key: read_lines(folder / "trials" / key / "metrics.jsonl") for key in TRIALS]
    return [*trials, *runs, *curves]


def attempt_folder(kept: Path, scratch: Path, seed: int, *readers: Callable[[Path], Any]) -> set[str]:
    """Read a copy of a folder of which one file is changed as the seed says."""
    rng = random.Random(seed)
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(kept, scratch)
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    victim = scratch / rng.choice(files)
    victim.write_bytes(mutated(rng, victim.read_bytes(), victim.suffix))
    return {outcome(read, scratch) for read in readers}
