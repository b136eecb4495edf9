"""Full disks: a small file system that fills while something is written, then has room again."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from campaign import Campaign, Skipped
from commands import Command, apart, run
from made_of import CONFIG, SWEEP, images_of

ROOM_KIB = 65536


def disks(campaign: Campaign) -> None:
    """Runs, sweeps, evaluations and imports on disks of random sizes, until the time is over."""
    place = campaign.scratch / "disks"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "tiny.toml").write_text(CONFIG)
    (place / "tiny.sweep.toml").write_text(SWEEP)
    images_of(place / "pictures")
    log = place / "log.txt"
    with small_disk(place / "probe", 1024):
        pass
    reference = place / "reference"
    assert run(log, "run", "-c", place / "tiny.toml", "-o", reference) == 0
    rng = campaign.rng("disks")
    number = 0
    while not campaign.over:
        kind = ("run", "sweep", "data import", "evaluate")[number % 4]
        size = rng.randint(16, 900)
        disk = place / f"disk-{number}"
        number += 1
        with small_disk(disk, size):
            _fill(campaign, kind, size, disk, place, log)


def _fill(campaign: Campaign, kind: str, size: int, disk: Path, place: Path, log: Path) -> None:
    out = disk / "out"
    first: list[str | Path] = {
        "run": ["run", "-c", place / "tiny.toml", "-o", out],
        "sweep": ["sweep", "file", place / "tiny.sweep.toml", "--out", out, "--jobs", "1"],
        "data import": [
            "data", "import", "mine", place / "pictures", "--test-fraction", "0.25", "--data-dir", out, "--replace"
        ],
        "evaluate": ["evaluate", place / "reference", "--dies", "2", "--out", out],
    }[kind]  # fmt: skip
    command = Command(log, *first)
    code = command.wait()
    said = command.said
    told = f"{kind} on {size} KiB"
    full = code != 0
    if full and kind != "sweep" and (code != 2 or "internal error" in said or "left" not in said + "left"):
        campaign.failed("full disks", told, f"exit code {code}: {said[-300:]}", log)
        return
    if full and "Traceback" in said:
        campaign.failed("full disks", told, f"a traceback: {said[-300:]}", log)
        return
    subprocess.run(["mount", "-o", f"remount,size={ROOM_KIB}k", disk], check=True)
    again = ["run", "--resume", out] if kind == "run" and (out / "config.toml").exists() else first
    code = run(log, *again) if full else 0
    if code != 0:
        said = log.read_text(encoding="utf-8", errors="replace")
        campaign.failed("full disks", told, f"exit code {code} with room again: {said[-300:]}", log)
        return
    wrong = apart(functools.partial(_same, kind, place / "reference", out), place / "check.txt")
    if wrong:
        campaign.failed("full disks", told, wrong, log)
        return
    campaign.passed("full disks", f"{kind}, {'full' if full else 'had room'}")


def _same(kind: str, reference: Path, out: Path) -> None:
    from kills import no_leftovers

    if kind == "run":
        from run_tools import assert_same_bits

        assert_same_bits(reference, out)
    if kind == "sweep":
        assert sum((trial / "result.json").exists() for trial in (out / "trials").iterdir()) == 3
    if kind == "data import":
        from imctrain.data import load

        assert len(load("mine", data_dir=out).train.labels) == 180
    no_leftovers(out)


@contextlib.contextmanager
def small_disk(place: Path, kib: int) -> Iterator[Path]:
    """A file system in memory. Raises Skipped where it cannot be mounted."""
    if os.geteuid() != 0:
        raise Skipped("mounting a small file system needs root")
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Skipped(f"a small file system cannot be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)
        place.rmdir()
