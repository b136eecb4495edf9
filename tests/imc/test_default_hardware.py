"""`Hardware()` is the one to recommend: it has the defaults of a config, and small layers train on it."""

import jax
import jax.numpy as jnp
import optax
import pytest

import imctrain
from imctrain.calibration import load_calibration
from imctrain.data import load
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.settings import (
    AdcSpec,
    Hardware,
    ImcConfig,
    dump_toml,
    load_config,
    load_kept_config,
    validate_config,
)
from imctrain.settings.hardware import NOMINAL
from imctrain.settings.presets import PRESETS
from imctrain.settings.site import SiteSettings


def test_a_setting_of_a_site_is_declared_once():
    """TOML and Python share the sections; only the path is of both, since a site has no path = "float". `chip` is a
    choice of a die there, and the die's figures here."""
    shared = set(ImcConfig.model_fields) & set(Hardware.model_fields)
    assert shared == {*SiteSettings.model_fields, "path", "chip"}
    assert ImcConfig.model_fields["chip"].annotation is not Hardware.model_fields["chip"].annotation
    for cls in (ImcConfig, Hardware):
        assert set(cls.__annotations__) & set(SiteSettings.model_fields) == set()
    assert ImcConfig().path == Hardware().path


def test_hardware_leaves_nothing_to_a_calibration():
    hardware = Hardware()
    for section, figures in NOMINAL.items():
        for name, value in figures.items():
            assert getattr(getattr(ImcConfig(), section), name) is None
            assert getattr(getattr(hardware, section), name) == value
    assert Hardware(adc=AdcSpec(range=0.5)).adc.bits == 8


def test_hardware_of_a_calibration_is_that_of_a_config():
    config = ImcConfig(calibration="vlsi21-28nm-assumed", adc=AdcSpec(bits=6), path="auto")
    expected = build_hardware(config, load_calibration("vlsi21-28nm-assumed"))
    found = Hardware.from_calibration("vlsi21-28nm-assumed", adc=AdcSpec(bits=6), path="auto")
    assert found == expected
    with pytest.raises(UserError, match=r"adc\.bits = 60 is not possible: allowed is 2 to 24"):
        Hardware.from_calibration(adc={"bits": 60})
    with pytest.raises(UserError, match="not found"):
        Hardware.from_calibration("vlsi22")


@pytest.mark.parametrize("preset", ["plain", "robust"])
def test_a_preset_stands_for_keys_and_keys_beside_it_win(preset):
    toml = validate_config({"imc": {"preset": preset, "adc": {"headroom": 3.0, "range": 0.5}}}, "c").imc
    assert (toml.adc.headroom, toml.adc.range) == (3.0, 0.5)
    for section, values in PRESETS[preset].items():
        for name, value in values.items():
            if (section, name) != ("adc", "range"):
                assert getattr(getattr(toml, section), name) == value
    expected = build_hardware(toml, load_calibration("feasible-assumed"))
    assert Hardware.from_calibration(preset=preset, adc=AdcSpec(headroom=3.0, range=0.5)) == expected


def test_a_resolved_preset_reads_as_what_it_stood_for(tmp_path, monkeypatch):
    path = tmp_path / "c.toml"
    path.write_text("imc.preset = 'robust'\nimc.mapping.passes = 4\n")
    config = load_config(path)
    text = dump_toml(config)
    assert 'preset = "robust"' in text
    assert "chop = true" in text
    path.write_text(text)
    monkeypatch.setitem(PRESETS["robust"]["array"], "chop", False)
    assert load_kept_config(path) == load_config(path) == config
    with pytest.raises(UserError, match=r"imc\.preset = 'best' is not possible: allowed is 'plain' or 'robust'"):
        validate_config({"imc": {"preset": "best"}}, "c")


@pytest.mark.slow
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
