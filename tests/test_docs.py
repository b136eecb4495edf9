"""Documentation that names tests, files and commands names ones that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "experiments" / "README.md"])


def test_every_line_of_the_page_on_trust_names_a_test_that_exists():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]*test_\w+\.py", page))
    assert len(named) > 20
    missing = {name for name in named if not (ROOT / "tests" / name).exists()}
    assert not missing
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    assert rows
    assert all("test_" in row for row in rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
