"""Which signals ask a training to stop, and which of them stop it at once."""

from __future__ import annotations

import os
import signal

import pytest

from imctrain.output import Guarded
from imctrain.training.signals import Interrupted, StopRequest


def raised(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_ask_and_the_handlers_before_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.number is None
        raised(number)
        assert stop.number == number
    assert signal.getsignal(number) == before
    assert Interrupted(number).code == 128 + number


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            raised(signal.SIGHUP)
            assert stop.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_warnings_never_stop_what_is_being_saved():
    with StopRequest() as stop:
        raised(signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1)
        assert stop.number == signal.SIGUSR1
        raised(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        raised(signal.SIGUSR1)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            raised(signal.SIGTERM)


def test_a_reader_that_has_gone_asks_to_stop():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream, StopRequest() as stop:
        guarded = Guarded(stream)
        guarded.write("a line\n")
        guarded.flush()
        assert stop.number == signal.SIGPIPE
