"""docs/extending.md is true: its blocks are put into a copy of the package, and its last blocks run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imctrain

PACKAGE = Path(imctrain.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
ROWS = dict(re.findall(r"^\| (?:an?|another) ([^|]+?) \| ([^|]+?) \|$", PAGE, re.M))
FILES = {
    "A number format": "clip, or a rounding",
    "A mapping of gradients": "mapping of gradients",
    "A range policy": "range policy",
    "An engine": "engine",
    "A noise source": "noise source with a setting of its own",
    "A network": "network",
    "A data set": "data set",
    "A converter law": "law of what an operation costs",
}


def blocks(body):
    return re.findall(r"^```(\w+)\n(.*?)^```", body, re.S | re.M)


def apply(kind, text, root):
    """Puts a block into the package at `root`; the file that it changes, or None for one that is to be run."""
    first, _, rest = text.partition("\n")
    if kind == "diff":
        file = root / first
        source = file.read_text(encoding="utf-8")
        for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", rest, re.M):
            before, after = (re.sub(r"^[-+]", "", lines, flags=re.M).rstrip("\n") for lines in (old, new))
            assert source.count(before) == 1, f"{first} has {before!r} {source.count(before)} times"
            source = source.replace(before, after)
        file.write_text(source, encoding="utf-8")
        return first
    if first.startswith("# imctrain/"):
        target = root / first[2:]
        assert not target.exists()
        target.write_text(rest, encoding="utf-8")
        return first[2:]
    return None


def test_every_section_has_its_row():
    assert {title.partition(":")[0] for title in SECTIONS} == {*FILES}
    assert {*FILES.values()} <= {*ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_an_extension_works_in_as_many_files_as_the_page_says(title, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "imctrain", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parent / "calibration", tmp_path / "calibration")
    changed = [apply(kind, text, tmp_path) for kind, text in blocks(SECTIONS[title])]
    assert changed[-1] is None
    assert None not in changed[:-1]
    assert len({*changed[:-1]}) == int(ROWS[FILES[title.partition(":")[0]]])
    code = blocks(SECTIONS[title])[-1][1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
