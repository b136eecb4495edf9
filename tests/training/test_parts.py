"""The parts of training: checkpoints, metrics, schedule, progress, divergence, summaries, signals."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import shutil
import signal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from imc_sites import ACTIVATION, MATMUL, WEIGHT
from rich.console import Console

from imctrain.errors import UserError
from imctrain.imc.site.site import make_site
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import AdcSpec, ArraySpec, Hardware, TrainingConfig
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.divergence import Health, find, health
from imctrain.training.metrics import MetricsLog, read_metrics, truncate_metrics
from imctrain.training.optimizer import learning_rate, make_optimizer
from imctrain.training.position import Clock, Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.signals import StopRequest
from imctrain.training.sites import SiteSummary, flatten_reports


def test_checkpoints_keep_the_last_two_and_the_best_evaluated(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, accuracy in [(1, 0.5), (2, 0.9), (3, None), (4, 0.7), (5, None), (6, 0.8)]:
        checkpoints.save(step, {"w": np.full(3, step, np.float32)}, {"epoch": step}, accuracy)
    assert checkpoints._manager.all_steps() == [2, 5, 6]
    state, position = checkpoints.restore({"w": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(state["w"], np.full(3, 6, np.float32))
    assert position == {"epoch": 6}
    checkpoints.close()


def test_the_best_is_kept_by_a_process_that_goes_on(tmp_path):
    for first, accuracies in ((1, [0.9, 0.5]), (3, [0.6, 0.7, 0.8])):
        checkpoints = Checkpoints(tmp_path)
        for step, accuracy in enumerate(accuracies, first):
            checkpoints.save(step, {"w": np.full(3, step, np.float32)}, {"epoch": step}, accuracy)
        checkpoints.close()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps == [1, 4, 5]
    assert checkpoints.read(1).position == {"epoch": 1}
    checkpoints.close()


def test_what_a_killed_save_left_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"w": np.ones(3, np.float32)}, {"epoch": 1}, None)
    checkpoints.close()
    (tmp_path / "2.orbax-checkpoint-tmp-0").mkdir()
    again = Checkpoints(tmp_path)
    assert again.latest == 1
    again.close()


def damage(file, how):
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "a bit flipped":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content))}[how])


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        state = {"w": np.arange(1000, dtype=np.float32) * step, "key": np.uint32(step)}
        checkpoints.save(step, state, {"epoch": step}, None, {"config": {"seed": step}})
    checkpoints.close()
    return folder


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "zeros", "a bit flipped"])
def test_whatever_file_of_the_newest_checkpoint_is_damaged_the_one_before_is_taken(tmp_path, two_checkpoints, how):
    files = sorted(path for path in (two_checkpoints / "2").rglob("*") if path.is_file())
    assert len(files) > 8  # orbax's own, of all kinds, and the list of them
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(two_checkpoints, folder)
        damage(folder / file.relative_to(two_checkpoints), how)
        checkpoints = Checkpoints(folder)
        found = checkpoints.newest()
        assert (found.step, list(found.damaged), found.position) == (1, [2], {"epoch": 1}), file
        assert found.about == {"config": {"seed": 1}}
        assert file.name in found.damaged[2]
        np.testing.assert_array_equal(found.arrays["w"], np.arange(1000, dtype=np.float32))
        checkpoints.close()


def test_damaged_checkpoints_are_set_aside_and_saved_again(tmp_path, two_checkpoints):
    folder = tmp_path / "checkpoints"
    shutil.copytree(two_checkpoints, folder)
    (folder / "3").mkdir()
    checkpoints = Checkpoints(folder)
    found = checkpoints.newest()
    assert (found.step, found.damaged) == (2, {3: "it is empty"})
    checkpoints.set_aside([3])
    assert checkpoints.steps == [1, 2]
    checkpoints.save(3, {"w": np.ones(2, np.float32)}, {"epoch": 3}, None)
    assert checkpoints.newest().step == 3
    for step in (1, 2, 3):
        (folder / str(step) / "position" / "metadata").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"can be read \(step 3: position/metadata is missing; step 2: .* from a copy"):
        checkpoints.newest()
    assert checkpoints.steps[-1] == 3
    with pytest.raises(UserError, match=r"checkpoint 3 in .* is damaged \(position/metadata is missing\)"):
        checkpoints.restore({"w": np.ones(2, np.float32)}, 3)
    checkpoints.close()


def test_metrics_are_appended_and_cut_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (2, 4, 6):
        log.write({"kind": "train", "step": step, "epoch": 1, "loss": math.nan, "sites": {"a": math.inf}})
    log.write({"kind": "epoch", "step": 6, "epoch": 1})
    log.close()
    assert read_metrics(path)[0] == {"kind": "train", "step": 2, "epoch": 1, "loss": None, "sites": {"a": None}}
    with path.open("a") as stream:
        stream.write('{"kind": "train", "step": 8')
    # A checkpoint at step 6 of an epoch that was not evaluated yet: its line is written again.
    truncate_metrics(path, 6, 0)
    assert [(r["kind"], r["step"]) for r in read_metrics(path)] == [("train", 2), ("train", 4), ("train", 6)]
    truncate_metrics(path, 5, 0)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4]


@pytest.mark.parametrize("name", ["cosine", "linear", "constant"])
def test_the_learning_rate_warms_up_peaks_and_ends(name):
    config = TrainingConfig(epochs=10, learning_rate=0.2, warmup_epochs=2.0, schedule=name)
    rate = learning_rate(config, 5)
    values = [float(rate(jnp.float32(step))) for step in range(51)]
    np.testing.assert_allclose(values[:11], np.linspace(0, 0.2, 11), rtol=1e-5)
    assert max(values) == pytest.approx(0.2)
    assert values[50] == pytest.approx(0.2 if name == "constant" else 0.0, abs=1e-8)
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values[10:]))


def test_decay_and_momentum_are_those_of_the_formula():
    config = TrainingConfig(
        epochs=1, learning_rate=0.1, momentum=0.5, nesterov=False, weight_decay=0.01, schedule="constant"
    )
    optimizer = make_optimizer(config, 10)
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 3.0)}
    gradient = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    for expected in ({"kernel": 1.03, "bias": 1.0}, None):
        updates, state = optimizer.update(gradient, state, params)
        if expected is not None:
            for name, value in expected.items():
                np.testing.assert_allclose(updates[name], -0.1 * value, rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], -0.1 * 1.5, rtol=1e-6)


def test_the_gradient_is_clipped_before_momentum():
    config = TrainingConfig(epochs=1, learning_rate=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=1.0)
    optimizer = make_optimizer(config, 10)
    params = {"kernel": jnp.zeros((2, 2))}
    updates, _ = optimizer.update({"kernel": jnp.full((2, 2), 100.0)}, optimizer.init(params), params)
    assert float(optax.global_norm(updates)) == pytest.approx(1.0, rel=1e-5)


PARAMETERS = ["first/kernel", "second/kernel"]
GOOD = {"weights": [1.0, 2.0], "gradients": [0.1, 0.2], "forward": [True] * 2, "backward": [True] * 2, "logits": True}


@pytest.mark.parametrize(
    ("changes", "loss", "says"),
    [
        ({}, 2.0, None),
        ({}, 2000.0, None),
        ({}, 3000.0, "guessing has a loss of 2.30; the largest gradient is that of second/kernel (0.2)"),
        ({"weights": [1.0, math.nan]}, math.nan, "parameter second/kernel is not finite"),
        ({"forward": [True, False]}, math.nan, "values first are not finite at site stem, forward"),
        ({"forward": [False, False]}, math.nan, "values first are not finite at site stem, forward"),
        ({"logits": False}, math.nan, "the logits are not finite; the largest weights are those of second/kernel (2)"),
        ({"backward": [True, False]}, 2.0, "values first are not finite at site stem, backward"),
        ({"backward": [False, False]}, 2.0, "values first are not finite at site head, backward"),
        ({"gradients": [math.inf, 1.0]}, 2.0, "the gradient of first/kernel is not finite"),
    ],
)
def test_divergence_is_told_where_it_began(changes, loss, says):
    # Records are in sorted order (head, stem); the program runs stem, then head.
    record = Health(**{key: np.asarray(value) for key, value in (GOOD | changes).items()})
    assert find(record, loss, classes=10, parameters=PARAMETERS, sites=["stem", "head"]) == says


def test_health_tells_forward_from_backward():
    telemetry = {
        "stem": {"mvms": {"forward": {"signal": jnp.float32(1.0)}, "weight_grad": {"signal": jnp.float32(jnp.nan)}}},
        "head": {"mvms": {"forward": {"signal": jnp.float32(jnp.inf)}, "weight_grad": {"signal": jnp.float32(1.0)}}},
    }
    params = {"a": jnp.asarray([1.0, -3.0]), "b": jnp.asarray([jnp.nan, 1.0])}
    record = jax.jit(health)(params, params, telemetry, jnp.ones((1, 2)))
    assert record.forward.tolist() == [False, True]
    assert record.backward.tolist() == [True, False]
    assert record.weights[0] == 3.0
    assert np.isnan(record.weights[1])
    assert bool(record.logits)
    assert jax.jit(health)(params, params, {}, jnp.ones((1, 2))).forward.shape == (0,)


def test_clipping_is_weighted_by_conversions_and_the_worst_site_found():
    def site(name, path, *plans):
        mvms = tuple(SimpleNamespace(name=mvm, conversions=count) for mvm, count in plans)
        return SimpleNamespace(name=name, path=path, mvms=mvms, executions=2)

    sites = [site("a", "exact", ("forward", 100), ("weight_grad", 300)), site("b", "auto", ("forward", 600))]
    summary = SiteSummary(SimpleNamespace(sites=sites))
    reports = {
        "a": {"clipped_forward": 0.1, "clipped_weight_grad": 0.2, "snr_db_forward": 20.0, "snr_db_weight_grad": 9.0},
        "b": {"clipped_forward": 0.0, "snr_db_forward": math.nan, "statistical_forward": 0.25},
    }
    assert summary.clipped(reports) == pytest.approx((100 * 0.1 + 300 * 0.2) / 1000)
    assert summary.worst(reports) == ("a", "weight_grad", 9.0)
    assert summary.statistical(reports) == {"b": {"forward": 0.25}}
    assert "b:snr_db_forward" not in flatten_reports(reports)
    assert math.isnan(SiteSummary(None).clipped({}))
    assert SiteSummary(None).worst({}) is None


def test_a_signal_on_its_floor_is_told_once_and_counted_where_a_checkpoint_keeps_it():
    hardware = Hardware(array=ArraySpec(replicate=False), adc=AdcSpec(range_policy="fixed"))
    site = make_site(SiteSpec("a", 0, MATMUL, (8, 64), (64, 16), jnp.float32, ACTIVATION, WEIGHT, hardware))
    entries = [SimpleNamespace(name=name, path="exact", mvms=site.mvms, executions=1, site=site) for name in "ab"]
    lost = {f"snr_db_{mvm}": -60.0 for mvm in ("forward", "input_grad")} | {"snr_db_weight_grad": 5.0}
    fine = dict.fromkeys(lost, 5.0)
    counts: dict[str, int] = {}
    summary = SiteSummary(SimpleNamespace(sites=entries))
    assert [summary.silence({"a": lost, "b": lost}, counts) for _ in range(2)] == [None, None]
    # Resumed: what is counted goes on with the position. b has recovered for a line and counts from the start.
    summary = SiteSummary(SimpleNamespace(sites=entries))
    text = summary.silence({"a": lost, "b": fine}, counts)
    assert text is not None
    assert "at site a, forward and input_grad: set imc.adc.range_policy = 'per_site'" in text
    told = [summary.silence({"a": lost, "b": lost}, counts) for _ in range(4)]
    assert [line is None for line in told] == [True, True, False, True]
    assert "at site b, forward and input_grad: " in str(told[2])
    assert counts["a:weight_grad"] == 0


def test_plain_lines_are_not_wrapped_and_name_the_right_epoch(monkeypatch):
    monkeypatch.setattr("imctrain.training.progress.PLAIN_SECONDS", 0.0)
    stream = io.StringIO()
    values = {"loss": 1.0, "accuracy": 0.5, "images_per_second": 1234.0, "clipped": 0.01, "worst_snr_db": 17.25}
    with TrainingProgress(Console(file=stream, width=40), "cnn5 (exact)", 20, 10) as progress:
        progress.step(5, values)
        progress.step(10, values)
        progress.epoch(1, values | {"test_accuracy": 0.75, "seconds": 3.0})
        progress.step(11, values)
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "cnn5 (exact) epoch 1/2 step 5",
        "cnn5 (exact) epoch 1/2 step 10",
        "cnn5 (exact) epoch 1/2",
        "cnn5 (exact) epoch 2/2 step 11",
    ]
    assert "loss 1.0000, accuracy 50.0%, 1234 images/s, clipped 1%, worst SNR 17.2 dB" in lines[0]
    assert lines[2].endswith("test accuracy 75.00%, 3.0 s")


def test_the_clock_leaves_compilation_out(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("imctrain.training.position.time.monotonic", lambda: now[0])
    place = Position()
    clock = Clock(place)
    now[0] = 130.0
    clock.compiled(101.0, 32)
    assert clock.rate(32) is None
    now[0] = 132.0
    assert clock.rate(64) == 32.0
    clock.stop()
    assert (place.seconds, place.epoch_taken, place.compile_seconds) == (3.0, 3.0, 29.0)


def test_the_first_signal_asks_and_the_second_stops_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert stop.number is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
