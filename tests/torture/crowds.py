"""Several commands at once on one folder: two pools of a sweep, three resumes of a run. One process trains a thing."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

from campaign import Campaign
from commands import Command, run
from made_of import CONFIG, SWEEP


def crowds(campaign: Campaign) -> None:
    """A sweep and a run in turn, until the time is over."""
    place = campaign.scratch / "crowds"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "tiny.toml").write_text(CONFIG)
    (place / "tiny.sweep.toml").write_text(SWEEP)
    rng = campaign.rng("crowds")
    expected = _accuracies(campaign, place)
    number = 0
    while not campaign.over:
        number += 1
        out = place / f"sweep-{number}"
        logs = [place / f"pool-{n}.txt" for n in range(2)]
        pools = [Command(log, "sweep", "file", place / "tiny.sweep.toml", "--out", out, "--jobs", "1") for log in logs]
        codes = [pool.wait() for pool in pools]
        found = _of(out)
        if codes != [0, 0] or found != expected:
            campaign.failed("crowds", "two pools", f"exit codes {codes}, accuracies {found} for {expected}", *logs)
        else:
            campaign.passed("crowds", "two pools of a sweep")
        shutil.rmtree(out, ignore_errors=True)
        _resumes(campaign, place, number, rng.uniform(0.3, 2.0))


def _resumes(campaign: Campaign, place: Path, number: int, seconds: float) -> None:
    """Of a run that was killed: one goes on, the others are told that it does, or that it has ended."""
    out = place / f"run-{number}"
    first = Command(place / "first.txt", "run", "-c", place / "tiny.toml", "-o", out)
    with contextlib.suppress(TimeoutError):
        first.wait(seconds)
    again = (
        ["run", "--resume", out] if (out / "config.toml").exists() else ["run", "-c", place / "tiny.toml", "-o", out]
    )
    logs = [place / f"resume-{n}.txt" for n in range(3)]
    codes = sorted(command.wait() for command in [Command(log, *again) for log in logs])
    told = all("internal error" not in log.read_text() and "Traceback" not in log.read_text() for log in logs)
    if 0 not in codes or set(codes) - {0, 2} or not told or not (out / "result.json").exists():
        campaign.failed("crowds", "three resumes", f"exit codes {codes}", *logs)
    else:
        campaign.passed("crowds", "three resumes of a run")
    shutil.rmtree(out, ignore_errors=True)


def _accuracies(campaign: Campaign, place: Path) -> dict[str, float]:
    out = place / "alone"
    assert run(place / "alone.txt", "sweep", "file", place / "tiny.sweep.toml", "--out", out, "--jobs", "1") == 0
    return _of(out)


def _of(out: Path) -> dict[str, float]:
    trials = sorted((out / "trials").iterdir()) if (out / "trials").is_dir() else []
    results = {path.name: path / "result.json" for path in trials}
    return {
        key: json.loads(file.read_text())["test_accuracy"] if file.exists() else -1.0 for key, file in results.items()
    }
