"""Tutorials run as they stand: their commands end well, and print what the pages show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import jax
import pytest
from pages import commands, fences, missing, others, walk
from run_tools import call

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted(path for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.name != "index.md")
# It trains the quickstart, which is computing more than compiling.
LONG = [pytest.param(page, marks=pytest.mark.as_users) if page.stem == "first-run" else page for page in TUTORIALS]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])


@pytest.mark.slow
@pytest.mark.parametrize("page", LONG, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_stands(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMCTRAIN_CACHE", str(tmp_path / "cache"))
    # As in a checkout: a tutorial may name a shipped file.
    for name in ("experiments", "calibration"):
        (tmp_path / name).symlink_to(ROOT / name)

    def run(words: list[str]) -> str:
        assert call(monkeypatch, *words) == 0, f"imctrain {shlex.join(words)}: {capsys.readouterr().err}"
        return capsys.readouterr().out

    with jax.numpy_dtype_promotion("standard"):
        assert walk(page, tmp_path, run) == []


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_has_only_commands_that_are_run(page):
    shown = fences(page)
    assert any(fence.kind == "sh" for fence in shown)
    for fence in shown:
        if fence.kind == "sh":
            assert others(fence) == []


def _command_lines(page: Path) -> list[list[str]]:
    """Arguments of `imctrain` in the code of a page: in fences, and in indented code."""
    found = [words for fence in fences(page) if fence.kind == "sh" for words in commands(fence)]
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    # Words on a command stand behind a comment's sign or wide space; they may hold an apostrophe.
    lines = [re.split(r" #| {3,}", line)[0] for line in re.findall(r"^(?: {4}|\t)(imctrain [^\n]*)$", text, re.M)]
    return found + [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_pages_have_options_that_exist(page):
    import typer

    from imctrain.cli import app

    root = typer.main.get_command(app)
    for words in _command_lines(page):
        command, rest = root, list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {
            "--help",
            "-h",
        }
        asked = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
        assert [word for word in asked if word not in known] == [], words


def test_lines_that_nobody_printed_are_found():
    assert missing("epoch 1/3: 97.2 %\nnever", "x\n epoch 2/3:  96 %\n") == ["never"]
