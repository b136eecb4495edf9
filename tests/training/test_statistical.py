"""A run that must be statistical stops where clipping makes that wrong; auto falls back to exact and says so."""

import pytest
from rich.console import Console

from imctrain.errors import UserError
from imctrain.experiment.run import Place, start
from imctrain.settings import validate_config

NOISY = {
    "data": {"name": "digits", "batch_size": 64, "train_limit": 640, "test_limit": 100, "eval_batch_size": 100},
    "model": {"name": "mlp", "width": 16},
    "training": {"epochs": 2, "log_every": 2, "learning_rate": 0.01},
    "tensorboard": False,
}


def train(path, tmp_path):
    plain = {"array": {"replicate": False}, "adc": {"range_policy": "fixed"}}
    imc = plain | {"path": path, "calibration": "ideal", "noise": {"sigma_lsb": 1.0}}
    config = validate_config(NOISY | {"imc": imc}, "test")
    return start(config, tmp_path / path, tmp_path, Console(quiet=True), Place())


@pytest.mark.slow
def test_statistical_stops_and_auto_falls_back(tmp_path):
    # Unipolar converters see little of 1152 rows, so noise below code 0 is cut off: a third of the conversions clip.
    with pytest.raises(UserError, match=r"site layer1, forward: \d+% of conversions clip.*use imc\.path = 'auto'"):
        train("statistical", tmp_path)
    shares = train("auto", tmp_path)["statistical_share"]
    assert shares["layer1"]["forward"] == 0
    assert shares["layer1"]["input_grad"] == 1
