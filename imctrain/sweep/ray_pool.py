"""Trials as Ray tasks: more than one machine, or several GPUs. Needs `pip install 'imctrain[ray]'`.

The sweep's folder must be on storage that all machines see: trials are run folders there, as with the local pool. A
task whose worker is lost (killed, its machine gone) is given to another one, which continues from the newest
checkpoint; the folder's lock keeps two workers from training one trial.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imctrain.errors import UserError
from imctrain.files import open_log
from imctrain.records.lock import is_claimed
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.supply import Supply
from imctrain.sweep.worker import BUSY, save_when_asked, train

POLL_SECONDS = 0.5
RETRIES = 3
"""How often a trial whose worker was lost is given to another."""
LOCK_SECONDS = 600.0
"""How long a lost worker may hold its trial before the retry gives up on it."""
FORWARDED = ("JAX_", "XLA_", "IMCTRAIN_")
"""Variables of these names are a trial's too, on a cluster of this machine: its daemon may be older than they."""
GONE_SECONDS = 10.0
"""After a stop: how long no trial may be held before the cluster is taken for gone. A signal to the whole job ends the
daemons of a cluster of its own, and what they would have told never comes."""
STOP_FILE = ".stop"
"""In the sweep's folder: running trials of the pool that wrote it save and end."""


class RayPool:
    """Runs trials on a Ray cluster, `jobs` at a time (by default as many as the cluster has GPUs, else CPUs)."""

    def __init__(
        self, sweep: SweepFolder, jobs: int | None = None, keep_checkpoints: bool = False, address: str | None = None
    ):
        named = address or os.environ.get("RAY_ADDRESS")
        self._environment = {} if named else {k: v for k, v in os.environ.items() if k.startswith(FORWARDED)}
        if not named:
            # Read as Ray is imported: a cluster of its own is on the loopback, on every system.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
        except ImportError:
            raise UserError("--executor ray needs Ray: pip install 'imctrain[ray]'") from None
        self._ray = ray
        self._sweep = SweepFolder(sweep.path.absolute())
        self._keep = keep_checkpoints
        if not ray.is_initialized():
            try:
                # The uv hook would rebuild environments that are there already.
                os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
                ray.init(
                    address=named or "local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except Exception as error:
                where = f"the Ray cluster at {address}" if address else "a local Ray cluster"
                raise UserError(f"{where} cannot be reached: {' '.join(str(error).split())[:300]}") from None
        total = ray.cluster_resources()
        self._gpus = 1 if total.get("GPU", 0) >= 1 else 0
        self._jobs = jobs or max(1, int(total.get("GPU" if self._gpus else "CPU", 1)))

    @property
    def jobs(self) -> int:
        return self._jobs

    def run(self, supply: Supply, tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """Train all; `tick` is called between polls. Once `stopping`, running trials save and no more begin."""
        ray = self._ray
        token = uuid.uuid4().hex
        stop_file = self._sweep.path / STOP_FILE
        stop_file.unlink(missing_ok=True)
        (self._sweep.path / ".shared").write_text(token, encoding="ascii")
        # A process a task: jax holds a GPU until its process ends, and another trial may need other devices.
        task = ray.remote(max_retries=RETRIES, max_calls=1, num_cpus=1, num_gpus=self._gpus)(_task)
        running: dict[Any, str] = {}
        seen = time.monotonic()
        while running or not (supply.over or stopping()):
            if not stopping() or any(is_claimed(self._sweep.trial(key).folder) for key in running.values()):
                seen = time.monotonic()
            if time.monotonic() - seen > GONE_SECONDS:
                break
            while len(running) < self._jobs and not stopping():
                key = supply.take()
                if key is None:
                    break
                running[task.remote(str(self._sweep.path), key, self._keep, token, self._environment)] = key
            if stopping() and not stop_file.exists():
                stop_file.touch()
            if not running:
                tick()
                time.sleep(POLL_SECONDS)
                continue
            done, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in done:
                key = running.pop(reference)
                try:
                    if ray.get(reference) == BUSY:
                        supply.put_back(key)
                        continue
                except ray.exceptions.WorkerCrashedError:
                    if not self._sweep.trial(key).pruned.is_file():
                        self._sweep.fail(key, f"its worker was lost {RETRIES + 1} times", 1)
                except ray.exceptions.RayError as error:
                    self._sweep.fail(key, f"Ray: {' '.join(str(error).split())[-500:]}", 1)
                if not stopping():
                    supply.ended(key)
            tick()
        stop_file.unlink(missing_ok=True)


def _task(path: str, key: str, keep_checkpoints: bool, token: str, environment: dict[str, str]) -> int:
    """One trial in a Ray worker."""
    os.environ.update(environment)
    sweep = SweepFolder(Path(path))
    try:
        shared = (sweep.path / ".shared").read_text(encoding="ascii")
    except OSError:
        shared = ""
    if shared != token:
        raise UserError(f"{path} is not the same folder on every machine: put the sweep on storage that all share")
    trial = sweep.trial(key)
    trial.folder.mkdir(parents=True, exist_ok=True)
    _wait_for_lock(trial.folder)
    save_when_asked(sweep.path / STOP_FILE, trial.pruned)
    sys.argv = ["imctrain", "sweep", "trial", key]
    with (
        os.fdopen(open_log(trial.log), "a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        return train(sweep, key, keep_checkpoints)


def _wait_for_lock(folder: Path) -> None:
    """A lost worker may take a moment to die."""
    deadline = time.monotonic() + LOCK_SECONDS
    while is_claimed(folder) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
