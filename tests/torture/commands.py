"""`imctrain` commands as processes that can be killed at any moment.

A process is forked from one that has imported everything and used nothing of it, which saves the 3 s that importing
takes. What a kill hits is the same: reading data, compiling, steps, checkpoints, results.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

TIMEOUT = 600.0


class Command:
    """A running command. Its output is in `log`."""

    def __init__(self, log: Path, *arguments: str | Path):
        self.log = log
        self.started = time.monotonic()
        self.seconds = 0.0
        """That it took; known once it has ended."""
        self.pid = _fork(log, lambda: _main(arguments))
        self._code: int | None = None

    def poll(self) -> int | None:
        """Exit code, -signal, or None while it runs."""
        if self._code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self.started
                self.peak_mib = usage.ru_maxrss / 1024
        return self._code

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most."""
        until = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        return self.poll() is not None

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Raises TimeoutError, the command killed, where it takes longer."""
        if not self.ends_within(seconds):
            self.kill()
            raise TimeoutError(f"still running after {seconds:.0f} s")
        assert self._code is not None
        return self._code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The command, and the processes that it started."""
        if self.poll() is None:
            os.killpg(self.pid, number)
            if number == signal.SIGKILL:
                self.wait(60)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


def run(log: Path, *arguments: str | Path) -> int:
    """A command to its end; its exit code."""
    return Command(log, *arguments).wait()


def apart(check: Callable[[], None], log: Path) -> str:
    """Run a check in a process of its own, so that this one uses nothing of JAX. "" or the line of its failure."""
    pid = _fork(log, check)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else f"its process ended with {os.waitstatus_to_exitcode(status)}"


def _fork(log: Path, work: Callable[[], None]) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        work()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:  # the child must end here, whatever it is
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _main(arguments: tuple[str | Path, ...]) -> None:
    from imctrain.cli import main

    sys.argv = ["imctrain", *map(str, arguments)]
    main()
