"""A folder of many made-up runs, as a busy month leaves one: sweeps, single runs, unfinished, failed and damaged ones.

python tests/helpers/many_runs.py FOLDER [COUNT] writes one to look at.
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
from kept_results import PLAIN

from imctrain.settings import load_config
from imctrain.settings.loading import dump_toml
from imctrain.settings.shipped import find_config

SITES = ("stem", "conv2", "conv3", "conv4", "conv5", "head")
MVMS = ("forward", "input_grad", "weight_grad")
EPOCHS, STEPS, EVERY = 10, 66, 10
SIGMAS = (0.25, 0.5, 1.0, 1.5, 2.0)
MAPPINGS = ("grouped", "balanced")


def many_runs(root: Path, count: int = 210) -> dict[str, int]:
    """Write `count` run folders; how many of each kind: finished, unfinished, failed, damaged.

    Two thirds are trials of sweeps called noise, the others runs of their own. One in 15 is not finished, one in 20
    failed, one in 40 has a damaged result.
    """
    told = {"finished": 0, "unfinished": 0, "failed": 0, "damaged": 0}
    for number in range(count):
        kind = _kind(number)
        told[kind] += 1
        sweep, place = divmod(number, 35)
        if sweep % 3 < 2:
            seed, cell = divmod(place, len(SIGMAS) * len(MAPPINGS) + 1)
            _trial(root / f"noise-{sweep}", sweep, cell, seed, kind)
        else:
            sigma = SIGMAS[place % len(SIGMAS)]
            keys = {"imc.noise.sigma_lsb": sigma, "model.width": 4 + 4 * (place % 3), "seed": place // 5}
            _run(root / f"probe-{number:03d}", "probe", keys, kind)
    return told


def _kind(number: int) -> str:
    if number % 15 == 7:
        return "unfinished"
    if number % 20 == 11:
        return "failed"
    return "damaged" if number % 40 == 5 else "finished"


def _trial(folder: Path, sweep: int, cell: int, seed: int, kind: str) -> None:
    key = f"{sweep:02d}{seed:02d}{cell:02d}".ljust(16, "f")
    label: dict[str, object] = {"reference": "float", "variant": "", "axes": {}, "seed": seed}
    keys: dict[str, object] = {"seed": seed, "model.width": 4 + 4 * sweep}
    if cell:
        level, mapping = divmod(cell - 1, len(MAPPINGS))
        axes = {"imc.noise.sigma_lsb": SIGMAS[level], "imc.mapping.gradient": MAPPINGS[mapping]}
        label |= {"reference": None, "axes": axes}
        keys |= axes
    else:
        keys["imc.path"] = "float"
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    (folder / "plan" / f"{key}.json").write_text(json.dumps({"labels": {"noise": label}}))
    _run(folder / "trials" / key, "noise", keys, kind)


def _run(folder: Path, name: str, keys: dict[str, object], kind: str) -> None:
    folder.mkdir(parents=True)
    config = load_config(
        find_config(Path("quickstart")),
        [f"{key}={json.dumps(value)}" for key, value in keys.items()] + [f'name="{name}"'],
    )
    (folder / "config.toml").write_text(dump_toml(config))
    generator = np.random.default_rng(zlib.crc32(folder.as_posix().encode()))
    is_float = config.imc.path == "float"
    sigma = 0.0 if is_float else float(config.imc.noise.sigma_lsb or 0.0)
    top = 0.92 - 0.08 * sigma**1.5 - (0.02 if keys.get("imc.mapping.gradient") == "grouped" else 0.0)
    top += 0.004 * generator.standard_normal()
    epochs = EPOCHS // 2 if kind in ("unfinished", "failed") else EPOCHS
    _metrics(folder / "metrics.jsonl", top, sigma, epochs, generator, sites=() if is_float else SITES)
    day = 1 + zlib.crc32(folder.name.encode()) % 28
    environment = {
        "started": f"2026-10-{day:02d}T{8 + day % 12:02d}:30:00+00:00", "python": "3.11.7", "platform": "Linux",
        "cpu_count": 8, "devices": ["cpu:cpu"], "versions": {"imctrain": "0.1.0", "jax": "0.10.2"},
        "git_commit": ("d1e248aea8a011e9f5664ef6c71b1d2400e2aa3b", "3029b0e0" + 32 * "0")[day % 2],
        "git_dirty": day % 5 == 0, "command": ["imctrain", "run"],
    }  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(environment))
    if kind == "failed":
        failure = {"schema_version": "1.0", "error": "diverged at step 412: loss is nan", "code": 3}
        (folder / "failed.json").write_text(json.dumps(failure))
    if kind not in ("finished", "damaged"):
        return
    energy = 2e-5 * float(keys.get("model.width", 4) or 4) / 4 * (1.3 if keys.get("imc.mapping.gradient") else 1.0)
    result = PLAIN | {
        "name": name, "test_accuracy": top, "test_images": 360, "best_test_accuracy": top, "epochs": EPOCHS,
        "steps": STEPS * EPOCHS, "seconds": 40.0 + 30.0 * generator.random(), "path": config.imc.path,
        "dataset": "digits", "model": config.model.name, "parameters": 4630, "seed": config.seed,
        "sigma_lsb": None if is_float else sigma, "clipped_fraction": None if is_float else 0.004,
        "sites": None if is_float else dict.fromkeys(SITES, "exact"), "cost_technology": "laws-28nm",
        "calibration": None if is_float else "feasible-assumed",
        "calibration_provenance": None if is_float else "assumed",
        "cost_provenance": "assumed", "energy_step_j": energy, "energy_training_j": energy * STEPS * EPOCHS,
        "seconds_training_chip": 0.2, "fj_per_mac": 3348.0, "digital_int8_ratio": None if is_float else 0.84,
    }  # fmt: skip
    text = json.dumps(result)
    (folder / "result.json").write_text(text[: len(text) // 2] if kind == "damaged" else text)


def _metrics(
    path: Path, top: float, sigma: float, epochs: int, generator: np.random.Generator, sites: tuple[str, ...]
) -> None:
    lines = []
    for step in range(EVERY, STEPS * epochs + 1, EVERY):
        done = step / (STEPS * EPOCHS)
        found: dict[str, float] = {}
        for place, site in enumerate(sites):
            for mvm in MVMS:
                snr = 22.0 - 6.0 * sigma - 2.0 * place + generator.standard_normal()
                found |= {f"{site}:snr_db_{mvm}": snr, f"{site}:clipped_{mvm}": 0.002 * generator.random()}
                found |= {f"{site}:range_{mvm}": 0.25, f"{site}:statistical_{mvm}": 0.0}
        lines.append(
            {
                "kind": "train", "step": step, "epoch": (step - 1) // STEPS + 1,
                "loss": 2.3 * math.exp(-4.0 * done) + 0.1 + 0.05 * generator.random(),
                "accuracy": min(1.0, top * (1.0 - math.exp(-6.0 * done))), "gradient_norm": 1.0,
                "images_per_second": 800.0, "clipped": 0.004, "worst_snr_db": 4.0, "sites": found,
            }
        )  # fmt: skip
        if step % STEPS < EVERY and step >= STEPS:
            accuracy = top * (1.0 - math.exp(-8.0 * done))
            lines.append(
                {
                    "kind": "epoch", "step": step, "epoch": step // STEPS, "loss": 2.3 * math.exp(-4.0 * done) + 0.1,
                    "accuracy": accuracy, "test_accuracy": accuracy * 0.99, "test_loss": 0.5, "clipped": 0.004,
                    "seconds": 4.0,
                }
            )  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    print(many_runs(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 210))
