"""What a person sees in a terminal of 80 columns; what help says of flags."""

from __future__ import annotations

import io
import re

import pytest
from run_tools import call
from typer.main import get_command

from imctrain.cli import app
from imctrain.cli.inspect import LEGEND
from imctrain.cli.terminal import Terminal
from imctrain.training.progress import BAR, TrainingProgress

VALUES = {"loss": 2.3408, "accuracy": 0.082, "images_per_second": 158.0, "clipped": 0.0026, "worst_snr_db": -60.0}


def screen(width, terminal=True):
    stream = io.StringIO()
    return Terminal(file=stream, force_terminal=terminal, width=width, highlight=False, color_system=None), stream


def plain(stream):
    """Lines without the codes that move a cursor."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_live_line_of_a_run_keeps_its_words_and_its_bar(width):
    console, stream = screen(width)
    with TrainingProgress(console, "resnet20 (exact)", 30000, 391) as progress:
        progress.step(15000, VALUES)
        progress.step(15001, VALUES)
    live = [line for line in plain(stream) if "epoch 39/77" in line]
    assert live
    for line in live:
        assert len(line) <= width
        assert "\u2026" not in line
        assert line.count("\u2501") + line.count("\u2578") >= BAR // 2
        note = re.search(r"1500[01]/30000 (.*?) [-\d:]+\s*$", line)
        assert note
        whole = ["loss 2.3408", "accuracy 8.2%", "158 images/s", "clipped 0.26%", "worst SNR -60.0 dB"]
        assert [part for part in note[1].strip().split(", ") if part] == whole[
            : note[1].count(",") + bool(note[1].strip())
        ]


def test_lines_wrap_between_words_for_a_person_and_stay_whole_in_a_pipe():
    line = "warning: " + "column offsets add up to more than what is read " * 4
    for terminal in (True, False):
        console, stream = screen(80, terminal)
        console.print(line, markup=False, soft_wrap=True)
        lines = stream.getvalue().splitlines()
        assert " ".join(" ".join(lines).split()) == " ".join(line.split())
        assert (len(lines) > 1 and max(map(len, lines)) <= 80) if terminal else len(lines) == 1


def commands(command, path="imctrain"):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def test_a_flag_shows_no_value():
    for path, command in commands(get_command(app)):
        context = command.make_context(path, [], resilient_parsing=True)
        for param in command.get_params(context):
            if getattr(param, "is_flag", False):
                assert param.metavar == "", f"{path} {param.name}"


def test_help_of_a_flag(monkeypatch, capsys):
    assert call(monkeypatch, "report", "--help") == 0
    text = capsys.readouterr().out
    assert "<bool>" not in text
    assert re.search(r"--force +Overwrite", text)


def test_every_short_column_of_inspect_is_explained():
    for column in ("size", "T", "P", "J", "conv.", "cells", "R", "SNR", "uJ"):
        assert f"{column}: " in LEGEND
