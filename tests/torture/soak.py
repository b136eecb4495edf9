"""A training of many epochs: its memory must not grow."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from campaign import Campaign, Skipped
from commands import Command
from made_of import CONFIG

WARM_EPOCHS = 10
"""Before memory counts: by then everything is compiled and every buffer was used once."""
LEAST_EPOCHS = 40
"""However short the time is, so that growth can be told from warming up."""
GROWTH_MIB = 40.0
"""How much more than after warming up it may be at the end."""
LONGEST_S = 300.0
"""That a machine may take for `LEAST_EPOCHS` beyond the time that is given."""


def soak(campaign: Campaign) -> None:
    """One run until the time is over, stopped by SIGTERM as a batch system would."""
    import signal

    if not Path("/proc/self/status").exists():
        raise Skipped("memory of a process is read from /proc")
    place = campaign.scratch / "soak"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    # Slow enough to stay at its optimum for days.
    text = CONFIG.replace("epochs = 4", "epochs = 10000, learning_rate = 0.002")
    text = text.replace("every_steps = 3", "every_steps = 50")
    (place / "long.toml").write_text(text)
    log = place / "log.txt"
    command = Command(log, "run", "-c", place / "long.toml", "-o", place / "run")
    warm: list[float] = []
    last = time.monotonic() + LONGEST_S
    while command.poll() is None and (
        not campaign.over or (_epochs(command) < LEAST_EPOCHS and time.monotonic() < last)
    ):
        if _epochs(command) >= WARM_EPOCHS:
            warm.append(_memory(command.pid))
        time.sleep(0.5)
    code = command.poll()
    if code is not None:
        campaign.failed("soak", "training", f"ended with exit code {code}: {command.said[-300:]}", log)
        return
    command.kill(signal.SIGTERM)
    code = command.wait(120)
    epochs = _epochs(command)
    if not warm:
        campaign.failed("soak", "training", f"{epochs} epochs in the time: too few to tell", log)
        return
    tenth = max(1, len(warm) // 10)
    grown = sum(warm[-tenth:]) / tenth - sum(warm[:tenth]) / tenth
    campaign.part("soak").notes |= {"epochs": epochs, "memory at the end, MiB": warm[-1], "growth, MiB": grown}
    if code != 143 or grown > GROWTH_MIB:
        campaign.failed("soak", "training", f"exit code {code}, {epochs} epochs, grown by {grown:.0f} MiB", log)
    else:
        campaign.passed("soak", "training")


def _epochs(command: Command) -> int:
    """That have ended, as the command prints them."""
    lines = (line for line in command.said.splitlines() if "epoch " in line)
    return max((int(line.split("epoch ")[1].split("/")[0]) for line in lines), default=0)


def _memory(pid: int) -> float:
    """Resident set in MiB; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
