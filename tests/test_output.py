"""What happens to a process whose reader goes away."""

from __future__ import annotations

import os
import signal

import pytest

from imctrain.output import Guarded, listen, unlisten


@pytest.fixture
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    yield stream
    # What is left in the buffer has somewhere to go, or pytest tells of an error in a destructor.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, writer)
    os.close(null)
    stream.close()


def print_to(stream):
    stream.write("a line\n")
    stream.flush()


def test_without_a_listener_a_closed_pipe_is_an_error(closed_pipe):
    with pytest.raises(BrokenPipeError):
        print_to(Guarded(closed_pipe))


def test_a_listener_is_told_once_and_the_rest_is_printed_to_nowhere(closed_pipe):
    told = []
    listen(told.append)
    try:
        for _ in range(3):
            print_to(Guarded(closed_pipe))
    finally:
        unlisten(told.append)
    assert told == [signal.SIGPIPE]


def test_what_an_encoding_cannot_say_is_escaped(tmp_path):
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        Guarded(stream).write("caf\u00e9 \udcff\n")
    assert path.read_text() == "caf\\xe9 \\udcff\n"
