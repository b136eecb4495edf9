"""Callbacks hear what a run writes of itself, and none can stop it."""

from __future__ import annotations

import json

import pytest

import imctrain
from imctrain.errors import UserError
from imctrain.settings import Config, config_hash
from imctrain.sweep.trial import trial_key
from imctrain.tracking import Callback, Callbacks, check_installed

SMALL = ["training.epochs=2", "data.train_limit=256", "data.test_limit=100", "imc.path=float", "training.log_every=2"]


class Heard(Callback):
    def __init__(self):
        self.calls = []

    def on_start(self, config, folder, step):
        self.calls.append(("start", folder.name, step))

    def on_log(self, step, values, sites):
        self.calls.append(("log", step, dict(values), dict(sites)))

    def on_epoch(self, epoch, step, values):
        self.calls.append(("epoch", epoch, step, dict(values)))

    def on_end(self, result):
        self.calls.append(("end", result.test_accuracy))

    def on_stop(self, error):
        self.calls.append(("stop", type(error).__name__))


class Failing(Callback):
    def on_log(self, step, values, sites):
        raise ConnectionError("no\n  network")


def test_a_callback_that_fails_is_told_once_and_the_others_go_on():
    said, heard = [], Heard()
    callbacks = Callbacks([Failing(), heard], said.append)
    for step in (1, 2):
        callbacks.line({"kind": "train", "step": step, "epoch": 1, "loss": 0.5, "sites": {}})
    assert said == [
        "warning: Failing failed and is told no more (ConnectionError: no network); training goes on",
    ]
    assert [call[:2] for call in heard.calls] == [("log", 1), ("log", 2)]


def test_one_that_asks_for_the_end_of_the_process_does_not_get_it():
    class Exits(Callback):
        def on_start(self, config, folder, step):
            raise SystemExit(3)

    said = []
    Callbacks([Exits()], said.append).start(Config(), None, 0)
    assert len(said) == 1
    with pytest.raises(KeyboardInterrupt):
        Callbacks([Interrupting()]).stop(ValueError())


class Interrupting(Callback):
    def on_stop(self, error):
        raise KeyboardInterrupt


def test_values_that_are_no_finite_numbers_are_left_out():
    heard = Heard()
    record = {"kind": "train", "step": 3, "epoch": 1, "loss": float("nan"), "accuracy": 0.5, "warning": "x"}
    Callbacks([heard]).line(record | {"sites": {"stem:snr_db_forward": 3.0, "stem:range_forward": float("inf")}})
    assert heard.calls == [("log", 3, {"accuracy": 0.5}, {"stem:snr_db_forward": 3.0})]


def test_trackers_are_no_part_of_what_a_trial_is():
    plain, tracked = Config(), Config(tracking={"to": ("wandb",), "project": "mine"})
    assert trial_key(plain) == trial_key(tracked)
    assert config_hash(plain) == config_hash(tracked)


def test_a_tracker_that_is_not_installed_is_an_error_before_the_run(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"wandb is not installed: pip install 'imctrain\[wandb\]'"):
        check_installed(Config(tracking={"to": ("wandb",)}))
    check_installed(Config())


def test_a_training_tells_what_it_writes(tmp_path):
    heard = Heard()
    run = imctrain.train(
        imctrain.load_config("quickstart", SMALL), out=tmp_path / "a", quiet=True, callbacks=[Failing(), heard]
    )
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    lines = [call for call in heard.calls if call[0] in ("log", "epoch")]
    assert heard.calls[0] == ("start", "a", 0)
    assert heard.calls[-1] == ("end", run.result.test_accuracy)
    assert len(lines) == len(rows) > 4
    for call, row in zip(lines, rows, strict=True):
        values = call[2] if call[0] == "log" else call[3]
        assert {key: row[key] for key in values} == values
        assert {"loss", "accuracy"} <= set(values)
        assert (call[1] if call[0] == "log" else call[2]) == row["step"]


@pytest.mark.slow
def test_callbacks_change_no_bit_and_compile_nothing(tmp_path):
    import jax

    settings = [*SMALL, "imc.path=auto", "imc.adc.range_policy=per_site"]
    compiled = []
    listening = {"on": None}
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(listening["on"]) if "backend_compile" in event else None
    )
    results = {}
    for name, callbacks in (("first", []), ("without", []), ("with", [Heard()])):
        listening["on"] = name
        run = imctrain.train(
            imctrain.load_config("quickstart", settings), out=tmp_path / name, quiet=True, callbacks=callbacks
        )
        timing = {"images_per_second", "seconds"}
        rows = (json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        results[name] = [{key: value for key, value in row.items() if key not in timing} for row in rows]
        assert run.result is not None
    assert results["with"] == results["without"]
    assert compiled.count("with") == compiled.count("without")


@pytest.mark.slow
def test_a_stopped_training_tells_so_and_goes_on_at_its_step(tmp_path):
    from rich.console import Console

    from imctrain.experiment.run import Place, resume

    class Stops(Heard):
        def on_log(self, step, values, sites):
            super().on_log(step, values, sites)
            if step == 6:
                raise KeyboardInterrupt

    heard = Stops()
    settings = [*SMALL, "checkpoint.every_steps=2"]
    with pytest.raises(KeyboardInterrupt):
        imctrain.train(
            imctrain.load_config("quickstart", settings), out=tmp_path / "run", quiet=True, callbacks=[heard]
        )
    assert heard.calls[-1] == ("stop", "KeyboardInterrupt")
    again = Heard()
    resume(tmp_path / "run", Console(quiet=True), Place(), callbacks=[again])
    assert again.calls[0] == ("start", "run", 4)
    assert again.calls[-1][0] == "end"
