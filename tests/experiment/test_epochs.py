"""Conditions that change over a training, where one step of it is looked at: inspect, cost, record and evaluate."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from real_chips import chip
from run_tools import TINY, call, write

from imctrain.calibration import save_calibration
from imctrain.data import load
from imctrain.errors import UserError
from imctrain.experiment.epochs import at_epoch
from imctrain.experiment.setup import set_up
from imctrain.settings import load_config, validate_config
from imctrain.studies import record
from imctrain.training.loop import make_batches
from imctrain.training.position import Position

SCHEDULE = TINY.replace("baseline = true", "baseline = false") + (
    "imc.calibration = 'chip.json'\nimc.conditions.temperature_c = [[0, 25.0], [1, 85.0]]\n"
)


@pytest.fixture
def config(tmp_path):
    save_calibration(chip(), tmp_path / "chip.json")
    return write(tmp_path, SCHEDULE)


def test_an_epoch_is_the_first_one_unless_another_is_named():
    conditions = {"temperature_c": [[0, 25.0], [5, 85.0]], "supply_v": 0.8}
    given = validate_config({"imc": {"conditions": conditions}, "training": {"epochs": 10}}, "c")
    first, (told,) = at_epoch(given, None)
    assert first.imc.conditions.temperature_c == 25.0
    assert told.endswith("shown is epoch 0, at 25 C, 0.8 V; --epoch N shows another one")
    later, (told,) = at_epoch(given, 7)
    assert later.imc.conditions.temperature_c == 85.0
    assert told.endswith("shown is epoch 7, at 85 C, 0.8 V")
    with pytest.raises(UserError, match="the training has epochs 0 to 9"):
        at_epoch(given, 10)
    still = validate_config({"imc": {"conditions": {"supply_v": 0.8}}}, "c")
    assert at_epoch(still, None) == (still, [])
    with pytest.raises(UserError, match=r"--epoch 3: imc\.conditions has no schedule"):
        at_epoch(still, 3)


def test_a_bill_says_which_epoch_it_is_of(config, monkeypatch, capsys):
    noise = {}
    for asked in ((), ("--epoch", 1)):
        assert call(monkeypatch, "cost", "-c", config, "--set", "imc.noise.scale=0.3", *asked, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        noise[asked] = found["components"]["adc"]
        assert any(f"shown is epoch {len(asked) and 1}, at" in note for note in found["notes"])
    # The shipped technology charges converters for noise below that of rounding: at 85 C there is more of it.
    assert noise[()] > noise["--epoch", 1]


@pytest.mark.slow
def test_inspect_shows_the_noise_of_the_epoch(config, monkeypatch, capsys):
    snr = []
    for asked in ((), ("--epoch", 1)):
        assert call(monkeypatch, "inspect", "-c", config, *asked, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert f"shown is epoch {len(asked) and 1}, at" in found["notes"][0]
        snr.append(found["sites"][0]["mvms"][0]["snr_db"])
    # exp(0.003 * 60) is 1.6 dB of noise; what is rounded has noise of its own.
    assert snr[1] < snr[0] - 0.5


@pytest.mark.slow
def test_a_recording_is_of_the_chip_of_its_epoch(config):
    """Operands at epoch 1 are those of a training that is always that warm, to the bit; not those of a cold one."""
    scheduled = load_config(config)
    dataset = load("digits")

    def operands(config_):
        setup = set_up(config_, dataset, config.parent)
        train, *_ = make_batches(config_, dataset)
        read = record.reader(config_, setup, setup.steps.function)
        found = read(setup.steps.initial, train, Position(epoch=1))
        return [np.asarray(leaf) for leaf in jax.tree.leaves({name: tuple(met) for name, met in found.items()})]

    moving = operands(scheduled)
    cold, warm = (operands(at_epoch(scheduled, epoch)[0]) for epoch in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(moving, warm, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(moving, cold, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_a_network_is_evaluated_at_the_conditions_of_its_checkpoint(config, tmp_path, monkeypatch, capsys, again):
    """Its training die has the accuracy of its training, offsets read at the first condition or at the last."""
    readings = ("--set", "imc.adc.offset_conversions=16")
    readings += ("--set", "imc.conditions.offset_readings=at every change") if again else ()
    assert call(monkeypatch, "run", "--config", config, *readings, "--out", tmp_path / "run") == 0
    capsys.readouterr()
    for checkpoint in ("best", "last"):
        asked = ("--checkpoint", checkpoint, "--json", "--out", tmp_path / checkpoint)
        assert call(monkeypatch, "evaluate", tmp_path / "run", *asked) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["dies"][0]["accuracies"][0] == found["trained_accuracy"]
