"""How the results of two revisions differ: JSON, JSON Lines, TOML, CSV, and the arrays of checkpoints.

Everything is compared bit for bit. How far floating-point numbers are apart is measured as well, for a tolerance:

- two numbers of a file, by their difference over the larger magnitude of the two;
- two elements of an array, by their difference over the largest magnitude of the old array. An element near zero would
  otherwise count for more than the array does.

No tolerance covers anything else: whole numbers, texts, shapes, lengths, missing keys and files must be equal.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CHECKPOINTS = "checkpoints"

CLOCK = "it is read from the clock"
WHOLE = "it hashes all keys, also new ones at their defaults; what it hashes is compared itself"
VERSION = "it names a version"
LEFT_OUT = {
    "seconds": CLOCK,
    "seconds_per_epoch": CLOCK,
    "compile_seconds": CLOCK,
    "baseline_seconds_per_epoch": CLOCK,
    "images_per_second": CLOCK,
    "date": CLOCK,
    "config_hash": WHOLE,
    "config_toml_sha256": WHOLE,
    "calibration_sha256": WHOLE,
    "schema_version": VERSION,
    "frozen_defaults": VERSION,
}
"""Keys that are not compared, wherever they are, and why. The hash of the data is compared: it is of pixels and labels
alone. Paths need no place here: both revisions run in folders of the same relative names."""


@dataclass
class Differences:
    """What a comparison found.

    Attributes:
        compared: values that both have, array elements one by one.
        differing: floating-point numbers among them that differ.
        absolute, relative: largest difference of them (see above for what it is relative to).
        first: the first of them, with both values.
        failures: what no tolerance covers, in words.
        added: what only the new revision has.
    """

    compared: int = 0
    differing: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    first: str = ""
    failures: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether all that the old revision has is the same in the new one, bit for bit."""
        return not self.differing and not self.failures

    def within(self, allow: float) -> bool:
        """Whether nothing but floating-point numbers differs, and these by no more than `allow`."""
        return not self.failures and (not self.differing or self.relative <= allow)

    def differ(self, where: str, old: Any, new: Any, absolute: float, relative: float, count: int = 1) -> None:
        """Note floating-point numbers that differ."""
        self.differing += count
        self.absolute, self.relative = max(self.absolute, absolute), max(self.relative, relative)
        self.first = self.first or f"{where}: {old!r} -> {new!r}"


def compare_values(old: Any, new: Any, where: str, found: Differences) -> None:
    """Compare JSON values key by key; keys of LEFT_OUT are passed over, and keys that only `new` has are listed."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if key in LEFT_OUT:
                continue
            if key in new:
                compare_values(value, new[key], f"{where}.{key}", found)
            else:
                found.failures.append(f"{where}.{key} is missing")
        found.added += [f"{where}.{key}" for key in new if key not in old and key not in LEFT_OUT]
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            found.failures.append(f"{where} has {len(new)} values in place of {len(old)}")
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            compare_values(one, other, f"{where}[{number}]", found)
    else:
        _compare_leaf(old, new, where, found)


def _compare_leaf(old: Any, new: Any, where: str, found: Differences) -> None:
    found.compared += 1
    if type(old) is type(new) and repr(old) == repr(new):  # the repr of a float has all of its bits
        return
    numbers = isinstance(old, float) and isinstance(new, float) and math.isfinite(old) and math.isfinite(new)
    if not numbers:
        found.failures.append(f"{where}: {_short(old)} -> {_short(new)}")
        return
    absolute = abs(new - old)
    found.differ(where, old, new, absolute, absolute / (max(abs(old), abs(new)) or 1.0))


def compare_arrays(
    old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray], where: str, found: Differences
) -> None:
    """Compare arrays by name, bit for bit; NaN equals NaN of the same bits, and 0.0 differs from -0.0."""
    for name, one in old.items():
        place = f"{where}/{name}"
        other = new.get(name)
        if other is None:
            found.failures.append(f"{place} is missing")
        elif one.dtype != other.dtype or one.shape != other.shape:
            found.failures.append(f"{place}: {one.dtype} {one.shape} -> {other.dtype} {other.shape}")
        else:
            _compare_array(one, other, place, found)
    found.added += [f"{where}/{name}" for name in new if name not in old]


def _compare_array(old: np.ndarray, new: np.ndarray, where: str, found: Differences) -> None:
    found.compared += old.size
    differs = np.any(_bits(old) != _bits(new), axis=1)
    count = int(differs.sum())
    if not count:
        return
    # numpy does not count bfloat16 as a float; only whole numbers and truth values convert without a change.
    whole = old.dtype.kind in "biu"
    a, b = (np.asarray(array).reshape(-1)[differs].astype(np.float64) for array in (old, new))
    if whole or not (np.isfinite(a).all() and np.isfinite(b).all()):
        found.failures.append(f"{where}: {count} of {old.size} elements, such as {a[0]!r} -> {b[0]!r}")
        return
    absolute = float(np.abs(b - a).max())
    largest = float(np.max(np.abs(old.astype(np.float64)), where=np.isfinite(old.astype(np.float64)), initial=0.0))
    found.differ(where, float(a[0]), float(b[0]), absolute, absolute / (largest or 1.0), count)


def _bits(array: np.ndarray) -> np.ndarray:
    """[elements, bytes of one]"""
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8).reshape(array.size, array.dtype.itemsize)


def compare_folders(old: Path, new: Path, patterns: Iterable[str]) -> Differences:
    """Compare the files of two folders that match (shell patterns of relative paths).

    A pattern that ends in `checkpoints` is of folders of checkpoints; arrays of every checkpoint in them are compared.
    """
    found = Differences()
    for pattern in patterns:
        there, here = (_matching(folder, pattern) for folder in (old, new))
        if not there:
            found.failures.append(f"{pattern}: the old revision wrote none")
        found.failures += [f"{name} is missing" for name in there if name not in here]
        found.added += [name for name in here if name not in there]
        for name in there:
            if name in here:
                _compare_files(old / name, new / name, name, found)
    return found


def _matching(folder: Path, pattern: str) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return sorted(
        name for name in names if fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
    )


def _compare_files(old: Path, new: Path, name: str, found: Differences) -> None:
    try:
        one, other = ((read_checkpoints if side.name == CHECKPOINTS else read)(side) for side in (old, new))
    except Exception as error:  # of orbax, of any kind
        found.failures.append(f"{name} cannot be read: {error}")
        return
    if old.name != CHECKPOINTS:
        compare_values(one, other, name, found)
        return
    for step, arrays in one.items():
        if step in other:
            compare_arrays(arrays, other[step], f"{name}/{step}", found)
        else:
            found.failures.append(f"{name}/{step} is missing")
    found.added += [f"{name}/{step}" for step in other if step not in one]


def read(path: Path) -> Any:
    """The content of a file as JSON values. Raises ValueError for a file that is not what its suffix says."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".csv":
        return [{key: _cell(cell) for key, cell in row.items()} for row in csv.DictReader(text.splitlines())]
    return text.splitlines()


def _cell(text: Any) -> Any:
    """A cell of a CSV: a number where it is one."""
    for number in (int, float):
        try:
            return number(text)
        except (ValueError, TypeError):
            continue
    return text


def read_checkpoints(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """{step: arrays by name} of every checkpoint in a folder, read by orbax alone: no revision's classes take part."""
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(folder.absolute()) as manager:
        found = {}
        for step in sorted(manager.all_steps()):
            stored = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore()))
            found[step] = {name: np.asarray(value) for name, value in dict(stored.state).items()}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:120]}..."
