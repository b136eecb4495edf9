"""What all parts of the campaign share: clock, draws, counts, and the folder that failing inputs are kept in."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


class Skipped(Exception):
    """A part that this machine cannot do, with the reason."""


@dataclass
class Part:
    """One part's figures.

    Attributes:
        done: what was tried, by kind. failed: kind and what went wrong, one line each. skipped: why nothing was tried.
        notes: what was seen besides, by name.
    """

    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    skipped: str = ""
    notes: dict[str, float] = field(default_factory=dict)


class Campaign:
    """Attributes: seed: of every draw. scratch: folder for work. kept: folder of inputs that failed."""

    def __init__(self, seed: int, scratch: Path, kept: Path):
        self.seed = seed
        self.scratch = scratch
        self.kept = kept
        self.parts: dict[str, Part] = {}
        self._until = time.monotonic()

    def rng(self, name: str) -> random.Random:
        """Draws of one part: they do not depend on what ran before."""
        return random.Random(f"{self.seed}, {name}")

    def give(self, seconds: float) -> None:
        """The part that begins has this long."""
        self._until = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        return time.monotonic() > self._until

    def part(self, name: str) -> Part:
        return self.parts.setdefault(name, Part())

    def passed(self, name: str, kind: str) -> None:
        self.part(name).done[kind] += 1

    def failed(self, name: str, kind: str, what: str, *inputs: Path) -> None:
        """Count a failure, and keep what it came from."""
        part = self.part(name)
        part.done[kind] += 1
        place = self.kept / f"{name}-{len(part.failed)}"
        for path in inputs:
            place.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, place / path.name, dirs_exist_ok=True)
            elif path.exists():
                shutil.copy2(path, place / path.name)
        line = " ".join(f"{kind}: {what}".split())
        part.failed.append(line[:500])
        print(f"FAILED {name}, {part.failed[-1]}" + (f"; kept in {place}" if inputs else ""), flush=True)
