"""kill -9 and other signals at random moments, of runs, sweeps, imports and evaluations. What is left must go on to the
same bits."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
import signal
import time
from pathlib import Path

from campaign import Campaign
from commands import Command, apart, run
from made_of import CONFIG, SWEEP, images_of

MOST_KILLS = 6
"""Of one run, before it is left to end."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
SHARE_OF_SIGNALS = 0.25
"""Of what stops a command; the others are SIGKILL."""
GRACE_S = 60.0
"""That a command may take to save, once it was told to stop."""


def kills(campaign: Campaign) -> None:
    """Until the time is over: a kind in turn, killed and brought to its end."""
    # A sweep's kill takes as long as ten of the others. Each kind is prepared as its first turn comes.
    order = [Run, Evaluation, Import] * 4 + [Sweep] + [Run, Evaluation, Import] * 4 + [RaySweep]
    kinds: dict[type[Killed], Killed] = {}
    number = 0
    while not campaign.over:
        kind = order[number % len(order)]
        number += 1
        if kind is RaySweep and importlib.util.find_spec("ray") is None:
            continue
        if kind not in kinds:
            kinds[kind] = kind(campaign)
        kinds[kind].once(number)


class Killed:
    """A command that is killed and given again."""

    name = ""

    def __init__(self, campaign: Campaign):
        self.campaign = campaign
        self.rng = campaign.rng(f"kills of {self.name}")
        self.place = campaign.scratch / "kills" / self.name.replace(" ", "-")
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.log = self.place / "log.txt"
        reference = self.folder("reference")
        self.prepare(reference)
        command = Command(self.log, *self.arguments(reference))
        code = command.wait()
        assert code == 0, f"{self.name} without a kill: exit code {code}: {command.said[-500:]}"
        self.seconds = command.seconds

    def folder(self, name: str) -> Path:
        return self.place / name

    def prepare(self, folder: Path) -> None:
        """What has to be there before the command."""

    def arguments(self, folder: Path) -> list[str | Path]:
        """The command, as it is given first and again after a kill."""
        raise NotImplementedError

    def check(self, reference: Path, folder: Path) -> None:
        """Raises where the end is not that of the reference."""
        raise NotImplementedError

    def is_done(self, folder: Path) -> bool:
        """Whether the command has nothing left to do, and would say so."""
        return False

    def once(self, number: int) -> None:
        """Stop it some times, bring it to its end, compare."""
        folder = self.folder(f"killed-{number}")
        self.prepare(folder)
        for stop in range(self.rng.randint(1, MOST_KILLS)):
            how = self.rng.choice(SIGNALS) if self.rng.random() < SHARE_OF_SIGNALS else signal.SIGKILL
            moment = self.rng.uniform(0.0, self.seconds)
            command = Command(self.log, *self.arguments(folder))
            if command.ends_within(moment):
                # The first may have compiled: what it took is not how long the others take.
                self.seconds = command.seconds if stop == 0 else self.seconds
            else:
                command.kill(how)
                what = "kills" if how == signal.SIGKILL else "signals"
                self.campaign.passed(what, self.name if what == "kills" else f"{self.name}, {how.name}")
            if not command.ends_within(GRACE_S):
                command.kill()
                self._fail(f"still here {GRACE_S:.0f} s after {how.name}: {command.said[-300:]}", folder)
                return
            code = command.poll() or 0
            age(folder)
            if code > 0 and code - 128 not in SIGNALS:
                self._fail(f"exit code {code} after {how.name}: {command.said[-300:]}", folder)
                return
            if code == 0 or self.is_done(folder):
                break
        code = 0 if self.is_done(folder) else run(self.log, *self.arguments(folder))
        if code != 0:
            said = self.log.read_text(encoding="utf-8", errors="replace")
            self._fail(f"exit code {code} at the end: {said[-300:]}", folder)
            return
        wrong = apart(functools.partial(self.check, self.folder("reference"), folder), self.place / "check.txt")
        if wrong:
            self._fail(wrong, folder)
            return
        self.campaign.passed("brought to the end", self.name)
        shutil.rmtree(folder)

    def _fail(self, what: str, folder: Path) -> None:
        self.campaign.failed("brought to the end", self.name, what, folder, self.log)


