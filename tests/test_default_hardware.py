"""`Hardware()` is the one to recommend: it has the defaults of a config, and small layers train on it."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest

import imctrain
from imctrain.config import ImcConfig
from imctrain.data import load
from imctrain.imc.hardware import Hardware


def test_python_and_toml_have_the_same_defaults():
    """Where a config has no value of its own (None) the calibration gives it."""
    config = ImcConfig()
    for section in ("array", "adc", "noise", "formats", "mapping", "statistical"):
        given, spec = getattr(config, section), getattr(Hardware(), section)
        for field in dataclasses.fields(spec):
            value = getattr(given, field.name, None)
            if value is not None:
                assert value == getattr(spec, field.name), f"{section}.{field.name}"
    for name in ("path", "mvms", "chip_seed", "memory_mib"):
        assert getattr(config, name) == getattr(Hardware(), name)


@pytest.mark.no_leak_checks("trains a network")
def test_small_layers_train_on_it():
    digits = load("digits").train
    images, labels = jnp.asarray(digits.images.reshape(len(digits.images), -1)), jnp.asarray(digits.labels)
    images = images / jnp.max(images)
    first, second = jax.random.split(jax.random.key(0))
    start = {
        "a": jax.random.normal(first, (64, 128)) * (2 / 64) ** 0.5,
        "b": jax.random.normal(second, (128, 10)) * (1 / 128) ** 0.5,
    }

    def logits(params, x):
        return jax.nn.relu(x @ params["a"]) @ params["b"]

    def loss(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y).mean()

    on_array = imctrain.on_imc(loss, imctrain.Hardware())
    batch = images[:64], labels[:64]
    assert on_array.advice(start, *batch) == []
    params, state = start, on_array.init(start, *batch)
    optimizer = optax.sgd(0.1, 0.9)
    momentum = optimizer.init(params)

    @jax.jit
    def step(params, momentum, state, begin, key):
        x, y = (jax.lax.dynamic_slice_in_dim(a, begin, 64) for a in (images, labels))
        gradients, telemetry = jax.grad(lambda p, s: on_array(p, x, y, key=key, state=s), argnums=(0, 1))(params, state)
        state, _ = on_array.update(state, telemetry)
        updates, momentum = optimizer.update(gradients, momentum)
        return optax.apply_updates(params, updates), momentum, state

    for i in range(60):
        params, momentum, state = step(params, momentum, state, (64 * i) % 1300, jax.random.key(i))
    accuracy = jnp.mean(jnp.argmax(logits(params, images), axis=-1) == labels)
    assert float(accuracy) > 0.85
