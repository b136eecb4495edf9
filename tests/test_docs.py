"""Documentation that names tests, files and commands names ones that exist."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from run_tools import call

import imctrain

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


def blocks(page: str) -> list[str]:
    """Code of a page, fence by fence."""
    return re.findall(r"```(?:python|toml)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.slow
def test_the_example_of_the_readme_runs_as_it_stands(capsys):
    (example,) = blocks("README.md")
    names: dict[str, object] = {}
    with jax.numpy_dtype_promotion("standard"):
        exec(compile(example, "README.md", "exec"), names)
    # Below that of guessing, with which it began.
    assert float(names["value"]) < np.log(10) - 0.2
    assert capsys.readouterr().out.splitlines()[-1] == f"loss {names['value']:.2f}"


@pytest.mark.slow
def test_the_files_of_the_page_on_models_train(tmp_path, monkeypatch):
    found = blocks("docs/models.md")
    for text in found:
        (tmp_path / text.split()[1]).write_text(text)
    assert {path.name for path in tmp_path.iterdir()} == {"my_nets.py", "my_optimizer.py", "my.toml"}
    with jax.numpy_dtype_promotion("standard"):
        out = tmp_path / "run"
        assert call(monkeypatch, "run", "-c", tmp_path / "my.toml", "--set", "imc.path=float", "-o", out) == 0
        assert imctrain.load_run(out).module(np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 10)