class Run(Killed):
    """A training; after a kill it is resumed, or begun where nothing was begun."""

    name = "run"

    def prepare(self, folder: Path) -> None:
        (self.place / "tiny.toml").write_text(CONFIG)

    def arguments(self, folder: Path) -> list[str | Path]:
        if (folder / "config.toml").exists():
            return ["run", "--resume", folder]
        return ["run", "-c", self.place / "tiny.toml", "-o", folder]

    def is_done(self, folder: Path) -> bool:
        return (folder / "result.json").exists()

    def check(self, reference: Path, folder: Path) -> None:
        from run_tools import assert_same_bits

        assert_same_bits(reference, folder)
        no_leftovers(folder, reference)


class Evaluation(Killed):
    """Four dies of a trained network."""

    name = "evaluate"

    def prepare(self, folder: Path) -> None:
        run_folder = self.place / "trained"
        if not run_folder.exists():
            (self.place / "tiny.toml").write_text(CONFIG)
            assert run(self.log, "run", "-c", self.place / "tiny.toml", "-o", run_folder) == 0

    def arguments(self, folder: Path) -> list[str | Path]:
        return ["evaluate", self.place / "trained", "--dies", "4", "--recalibrate", "batch-norm", "--out", folder]

    def check(self, reference: Path, folder: Path) -> None:
        a, b = (json.loads((place / "evaluate.json").read_text()) for place in (reference, folder))
        assert _without_clock(a) == _without_clock(b)
        no_leftovers(folder, reference)


def _without_clock(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_clock(item) for key, item in value.items() if "seconds" not in key}
    return [_without_clock(item) for item in value] if isinstance(value, list) else value


class Import(Killed):
    """Pictures in folders. The data set is that of an import that was not killed."""

    name = "data import"

    def prepare(self, folder: Path) -> None:
        images_of(self.place / "pictures")

    def arguments(self, folder: Path) -> list[str | Path]:
        source = self.place / "pictures"
        return ["data", "import", "mine", source, "--test-fraction", "0.25", "--data-dir", folder, "--replace"]

    def check(self, reference: Path, folder: Path) -> None:
        import numpy as np

        from imctrain.data import load

        a, b = (load("mine", data_dir=place) for place in (reference, folder))
        for one, other in ((a.train, b.train), (a.test, b.test)):
            np.testing.assert_array_equal(one.images, other.images)
            np.testing.assert_array_equal(one.labels, other.labels)
        no_leftovers(folder, reference)


class Sweep(Killed):
    """Three trainings, two at a time; the whole group of processes is killed."""

    name = "sweep"
    executor: tuple[str, ...] = ()

    def prepare(self, folder: Path) -> None:
        (self.place / "tiny.toml").write_text(CONFIG)
        (self.place / "tiny.sweep.toml").write_text(SWEEP)

    def arguments(self, folder: Path) -> list[str | Path]:
        return ["sweep", "file", self.place / "tiny.sweep.toml", "--out", folder, "--jobs", "2", *self.executor]

    def check(self, reference: Path, folder: Path) -> None:
        trials = [sorted(path.name for path in (place / "trials").iterdir()) for place in (reference, folder)]
        assert trials[0] == trials[1], f"{trials[1]} in place of {trials[0]}"
        for key in trials[0]:
            a, b = (json.loads((place / "trials" / key / "result.json").read_text()) for place in (reference, folder))
            assert a["test_accuracy"] == b["test_accuracy"], f"trial {key}"
        no_leftovers(folder, reference)


class RaySweep(Sweep):
    """The same on a Ray cluster of its own: its daemons end with the command that started them."""

    name = "sweep on Ray"
    executor = ("--executor", "ray")


def age(folder: Path) -> None:
    """Make temporary files and folders look as old as those that a later command removes."""
    from imctrain.files import ABANDONED_SECONDS

    long_ago = time.time() - 2 * ABANDONED_SECONDS
    for path in temporary(folder):
        with contextlib.suppress(OSError):
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)


def temporary(folder: Path) -> list[Path]:
    """What is there under a temporary name."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return [path for path in found if path.name.startswith(".") or "tmp" in path.name]


def no_leftovers(folder: Path, reference: Path | None = None) -> None:
    """No file that was half written is taken for one that is whole, and none is left under a temporary name.

    Args:
        reference: the folder of the same command that was not killed, which shows what may stay (locks).
    """
    for path in folder.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    if reference is not None:
        may_stay = {path.relative_to(reference) for path in temporary(reference)}
        left = sorted({path.relative_to(folder) for path in temporary(folder)} - may_stay)
        assert not left, f"left behind: {', '.join(map(str, left))}"
