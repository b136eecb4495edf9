"""A campaign against what must survive: `make torture`, or `python tests/torture --minutes 30 --seed 1`.

Kills, full disks, fuzzed inputs, crowds and a soak share the time. Each part draws from the seed and its name. Inputs
that fail are kept and named, and the exit code is 1. `--figures FILE` writes what docs/reliability.md shows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent / "helpers")]

from campaign import Campaign, Skipped  # noqa: E402
from crowds import crowds  # noqa: E402
from disks import disks  # noqa: E402
from forked import import_everything  # noqa: E402
from fuzz import fuzz  # noqa: E402
from kills import kills  # noqa: E402
from soak import soak  # noqa: E402

PARTS: dict[str, tuple[float, Callable[[Campaign], None]]] = {
    "kills": (0.55, kills),
    "disks": (0.1, disks),
    "fuzz": (0.15, fuzz),
    "crowds": (0.1, crowds),
    "soak": (0.1, soak),
}
"""Share of the time, and what it does."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="for all parts together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--kept", type=Path, default=Path("torture-failures"), help="folder of inputs that failed")
    parser.add_argument("--figures", type=Path, help="write the figures as JSON")
    asked = parser.parse_args(arguments)
    chosen = asked.only.split(",")
    unknown = set(chosen) - set(PARTS)
    if unknown:
        parser.error(f"--only {','.join(sorted(unknown))}: allowed are {', '.join(PARTS)}")
    commit = _commit()
    import_everything()  # before commands are forked, and nothing of it is used: jax starts threads where it is
    shares = sum(PARTS[name][0] for name in chosen)
    with tempfile.TemporaryDirectory(prefix="imctrain-torture-", ignore_cleanup_errors=True) as scratch:
        campaign = Campaign(asked.seed, Path(scratch), asked.kept.absolute())
        for name in chosen:
            share, work = PARTS[name]
            campaign.give(60 * asked.minutes * share / shares)
            print(f"{name} ...", flush=True)
            try:
                work(campaign)
            except Skipped as reason:
                campaign.part(name).skipped = str(reason)
                print(f"{name} left out: {reason}", flush=True)
    figures = _figures(campaign, asked, commit)
    if asked.figures is not None:
        asked.figures.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    failures = 0
    for name, part in campaign.parts.items():
        failures += len(part.failed)
        for kind, count in sorted(part.done.items()):
            print(f"{name}: {kind}: {count}")
        for what, value in part.notes.items():
            print(f"{name}: {what}: {value:.0f}")
    print(f"{failures} failures" + (f", kept in {campaign.kept}" if failures else ""))
    return 1 if failures else 0


def _commit() -> str:
    """Asked before the campaign: a commit made meanwhile is not what it tried."""
    asked = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _figures(campaign: Campaign, asked: argparse.Namespace, commit: str) -> dict[str, object]:
    machine = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "machine": machine,
        "minutes": asked.minutes,
        "seed": asked.seed,
        "parts": {
            name: {"done": dict(part.done), "failed": part.failed, "skipped": part.skipped, "notes": part.notes}
            for name, part in campaign.parts.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
