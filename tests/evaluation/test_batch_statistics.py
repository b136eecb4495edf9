"""Batch statistics that are estimated anew."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import imctrain
from imctrain.data import Batches, Split, load
from imctrain.errors import UserError
from imctrain.evaluation.evaluator import Evaluator
from imctrain.evaluation.on_training_images import BatchStatistics, pooled
from imctrain.evaluation.overrides import dies
from imctrain.experiment.trained import Trained, network_arrays
from imctrain.training.network import Network
from imctrain.training.stored import flat

WIDTH = {"cnn5": 4, "vit": 16}


def test_statistics_of_batches_make_those_of_all_images():
    x = np.random.default_rng(0).normal(2.0, 3.0, (6, 50, 4))
    batches = [{"norm": {"mean": b.mean(axis=0), "var": b.var(axis=0)}, "other": np.float32(1)} for b in x]
    found = pooled(batches)
    np.testing.assert_allclose(found["norm"]["mean"], x.reshape(-1, 4).mean(axis=0))
    np.testing.assert_allclose(found["norm"]["var"], x.reshape(-1, 4).var(axis=0))
    assert found["other"] == 1


def untrained(path, tmp_path, model="cnn5"):
    tables = f'data = {{ name = "digits", batch_size = 64 }}\nmodel = {{ name = "{model}", width = {WIDTH[model]} }}'
    text = f'{tables}\nimc.path = "{path}"'
    (tmp_path / "x.toml").write_text(text)
    config = imctrain.load_config(tmp_path / "x.toml")
    network = Network(model, shape=(8, 8, 1), classes=10, width=WIDTH[model], seed=0)
    arrays = flat({"params": network.params, "rest": network.rest})
    return Trained("here", network_arrays(arrays), config, shape=(8, 8, 1), classes=10), config


def test_the_first_layer_has_the_statistics_of_its_own_outputs(tmp_path):
    trained, config = untrained("float", tmp_path)
    data = load("digits")
    evaluator = Evaluator(trained, config, data, 360)
    found = flat({"rest": BatchStatistics(trained, evaluator, 512).on({})})
    split = Split(data.train.images[:512], data.train.labels[:512])
    images = Batches.evaluation(split, 512, mean=data.mean, std=data.std).batch(0, 0).images
    kernels = {name: value for name, value in trained.arrays.items() if name.endswith("kernel/value")}
    first = next(value for value in kernels.values() if value.shape[:3] == (3, 3, 1))
    out = jax.lax.conv_general_dilated(images, first, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    mean, var = np.mean(out, axis=(0, 1, 2)), np.var(out, axis=(0, 1, 2))
    means = [value for name, value in found.items() if name.endswith("mean/value")]
    variances = [value for name, value in found.items() if name.endswith("var/value")]
    assert any(value.shape == mean.shape and np.allclose(value, mean, atol=1e-5) for value in means)
    assert any(value.shape == var.shape and np.allclose(value, var, rtol=1e-4) for value in variances)


def test_a_network_without_batch_normalisation_is_told(tmp_path):
    trained, config = untrained("float", tmp_path, "vit")
    with pytest.raises(UserError, match="--recalibrate batch-norm: vit has no batch normalisation"):
        BatchStatistics(trained, Evaluator(trained, config, load("digits"), 360), 512)


@pytest.mark.slow
def test_dies_share_one_compilation_and_differ(tmp_path):
    trained, config = untrained("exact", tmp_path)
    evaluator = Evaluator(trained, config, load("digits"), 360)
    statistics = BatchStatistics(trained, evaluator, 64)
    found = [flat(statistics.on(evaluator.chips(point))) for point in dies(config, 2)]
    assert statistics.compilations == 1
    assert any(not np.allclose(found[0][name], found[1][name], rtol=1e-4) for name in found[0])
