"""Networks and optimizers that users wrote train, continue, and are opened again, as built-in ones are."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from run_tools import assert_same_bits, call

import imctrain
from imctrain.errors import UserError
from imctrain.experiment.export import export_run
from imctrain.experiment.own_sources import sources_of
from imctrain.settings import Config, config_hash
from imctrain.settings.experiment import ModelConfig
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.trial import Trial
from imctrain.training.network import Network

NETS = """
import jax
import jax.numpy as jnp
from flax import nnx

from blocks import Block


class Net(nnx.Module):
    def __init__(self, *, shape, classes, rngs, hidden=16):
        self.block = Block(shape[0] * shape[1] * shape[2], hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, x):
        return self.head(self.block(x.reshape(len(x), -1)))


class Recurrent(nnx.Module):
    def __init__(self, *, shape, classes, rngs, cell="LSTMCell"):
        self.rnn = nnx.RNN(getattr(nnx, cell)(shape[1] * shape[2], 16, rngs=rngs))
        self.head = nnx.Linear(16, classes, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(x.reshape(len(x), x.shape[1], -1))[:, -1])


class Attention(nnx.Module):
    def __init__(self, *, shape, classes, rngs):
        self.embed = nnx.Linear(shape[1] * shape[2], 16, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 16, dropout_rate=0.1, decode=False, rngs=rngs)
        self.head = nnx.Linear(16, classes, rngs=rngs)

    def __call__(self, x, deterministic):
        x = self.embed(x.reshape(len(x), x.shape[1], -1))
        return self.head(self.attention(x, deterministic=deterministic).mean(1))


def wrong(shape, classes, rngs):
    return nnx.Linear(shape[-1], 7, rngs=rngs)


def no_module(shape):
    return "a network"


class Growing(nnx.Module):
    def __init__(self, *, shape, classes, rngs):
        self.head = nnx.Linear(shape[0] * shape[1] * shape[2], classes, rngs=rngs)

    def __call__(self, x):
        self.seen = nnx.BatchStat(jnp.ones(3))
        return self.head(x.reshape(len(x), -1))


class Spelled(nnx.Module):
    def __init__(self, *, shape, classes, rngs):
        self.w = nnx.Param(jnp.zeros((shape[0] * shape[1] * shape[2], classes)))

    def __call__(self, x):
        return (x.reshape(len(x), -1, 1) * self.w).sum(1)


class Broken(Growing):
    def __call__(self, x):
        return self.head(x)
"""
BLOCKS = """
import jax
from flax import nnx


class Block(nnx.Module):
    def __init__(self, inputs, outputs, *, rngs):
        self.linear = nnx.Linear(inputs, outputs, rngs=rngs)
        self.norm = nnx.BatchNorm(outputs, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x):
        return self.drop(jax.nn.relu(self.norm(self.linear(x))))
"""
OPTIMIZERS = """
import optax


def make(learning_rate, steps):
    noise = optax.add_noise(1e-6, 0.55, 0)
    lion = optax.lion(lambda step: 0.1 * learning_rate(step))
    return optax.chain(noise, lion, optax.contrib.reduce_on_plateau(patience=steps))


def searching(learning_rate):
    return optax.lbfgs()


def nothing():
    return 3
"""
CONFIG = """
name = "own"
imc.path = "float"
data = { name = "digits", batch_size = 32, eval_batch_size = 180, train_limit = 256, test_limit = 180 }
model = { name = "nets.py:Net", arguments.hidden = 12 }
training = { epochs = 2, optimizer = "opt.py:make", learning_rate = 0.1 }
checkpoint = { every_steps = 5 }
"""
SHAPE = (8, 8, 1)


def write(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in (("nets.py", NETS), ("blocks.py", BLOCKS), ("opt.py", OPTIMIZERS), ("own.toml", CONFIG)):
        (folder / name).write_text(text)
    return folder / "own.toml"


def network(folder: Path, name: str, **arguments) -> Network:
    write(folder)
    config = Config(model=ModelConfig(name=f"nets.py:{name}"))
    source = sources_of(config, folder)["model"]
    return Network(
        config.model.name,
        shape=SHAPE,
        classes=10,
        width=None,
        seed=0,
        abstract=True,
        source=source,
        arguments=arguments,
    )


@pytest.fixture(scope="module", autouse=True)
def _as_users_have_it() -> Iterator[None]:
    """Layers of flax and optimizers of optax mix dtypes, which tests of this project do not."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run whose originals are gone."""
    folder = tmp_path_factory.mktemp("own")
    config = write(folder / "source")
    imctrain.train(config, out=folder / "run", quiet=True)
    shutil.rmtree(folder / "source")
    return folder / "run"


