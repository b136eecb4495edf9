"""Configs, sweeps, calibrations, technologies, lab files, archives and run folders with accidents in them."""

from __future__ import annotations

import functools
import random
import resource
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from campaign import Campaign
from commands import apart

BATCH = 50
"""Inputs of one process. Its memory is looked at when it ends."""
MOST_MIB = 2048


def fuzz(campaign: Campaign) -> None:
    """Kinds in turn, `BATCH` inputs at a time, until the time is over."""
    place = campaign.scratch / "fuzz"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    rng = campaign.rng("fuzz")
    kinds = _kinds()
    number = 0
    while not campaign.over:
        kind = list(kinds)[number % len(kinds)]
        first = rng.randrange(10**9)
        folder = place / "batch"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        told = place / "counts.txt"
        told.unlink(missing_ok=True)
        wrong = apart(functools.partial(_batch, kinds[kind], folder, first, told), place / "log.txt")
        for outcome in told.read_text().split() if told.exists() else ():
            if outcome in ("read", "refused"):
                campaign.passed("fuzzed inputs", f"{kind}, {outcome}")
            else:
                peak = float(outcome)
                notes = campaign.part("fuzzed inputs").notes
                notes["most memory of a process, MiB"] = max(peak, notes.get("most memory of a process, MiB", 0.0))
        if wrong:
            campaign.failed("fuzzed inputs", kind, f"inputs from seed {first}: {wrong}", folder, place / "log.txt")
        number += 1


def _kinds() -> dict[str, Callable[[Path, int], str]]:
    """Kind: (folder, seed) -> "read" or "refused"; anything that it raises is a failure."""
    names = ("config", "kept config", "sweep", "calibration", "technology")
    kinds: dict[str, Callable[[Path, int], str]] = {name: functools.partial(_file, name) for name in names}
    return kinds | {"run folder": _run_folder, "lab file": _table, "archive": _archive}


def _batch(attempt: Callable[[Path, int], str], folder: Path, first: int, told: Path) -> None:
    warnings.simplefilter("ignore")
    for seed in range(first, first + BATCH):
        try:
            outcome = attempt(folder, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        with told.open("a") as stream:
            stream.write(f"{outcome}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with told.open("a") as stream:
        stream.write(f"{peak:.0f}\n")
    assert peak < MOST_MIB, f"{peak:.0f} MiB of memory"


def _file(kind: str, folder: Path, seed: int) -> str:
    from fuzzed_files import attempt_file

    return attempt_file(kind, seed, folder)


def _run_folder(folder: Path, seed: int) -> str:
    from fuzzed_files import attempt_folder, read_all, readers_of_trials, write_sweep

    kept = folder / "kept"
    if not kept.exists():
        write_sweep(kept)
    assert attempt_folder(kept, folder / "changed", seed, read_all) == {"read"}
    seen = attempt_folder(kept, folder / "changed", seed, *readers_of_trials())
    assert seen <= {"read", "refused"}, seen
    return "refused" if "refused" in seen else "read"


def _table(folder: Path, seed: int) -> str:
    from fuzzed_tables import HOWS, STARTS, check, mutated

    rng = random.Random(seed)
    path = folder / "m.csv"
    path.write_bytes(mutated(STARTS[rng.choice(list(STARTS))], rng))
    return "read" if check(path, rng.choice(HOWS)) else "refused"


def _archive(folder: Path, seed: int) -> str:
    import numpy as np
    from fuzzed_archives import SOURCES, changed, check

    rng = np.random.default_rng(seed)
    kind = list(SOURCES)[rng.integers(len(SOURCES))]
    place = folder / kind.replace(" ", "-")
    if not place.exists():
        place.mkdir()
        SOURCES[kind][1](place)
    source = next(path for path in sorted(place.iterdir()) if not path.name.startswith("."))
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    file = files[rng.integers(len(files))]
    whole = file.read_bytes()
    file.write_bytes(changed(whole, rng))
    try:
        return check(kind, source, folder)
    finally:
        file.write_bytes(whole)
