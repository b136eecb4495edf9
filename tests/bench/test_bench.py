"""The benchmark measures what it says, and training steps compile once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiers import slow

from imctrain.bench.measure import HARDWARE, measure, table
from imctrain.errors import UserError
from imctrain.training.network import Network
from imctrain.training.step import make_steps


def test_unknown_model_is_refused():
    with pytest.raises(UserError, match="bench model 'alexnet' is not known: allowed is cnn5, resnet20, dense"):
        measure("alexnet", 4, 1, print)


@pytest.mark.slow
def test_dense_layer_is_measured():
    said = []
    result = measure("dense", 4, 2, said.append)
    # 1152 x 256 on one tile: forward 4 x 256 x 4 planes, dX 4 x 1152 and dW 256 x 1152, each 3 passes and 4 planes.
    assert result.conversions == 4 * 256 * 4 + (4 * 1152 + 256 * 1152) * 12
    assert result.float_seconds > 0
    assert result.digital_ratio > 0
    assert result.statistical_ratio > 0
    assert result.exact_ratio > 0
    assert 0 <= result.noise_fraction <= 1
    assert result.peak_bytes > 1152 * 256 * 4
    assert "dense" in table([result])
    assert len(said) == 6


@pytest.mark.parametrize("path", [slow("exact"), slow("statistical"), slow("auto"), "digital"])
def test_a_training_step_compiles_once(path):
    network = Network("mlp", shape=(8, 8, 1), classes=10, width=16, seed=0)
    steps = make_steps(
        network,
        optax.sgd(0.1),
        images=jax.ShapeDtypeStruct((8, 8, 8, 1), jnp.float32),
        seed=0,
        label_smoothing=0.0,
        hardware=HARDWARE.replace(path=path),
    )
    rng = np.random.default_rng(0)
    state = steps.initial
    for _ in range(3):
        images = rng.standard_normal((8, 8, 8, 1)).astype(np.float32)
        state, _ = steps.train(state, images, rng.integers(0, 10, 8).astype(np.int32))
    assert steps.train._cache_size() == 1
