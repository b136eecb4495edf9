"""Commands in processes of their own, forked from one that has imported everything and used nothing of it.

That saves the 3 s of CPU time which importing takes, and changes nothing else: jax starts its threads where it is used.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass, field
from multiprocessing.forkserver import ensure_running, set_forkserver_preload
from pathlib import Path
from typing import Any

IMPORTED = (
    "imctrain.cli.evaluate",
    "imctrain.cli.run",
    "imctrain.cli.sweep",
    "imctrain.evaluation.evaluate",
    "imctrain.experiment.run",
    "imctrain.training.loop",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "orbax.checkpoint.checkpoint_managers",
)
"""What commands import, in time or when they need it, before they are forked."""
READ_AT_IMPORT = ("JAX_", "XLA_", "PYTHON", "MPL", "OMP_", "LD_", "HOME", "XDG_")
"""Beginnings of environment variables that would come too late for a process which has imported everything."""

_BEFORE = dict(os.environ)
"""As the tests began: what one test sets must not reach the others' processes."""


def import_everything() -> None:
    for name in IMPORTED:
        importlib.import_module(name)


def can_fork(environment: dict[str, str]) -> bool:
    """Whether a process with this environment may come from one that has imported everything."""
    return os.name == "posix" and _read_at_import(environment) == _read_at_import(_BEFORE)


def run_forked(
    arguments: list[str], environment: dict[str, str], folder: Path, script: str | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """`imctrain ARGUMENTS`, or a script with these arguments, to its end.

    Args:
        environment: whole, as the process finds it. folder: for what it prints.

    Raises subprocess.TimeoutExpired, the process killed, where it takes longer than `timeout` seconds.
    """
    out, err = folder / "out", folder / "err"
    work = _Work(arguments, environment, str(Path.cwd()), str(out), str(err), script)
    _start_server()
    process = multiprocessing.get_context("forkserver").Process(target=work)
    process.start()
    process.join(timeout)
    late = process.is_alive()
    if late:
        process.kill()
        process.join()
    said = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
    if late:
        raise subprocess.TimeoutExpired(arguments, timeout, *said)
    assert process.exitcode is not None
    code = process.exitcode
    process.close()
    return subprocess.CompletedProcess(arguments, code, *said)


@dataclass(frozen=True)
class _Work:
    """What the forked process does."""

    arguments: list[str]
    environment: dict[str, str] = field(repr=False)
    folder: str
    out: str
    err: str
    script: str | None

    def __call__(self) -> None:
        for number, path in ((1, self.out), (2, self.err)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        try:
            if self.script is None:
                from imctrain.cli import main

                sys.argv = ["imctrain", *self.arguments]
                main()
            else:
                sys.argv = ["-c", *self.arguments]
                scope: dict[str, Any] = {"__name__": "__main__"}
                exec(compile(self.script, "<string>", "exec"), scope)
        finally:
            # As at the end of any process; multiprocessing leaves them out.
            atexit._run_exitfuncs()


def _start_server() -> None:
    set_forkserver_preload(list(IMPORTED))
    now = dict(os.environ)
    os.environ.clear()
    os.environ.update(_BEFORE)
    try:
        ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(now)


def _read_at_import(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}
