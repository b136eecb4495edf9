"""Trials in processes of this machine, each on cores (and a GPU) of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imctrain.files import open_log
from imctrain.records.lock import is_claimed
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.supply import Supply
from imctrain.sweep.worker import BUSY

POLL_SECONDS = 0.5
RETRIES = 2
"""How often a trial is continued whose process was killed (by the out-of-memory killer, say)."""
GIB_A_TRIAL = 2.0
"""Memory that the default number of jobs leaves to each: 2 GiB hold resnet20 at batch 128 on any path."""


@dataclass(frozen=True)
class Slot:
    """Where a job runs: cores (empty: anywhere) and GPU (None: as the environment says)."""

    cores: tuple[int, ...]
    gpu: str | None = None


def slots(jobs: int | None) -> list[Slot]:
    """A slot a job: by default one a GPU, else one a core as far as memory goes, since one core a trial trains most
    images a second in all."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = len(cores) or os.cpu_count() or 1
    devices = _gpus()
    jobs = jobs or len(devices) or max(1, min(count, int(_available_gib() / GIB_A_TRIAL)))
    share = max(1, count // jobs)
    return [
        Slot(
            tuple(cores[(slot * share + i) % count] for i in range(share)) if cores else (),
            devices[slot % len(devices)] if devices else None,
        )
        for slot in range(jobs)
    ]


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _available_gib() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration, ValueError):
        return float("inf")


class LocalPool:
    """Runs trials in `jobs` processes; a killed one is continued from its checkpoint, up to RETRIES times."""

    def __init__(self, sweep: SweepFolder, jobs: int | None = None, keep_checkpoints: bool = False):
        self._sweep = sweep
        self._slots = slots(jobs)
        self._keep = keep_checkpoints
        self._running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}
        self._killed: dict[str, int] = {}

    @property
    def jobs(self) -> int:
        return len(self._slots)

    def run(self, supply: Supply, tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Train all; `tick` is called between polls. Once `stopping`, running trials save and no more begin."""
        asked = False
        try:
            while self._running or not (supply.over or stopping()):
                if stopping() and not asked:
                    asked = True
                    self._signal(signal.SIGTERM)
                for slot in range(len(self._slots)):
                    if slot not in self._running and not stopping():
                        key = self._next(supply)
                        if key is not None:
                            self._running[slot] = (key, self._start(key, self._slots[slot]))
                for slot, (key, process) in list(self._running.items()):
                    code = process.poll()
                    if code is not None:
                        del self._running[slot]
                        if code == BUSY or (self._again(key, code) and not stopping()):
                            supply.put_back(key)
                        elif not stopping():
                            supply.ended(key)
                tick()
                time.sleep(POLL_SECONDS)
        finally:
            self._signal(signal.SIGTERM)
            for _, process in self._running.values():
                process.wait()

    def _next(self, supply: Supply) -> str | None:
        """Take the next trial that no other pool on this folder trains, or has trained meanwhile."""
        elsewhere: list[str] = []
        try:
            while (key := supply.take()) is not None:
                trial = self._sweep.trial(key)
                if trial.is_finished:
                    supply.ended(key)
                elif is_claimed(trial.folder):
                    elsewhere.append(key)
                else:
                    return key
            return None
        finally:
            for key in reversed(elsewhere):
                supply.put_back(key)

    def _start(self, key: str, slot: Slot) -> subprocess.Popen[bytes]:
        options = ["--cores", ",".join(map(str, slot.cores))] if slot.cores else []
        options += ["--keep-checkpoints"] if self._keep else []
        environment = dict(os.environ)
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
            if sum(other.gpu == slot.gpu for other in self._slots) > 1:
                environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        trial = self._sweep.trial(key)
        trial.folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_log(trial.log), "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "imctrain.sweep.worker", str(self._sweep.path), key, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C reaches the sweep alone, which then asks its trials to save.
                start_new_session=True,
            )

    def _again(self, key: str, code: int) -> bool:
        """Whether a trial whose process has ended is to be continued: it was killed, not failed."""
        if code >= 0 or self._sweep.trial(key).pruned.is_file():
            return False
        self._killed[key] = self._killed.get(key, 0) + 1
        if self._killed[key] <= RETRIES:
            return True
        name = signal.Signals(-code).name
        self._sweep.fail(key, f"its process was killed {self._killed[key]} times (last by {name})", 1)
        return False

    def _signal(self, number: int) -> None:
        for _, process in self._running.values():
            if process.poll() is None:
                process.send_signal(number)
