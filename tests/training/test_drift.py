"""A schedule of conditions: training takes the chip of the epoch as data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from real_chips import chip
from run_tools import TINY, assert_same_bits, call, metrics, spawn_killed, write

from imctrain.calibration import save_calibration
from imctrain.experiment.from_config import build_hardware
from imctrain.settings import validate_config
from imctrain.training.network import Network
from imctrain.training.step import make_steps

SCHEDULE = {"temperature_c": [[0, 25.0], [2, 85.0]]}


def steps_of(again=False, **imc):
    conditions = SCHEDULE | ({"offset_readings": "at every change"} if again else {})
    tables = {"array": {"macros": 4}, "adc": {"offset_conversions": 16}, "conditions": conditions}
    config = validate_config({"imc": tables | imc}, "c").imc
    network = Network("mlp", shape=(8, 8, 1), classes=10, width=8, seed=0)
    images = jax.ShapeDtypeStruct((8, 8, 8, 1), jnp.float32)
    first, *later = (build_hardware(config, chip(), epoch) for epoch in config.conditions.epochs)
    return make_steps(
        network, optax.sgd(0.1), images=images, eval_images=images, seed=0, label_smoothing=0.0, hardware=first,
        later=list(zip(config.conditions.epochs[1:], later, strict=True)), read_offsets_again=again,
    )  # fmt: skip


@pytest.mark.slow
def test_an_epoch_has_its_chip_and_no_program_of_its_own():
    steps = steps_of()
    batch = jnp.ones((8, 8, 8, 1)), jnp.zeros(8, jnp.int32)
    assert steps.at(1).train.given is steps.train.given
    losses = []
    for epoch in (0, 1, 2, 7):
        state = jax.tree.map(jnp.copy, steps.initial)
        losses.append(float(steps.at(epoch).train(state, *batch)[1]["loss"]))
        loss = steps.at(epoch).evaluate(
            steps.initial.params, steps.initial.rest, steps.initial.sites, *batch, jnp.ones(8), np.int32(0)
        )[1]
        losses.append(float(loss))
    assert losses[:2] == losses[2:4]
    assert losses[4:6] == losses[6:]
    assert losses[0] != losses[4]
    assert losses[1] != losses[5]
    assert steps.train._cache_size() == 1
    assert steps.evaluate._cache_size() == 1


@pytest.mark.parametrize("again", [False, True])
def test_offsets_drift_away_from_what_was_read(again):
    steps = steps_of(again)
    cold, warm = (steps.at(epoch).train.given.train for epoch in (0, 2))
    for site, chip_then in warm.items():
        drift = np.asarray(chip_then.offset - cold[site].offset) * 2**7
        # 0.02 LSB a degree.
        np.testing.assert_allclose(drift, 0.02 * 60, atol=1e-4)
        learned = np.asarray(chip_then.correction - cold[site].correction) * 2**7
        if again:
            # 128 columns, each the mean of 16 readings twice; noise grows with the temperature.
            error = np.sqrt((0.41 + 1 / 12 + 0.41 * np.exp(0.36) + 1 / 12) / 16)
            assert learned.mean() == pytest.approx(1.2, abs=5 * error / np.sqrt(128))
        else:
            assert not learned.any()


@pytest.mark.slow
def test_a_run_that_is_resumed_keeps_its_schedule(tmp_path, monkeypatch):
    save_calibration(chip(), tmp_path / "chip.json")
    text = TINY.replace("baseline = true", "baseline = false") + (
        "imc.calibration = 'chip.json'\nimc.chip.die = 2\nimc.conditions.temperature_c = [[0, 25.0], [1, 85.0]]\n"
    )
    path = write(tmp_path, text)
    whole, stopped, still = (tmp_path / name for name in ("whole", "stopped", "still"))
    assert call(monkeypatch, "run", "--config", path, "--out", whole) == 0
    # In the second epoch, which is warm.
    assert spawn_killed(10 + 6, "SIGKILL", "run", "--config", path, "--out", stopped).returncode == -9
    assert call(monkeypatch, "run", "--resume", stopped) == 0
    assert_same_bits(whole, stopped)
    assert call(monkeypatch, "run", "-c", path, "-o", still, "--set", "imc.conditions.temperature_c=25.0") == 0
    first, second = metrics(whole), metrics(still)
    assert first[:4] == second[:4]
    assert first[4:] != second[4:]
