"""A training of many epochs: its memory must not grow."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from campaign import Campaign, Skipped
from commands import Command
from made_of import CONFIG

WARM_SHARE = 0.3
"""Of the time, before memory counts."""
GROWTH_MIB = 40.0
"""How much more than after warming up it may be at the end."""


def soak(campaign: Campaign) -> None:
    """One run until the time is over, stopped by SIGTERM as a batch system would."""
    import signal

    if not Path("/proc/self/status").exists():
        raise Skipped("memory of a process is read from /proc")
    place = campaign.scratch / "soak"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    text = CONFIG.replace("epochs = 4", "epochs = 10000").replace("every_steps = 3", "every_steps = 50")
    (place / "long.toml").write_text(text)
    log = place / "log.txt"
    command = Command(log, "run", "-c", place / "long.toml", "-o", place / "run")
    seen: list[tuple[float, float]] = []
    while not campaign.over and command.poll() is None:
        seen.append((time.monotonic(), _memory(command.pid)))
        time.sleep(1.0)
    code = command.poll()
    if code is not None:
        campaign.failed("soak", "training", f"ended with exit code {code}: {command.said[-300:]}", log)
        return
    command.kill(signal.SIGTERM)
    code = command.wait(120)
    epochs = max(
        (int(line.split("epoch ")[1].split("/")[0]) for line in command.said.splitlines() if "epoch " in line),
        default=0,
    )
    warm = [mib for at, mib in seen if at > seen[0][0] + WARM_SHARE * (seen[-1][0] - seen[0][0])]
    tenth = max(1, len(warm) // 10)
    grown = sum(warm[-tenth:]) / tenth - sum(warm[:tenth]) / tenth
    campaign.part("soak").notes |= {"epochs": epochs, "memory at the end, MiB": warm[-1], "growth, MiB": grown}
    if code != 143 or epochs < 1 or grown > GROWTH_MIB:
        campaign.failed("soak", "training", f"exit code {code}, {epochs} epochs, grown by {grown:.0f} MiB", log)
    else:
        campaign.passed("soak", "training")


def _memory(pid: int) -> float:
    """Resident set in MiB; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
