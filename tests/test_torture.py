"""The campaign of `make torture`, in short, and the page that shows a long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CAMPAIGN = ROOT / "tests" / "torture"
KEPT = CAMPAIGN / "figures.json"


def campaign(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CAMPAIGN), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False, cwd=ROOT)


@pytest.mark.slow
def test_a_minute_of_the_campaign_finds_nothing(tmp_path):
    figures = tmp_path / "figures.json"
    done = campaign("--minutes", "1", "--seed", "1", "--kept", tmp_path / "kept", "--figures", figures)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(figures.read_text())["parts"]
    assert sum(sum(part["done"].values()) for part in parts.values()) > 50
    assert all(part["done"] or part["skipped"] for part in parts.values()), parts
    assert not (tmp_path / "kept").exists()


def test_what_fails_is_kept_and_told(tmp_path):
    """The short way through the command: an input that a reader cannot take."""
    script = (
        "import sys; sys.argv = ['torture']; sys.path[:0] = [{0!r}, {1!r}]\n"
        "from pathlib import Path\n"
        "from campaign import Campaign\n"
        "c = Campaign(0, Path({2!r}), Path({2!r}) / 'kept')\n"
        "file = Path({2!r}) / 'bad.toml'; file.write_text('x')\n"
        "c.failed('fuzzed inputs', 'config', 'two\\nlines', file)\n"
        "c.passed('fuzzed inputs', 'config')\n"
        "assert c.part('fuzzed inputs').done == {{'config': 2}}\n"
    ).format(str(CAMPAIGN), str(ROOT), str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FAILED fuzzed inputs, config: two lines; kept in ")
    assert (tmp_path / "kept" / "fuzzed inputs-0" / "bad.toml").read_text() == "x"


def test_the_page_on_reliability_shows_the_kept_figures():
    sys.path.insert(0, str(CAMPAIGN))
    try:
        from page import table
    finally:
        sys.path.remove(str(CAMPAIGN))
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert table(json.loads(KEPT.read_text(encoding="utf-8"))) in page