@pytest.fixture
def stopped(tmp_path, trained) -> Path:
    """The run as if it had been stopped after 15 of its 16 steps."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    (out / "result.json").unlink()
    shutil.rmtree(out / "checkpoints" / "16")
    return out


def test_hashes_of_built_in_configs_are_what_they_were():
    """Before there was a key `model.arguments`, and a table [tracking]."""
    content = Config().model_dump(mode="json")
    assert content.pop("tracking") == {"to": [], "project": "imctrain"}
    assert content["model"].pop("arguments") == {}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert config_hash(Config()) == hashlib.sha256(canonical.encode()).hexdigest()
    other = Config(model=ModelConfig(arguments={"depth": 3}))
    assert config_hash(other) != config_hash(Config())


@pytest.mark.slow
def test_a_run_is_opened_when_its_originals_are_gone(trained):
    run = imctrain.load_run(trained)
    assert run.result is not None
    assert set(run.result.code) == {"model.code", "training.optimizer.code"}
    images = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    logits = run.module(images)
    assert logits.shape == (4, 10)
    # Set to evaluate: dropout would draw anew.
    np.testing.assert_array_equal(logits, run.module(images))


def test_dropout_and_batch_statistics_move_in_training(trained):
    from run_tools import state

    early, late = state(trained, 15), state(trained)
    counts = [name for name in late if name.startswith("rest/") and "count" in name]
    means = [name for name in late if name.startswith("rest/") and "/mean" in name]
    assert counts
    assert means
    assert all((late[name] > early[name]).any() for name in counts)
    assert all((late[name] != early[name]).any() for name in means)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(stopped, trained, monkeypatch):
    assert call(monkeypatch, "run", "--resume", stopped) == 0
    assert_same_bits(stopped, trained)


@pytest.mark.parametrize(
    ("file", "key", "remedy"),
    [
        ("code/model/blocks.py", "model.code", "model.code cannot change within one"),
        ("code/optimizer/opt.py", "training.optimizer.code", "--accept-changes training.optimizer.code"),
    ],
)
def test_changed_code_is_refused_on_resume(stopped, monkeypatch, capsys, file, key, remedy):
    with (stopped / file).open("a") as stream:
        stream.write("# changed\n")
    assert call(monkeypatch, "run", "--resume", stopped) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{key} SHA-256 " in error
    assert remedy in error
    if key == "model.code":
        with pytest.raises(UserError, match="has changed"):
            _ = imctrain.load_run(stopped).module


def test_an_export_holds_its_network(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    export_run(copy, tmp_path / "own.npz")
    images = np.ones((2, *SHAPE), np.float32)
    expected = imctrain.load_run(copy).module(images)
    shutil.rmtree(copy)
    found = imctrain.load_export(tmp_path / "own.npz")
    assert sorted(found.manifest.code) == ["blocks.py", "nets.py"]
    np.testing.assert_array_equal(found.module(images), expected)


def test_sweeps_know_code_by_its_content(tmp_path):
    a, b = (imctrain.load_config(write(tmp_path / name)) for name in "ab")
    sweep = SweepFolder(tmp_path / "sweep")
    (key,) = sweep.add("s", [Trial(a)], tmp_path / "a")
    assert sweep.key(b, tmp_path / "b") == key
    kept = sources_of(sweep.config(key), sweep.path)
    assert sorted(kept["model"].files) == ["blocks.py", "nets.py"]
    (tmp_path / "b" / "blocks.py").write_text(BLOCKS.replace("0.2", "0.3"))
    assert sweep.key(b, tmp_path / "b") != key


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("wrong", {}, r"given images float32 \[2, 8, 8, 1\] .* returned float32 \[2, 8, 8, 7\]: .*float32 \[2, 10\]"),
        ("no_module", {}, "it returned builtins's str: return a flax nnx module"),
        ("Growing", {}, "changes the form of its state: seen(/value)? is missing before and float32 .3. after"),
        ("Broken", {}, r"given images \[2, 8, 8, 1\]: nets.py, line \d+, in __call__ \(`return self.head\(x\)`\)"),
        ("Net", {"hiden": 3}, r"model.arguments.hiden is not possible \(did you mean hidden\?\)"),
    ],
)
def test_a_network_that_does_not_fit_is_told_with_its_input(tmp_path, name, arguments, says):
    with pytest.raises(UserError, match=says):
        network(tmp_path, name, **arguments)


@pytest.mark.parametrize("name", ["Recurrent", "Attention", "Net"])
def test_kinds_of_networks_have_both_modes(tmp_path, name):
    made = network(tmp_path, name)
    images = jax.ShapeDtypeStruct((3, *SHAPE), np.float32)
    assert jax.eval_shape(made.train_forward, made.params, made.rest, images)[0].shape == (3, 10)
    assert jax.eval_shape(made.eval_forward, made.params, made.rest, images).shape == (3, 10)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("opt.py:nothing", "it returned int: return an optax.GradientTransformation"),
        ("opt.py:searching", "training.optimizer = 'opt.py:searching': TypeError: .*value_fn"),
        ("lion", "training.optimizer = 'lion' is not possible: allowed is sgd, adam, adamw, or FILE.py:NAME"),
    ],
)
def test_an_optimizer_that_cannot_be_used_is_told(tmp_path, monkeypatch, capsys, name, says):
    config = write(tmp_path)
    assert call(monkeypatch, "run", "-c", config, "--set", f"training.optimizer={name}", "-o", tmp_path / "x") == 2
    assert re.search(says, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Recurrent", "Attention", "Net"])
def test_every_command_takes_an_own_network_on_the_array(tmp_path, monkeypatch, capsys, model):
    config = write(tmp_path)
    # Of the recurrent cells the one with the fewest sites.
    arguments = '{ cell = "SimpleCell" }' if model == "Recurrent" else "{}"
    settings = ("imc.path=exact", f"model.name=nets.py:{model}", f"model.arguments={arguments}")
    options = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "run"
    assert call(monkeypatch, "run", "-c", config, *options, "--set", "baseline=true", "-o", run) == 0
    assert call(monkeypatch, "inspect", "-c", config, *options) == 0
    assert call(monkeypatch, "cost", "-c", config, *options) == 0
    shutil.move(tmp_path / "nets.py", tmp_path / "gone")
    assert call(monkeypatch, "cost", "--run", run) == 0
    assert call(monkeypatch, "evaluate", run, "--dies", "2") == 0
    assert call(monkeypatch, "export", run, "--out", tmp_path / "net.npz") == 0
    shutil.move(tmp_path / "gone", tmp_path / "nets.py")
    assert (
        call(monkeypatch, "run", "-c", config, *options, "--init", tmp_path / "net.npz", "-o", tmp_path / "tuned") == 0
    )
    assert json.loads((tmp_path / "tuned" / "result.json").read_text())["init"]["fresh_sites"] == []
    assert call(monkeypatch, "report", tmp_path) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "model.name=nets.py:Spelled", "--set", "model.arguments={}"), "no matmul or convolution (products"),
        (("--set", 'imc.rules=[{match="*", path="float"}]'), "leaves every site digital (block/linear, head)"),
    ],
)
def test_a_run_with_nothing_on_the_array_is_refused(tmp_path, monkeypatch, capsys, more, said):
    """Its result would be called analog."""
    config = write(tmp_path)
    command = ("run", "-c", config, "--set", "imc.path=exact", *more, "--out", tmp_path / "run")
    assert call(monkeypatch, *command) == 2
    error = capsys.readouterr().err
    assert said in error
    assert 'set imc.path = "float"' in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_gate_of_a_cell_is_on_the_array(tmp_path, monkeypatch, capsys):
    settings = ("imc.path=exact", "model.name=nets.py:Recurrent", "model.arguments={}")
    options = [part for setting in settings for part in ("--set", setting)]
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), *options, "--json") == 0
    sites = {site["site"]: site["path"] for site in json.loads(capsys.readouterr().out)["sites"]}
    assert len(sites) == 8 + 1, sites
    assert set(sites.values()) == {"exact"}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_sweep_trains_an_own_network_in_processes(tmp_path, monkeypatch, executor):
    monkeypatch.setenv("JAX_NUMPY_DTYPE_PROMOTION", "standard")
    write(tmp_path)
    (tmp_path / "s.sweep.toml").write_text(
        'config = "own.toml"\nreferences = []\nset = { "training.epochs" = 1 }\n'
        '[axes]\n"model.arguments.hidden" = [4, 8]\n'
    )
    out = tmp_path / "out"
    sweep = tmp_path / "s.sweep.toml"
    assert call(monkeypatch, "sweep", "file", sweep, "--out", out, "--executor", executor, "--jobs", "2") == 0
    shutil.rmtree(out / "code")
    found = [imctrain.load_run(path) for path in sorted((out / "trials").iterdir())]
    assert sorted(run.config.model.arguments["hidden"] for run in found) == [4, 8]
    assert all(run.result is not None for run in found)
