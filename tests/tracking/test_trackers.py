"""Trackers: the calls that they make, against modules that note them; and the packages, where they are installed."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

import imctrain
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.tracking import Callbacks, callbacks_of
from imctrain.training.signals import Interrupted

SMALL = ["training.epochs=2", "data.train_limit=256", "data.test_limit=100", "imc.path=float", "training.log_every=2"]
TRAIN = {"kind": "train", "step": 2, "epoch": 1, "loss": 0.5, "sites": {"a/dot#2:snr_db_forward": 9.0}}
EPOCH = {"kind": "epoch", "step": 4, "epoch": 1, "loss": 0.4, "test_accuracy": 0.75}


class Result:
    """What trackers read of a result."""

    steps = 4

    def plain(self):
        return {"test_accuracy": 0.75, "path": "float", "sites": {}}


class Noted:
    """Notes every call of every name, and gives itself."""

    def __init__(self, calls, path=""):
        self.__dict__.update(calls=calls, path=path)

    def __getattr__(self, name):
        return Noted(self.calls, f"{self.path}.{name}".strip("."))

    def __call__(self, *args, **kwargs):
        self.calls.append((self.path, args, kwargs))
        return self


def told(tmp_path: Path, name: str, say=lambda text: None) -> Callbacks:
    config = Config(tensorboard=False, tracking={"to": (name,), "project": "mine"})
    callbacks = callbacks_of(config, RunFiles(tmp_path), (), say)
    callbacks.start(config, tmp_path, 0)
    return callbacks


def whole_run(tmp_path, name, say=lambda text: None):
    callbacks = told(tmp_path, name, say)
    callbacks.line(TRAIN)
    callbacks.line(EPOCH)
    callbacks.end(Result())


@pytest.fixture
def wandb_calls(monkeypatch):
    calls = []
    fake = types.ModuleType("wandb")
    fake.Settings = lambda **settings: settings
    fake.init = Noted(calls, "init")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return calls


def test_what_wandb_is_told(tmp_path, wandb_calls):
    whole_run(tmp_path, "wandb")
    init, first, second, summary, finish = wandb_calls
    assert (init[2]["project"], init[2]["resume"], init[2]["name"]) == ("mine", "allow", tmp_path.name)
    assert init[2]["config"]["training"]["epochs"] == 10
    assert init[2]["settings"]["console"] == "off"
    assert first[1:] == (({"train/loss": 0.5, "sites/a/dot#2:snr_db_forward": 9.0},), {"step": 2})
    assert second[1:] == (({"epoch": 1, "epoch/loss": 0.4, "epoch/test_accuracy": 0.75},), {"step": 4})
    assert summary[:2] == ("init.summary.update", ({"test_accuracy": 0.75, "path": "float"},))
    assert finish == ("init.finish", (), {})


def test_a_resumed_run_is_the_same_run_of_wandb(tmp_path, wandb_calls):
    told(tmp_path, "wandb").stop(Interrupted(2))
    whole_run(tmp_path, "wandb")
    inits = [call[2]["id"] for call in wandb_calls if call[0] == "init"]
    assert len(inits) == 2
    assert len(set(inits)) == 1
    assert json.loads(RunFiles(tmp_path).tracking.read_text()) == {"wandb": inits[0]}
    assert ("init.finish", (), {"exit_code": 1}) in wandb_calls
    # A damaged file is another run there, and no error here.
    RunFiles(tmp_path).tracking.write_text("{")
    whole_run(tmp_path, "wandb")
    assert [call[2]["id"] for call in wandb_calls if call[0] == "init"][-1] != inits[0]


class Client:
    """A client of mlflow that notes its calls."""

    calls: list

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            if name == "get_experiment_by_name":
                return None
            if name == "create_run":
                return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
            return "e1"

        return call


@pytest.fixture
def mlflow_calls(monkeypatch):
    calls = []
    fake, entities = types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    fake.MlflowClient = type("MlflowClient", (Client,), {"calls": calls})
    entities.Metric = lambda key, value, timestamp, step: (key, value, step)
    entities.Param = lambda key, value: (key, value)
    fake.entities = entities
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    for key in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(key, "1")
    return calls


def test_what_mlflow_is_told(tmp_path, mlflow_calls):
    whole_run(tmp_path, "mlflow")
    names = [name for name, *_ in mlflow_calls]
    assert names[:3] == ["get_experiment_by_name", "create_experiment", "create_run"]
    assert mlflow_calls[2][1:] == (("e1",), {"run_name": tmp_path.name})
    logged = [kwargs for name, _, kwargs in mlflow_calls if name == "log_batch"]
    settings = dict(param for kwargs in logged for param in kwargs.get("params", ()))
    assert settings["training.epochs"] == "10"
    assert all(len(kwargs.get("params", ())) <= 100 for kwargs in logged)
    metrics = [metric for kwargs in logged for metric in kwargs.get("metrics", ())]
    assert metrics == [
        ("train/loss", 0.5, 2),
        ("sites/a/dot_2/snr_db_forward", 9.0, 2),
        ("epoch/loss", 0.4, 4),
        ("epoch/test_accuracy", 0.75, 4),
        ("result/test_accuracy", 0.75, 4),
    ]
    assert mlflow_calls[-1] == ("set_terminated", ("r1", "FINISHED"), {})


def test_a_resumed_run_is_the_same_run_of_mlflow(tmp_path, mlflow_calls):
    told(tmp_path, "mlflow").stop(Interrupted(2))
    assert mlflow_calls[-1] == ("set_terminated", ("r1", "KILLED"), {})
    told(tmp_path, "mlflow").stop(ValueError())
    assert mlflow_calls[-1] == ("set_terminated", ("r1", "FAILED"), {})
    assert [name for name, *_ in mlflow_calls].count("create_run") == 1
    assert ("update_run", ("r1",), {"status": "RUNNING"}) in mlflow_calls


def test_a_tracker_without_a_network_costs_one_line(tmp_path, wandb_calls, monkeypatch):
    def unreachable(**_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(sys.modules["wandb"], "init", unreachable)
    said = []
    whole_run(tmp_path, "wandb", said.append)
    assert said == ["warning: Wandb failed and is told no more (ConnectionError: no route to host); training goes on"]


@pytest.mark.slow
def test_wandb_itself_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = imctrain.load_config("quickstart", [*SMALL, 'tracking.to=["wandb"]'])
    said = printed(config, tmp_path)
    assert "failed" not in said, said
    kept = json.loads(RunFiles(tmp_path / "run").tracking.read_text())["wandb"]
    (file,) = (tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{kept}.wandb")
    assert b"test_accuracy" in file.read_bytes()


@pytest.mark.slow
def test_mlflow_itself_in_files(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    config = imctrain.load_config("quickstart", [*SMALL, 'tracking.to=["mlflow"]'])
    said = printed(config, tmp_path)
    assert "failed" not in said, said
    kept = json.loads(RunFiles(tmp_path / "run").tracking.read_text())["mlflow"]
    client = mlflow.MlflowClient()
    run = client.get_run(kept)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params["training.epochs"] == "2"
    assert run.data.metrics["result/test_accuracy"] == imctrain.load_run(tmp_path / "run").result.test_accuracy
    assert len(client.get_metric_history(kept, "train/loss")) == 4


def printed(config, tmp_path) -> str:
    """What a training of this config prints."""
    import io

    from rich.console import Console

    from imctrain.experiment.run import Place, start

    text = io.StringIO()
    start(config, tmp_path / "run", tmp_path, Console(file=text, width=200), Place())
    return text.getvalue()
