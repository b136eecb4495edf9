"""Documentation that names tests, files and commands names ones that exist."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from pages import commands, fences
from run_tools import call

import imctrain

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])


def test_every_line_of_the_page_on_trust_names_a_test_that_exists():
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]*test_\w+\.py", page))
    assert len(named) > 20
    missing = {name for name in named if not (ROOT / "tests" / name).exists()}
    assert not missing
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what |")]
    assert rows
    assert all("test_" in row for row in rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def _anchors(page: Path) -> set[str]:
    """Of the headings of a page, as code hosts and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings(page):
    found = re.findall(r"\]\(([^)#:]*)#([^)]*)\)", page.read_text(encoding="utf-8"))
    wrong = [
        f"{link}#{anchor}" for link, anchor in found if anchor not in _anchors((page.parent / link) if link else page)
    ]
    assert wrong == []


def test_messages_that_the_page_of_questions_quotes_are_the_programs():
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    quoted = re.findall(r'^\| "([^"]+)" \|', page, re.M)
    assert len(quoted) > 8
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "imctrain").rglob("*.py"))
    assert [message for message in quoted if message not in source] == []


def test_every_page_is_on_the_site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages - set(re.findall(r"([\w/-]+\.md)", text))) == []


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


def first_screen() -> list[list[str]]:
    """Commands of `imctrain` that a new user copies from the top of the README."""
    return commands(next(fence for fence in fences(ROOT / "README.md") if fence.kind == "sh"))


def test_the_first_screen_of_the_readme_ends_with_a_trained_network_of_ones_own():
    assert [words[0] for words in first_screen()] == ["run", "new", "run"]
    top = (ROOT / "README.md").read_text(encoding="utf-8").split("imctrain new mine")[0]
    made = re.findall(r"^make (\w+)", top, re.M)
    assert made
    assert set(made) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


@pytest.mark.slow
def test_commands_copied_from_the_first_screen_of_the_readme_train(tmp_path, monkeypatch):
    """For two epochs each: test_tutorials.py and starting/test_new.py train them whole."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"):
        for words in first_screen():
            short = ("--set", "training.epochs=2") if words[0] == "run" else ()
            assert call(monkeypatch, *words, *short) == 0, words
    runs = sorted(path.parent for path in tmp_path.rglob("result.json"))
    assert len(runs) >= 2
    # Far better than guessing one of ten.
    assert min(imctrain.load_run(run).result.test_accuracy for run in runs) > 0.5
