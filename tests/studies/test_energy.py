"""Energy of kept runs: what results say, and what configs say where results do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from kept_results import write_result

import imctrain.studies.energy as energy_module
from imctrain.errors import UserError
from imctrain.experiment.costing import training_of
from imctrain.records.runs import gather
from imctrain.settings import load_kept_config
from imctrain.studies.energy import KeptEnergy, count

CONFIG = """
name = "{name}"
seed = {seed}
data = {{ name = "cifar10", batch_size = 8, train_limit = 64 }}
model = {{ name = "mlp", width = 8 }}
training = {{ epochs = 2 }}
imc = {{ path = "{path}"{more} }}
"""


def keep(root, name, seed=0, path="exact", more="", **keys):
    """A kept run on data that need not be there."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(name=name, seed=seed, path=path, more=more))
    write_result(folder, **keys)
    return folder


def records(root):
    return {record.folder.name: record for record in gather(root)}


def test_a_result_without_energy_is_counted_from_its_config(tmp_path):
    folder = keep(tmp_path, "old")
    keep(tmp_path, "shorter", steps=5)
    found = records(tmp_path)
    price = KeptEnergy()
    counted = price(found["old"])
    training = training_of(load_kept_config(folder / "config.toml"))
    assert training.steps == 16
    assert counted.energy_training_j == pytest.approx(16 * training.cost().energy_step_j)
    assert counted.digital_int8_ratio == pytest.approx(training.cost().ratio("int8"))
    assert sum(counted.components_j.values()) == pytest.approx(counted.energy_step_j)
    # Steps that were really trained count.
    shorter = price(found["shorter"])
    assert shorter.energy_training_j == pytest.approx(counted.energy_training_j * 5 / 16)
    assert shorter.seconds_training_chip == pytest.approx(counted.seconds_training_chip * 5 / 16)


def test_what_a_result_says_stands_unless_a_technology_is_named(tmp_path):
    keys = {"cost_technology": "mine", "steps": 4, "energy_step_j": 2.0, "seconds_training_chip": 1.0}
    keep(tmp_path, "new", **keys)
    record = records(tmp_path)["new"]
    assert KeptEnergy()(record).energy_training_j == 8.0
    other = KeptEnergy("jia2020-65nm")(record)
    assert other.technology == "jia2020-65nm"
    assert other.energy_step_j < 1e-3
    with pytest.raises(UserError, match="technology 'nowhere' not found"):
        KeptEnergy("nowhere")


def test_seeds_of_a_config_are_counted_once(tmp_path, monkeypatch):
    for seed in range(3):
        keep(tmp_path, f"seed{seed}", seed=seed)
    keep(tmp_path, "other", more=", adc = { bits = 6 }")
    monkeypatch.setattr(energy_module, "_COUNTED", {})
    calls = []
    monkeypatch.setattr(energy_module, "_count", lambda *given: calls.append(given) or _real(*given))
    price = KeptEnergy()
    found = {name: price(record).energy_step_j for name, record in records(tmp_path).items()}
    assert len(calls) == 2
    assert found["seed0"] == found["seed1"] == found["seed2"]
    assert found["other"] < found["seed0"]


_real = energy_module._count


def test_a_float_run_is_counted_in_fp32_and_is_that_of_the_array_in_fp32(tmp_path):
    keep(tmp_path, "float", path="float")
    keep(tmp_path, "array")
    found, price = records(tmp_path), KeptEnergy()
    alone = price(found["float"])
    assert alone.digital_int8_ratio is None
    assert price.noise_lsb(found["float"]) is None
    assert alone.energy_step_j == pytest.approx(price.references(found["array"])["fp32"], rel=1e-6)
    assert price.noise_lsb(found["array"]) > 0


def test_a_run_whose_data_are_gone_is_told(tmp_path):
    folder = keep(tmp_path, "mine")
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('"cifar10"', '"nowhere"'))
    price = KeptEnergy()
    assert price(records(tmp_path)["mine"]) is None
    assert "nowhere" in price.problems[folder]


def test_the_runs_own_calibration_and_technology_are_read(tmp_path):
    from imctrain.calibration import load_calibration
    from imctrain.technology import load_technology

    folder = keep(tmp_path, "own", more=', calibration = "/gone/chip.json"')
    calibration = load_calibration("ideal")
    (folder / "calibration.json").write_text(calibration.model_dump_json())
    config = folder / "config.toml"
    config.write_text(config.read_text() + '\ncost = { technology = "gone.json" }\n')
    with pytest.raises(UserError, match="not found"):
        count(load_kept_config(config), Path())
    text = load_technology("vlsi21-28nm").model_copy(update={"name": "copied"})
    (folder / "technology.json").write_text(text.model_dump_json(by_alias=True, exclude_none=True))
    found = KeptEnergy()(records(tmp_path)["own"])
    assert found.technology == "copied"


@pytest.mark.parametrize(("sigma", "bits"), [(0.05, 6), (0.25, 8), (1.0, 6)])
def test_the_price_of_noise_is_the_ratio_of_two_converters(tmp_path, sigma, bits):
    """SAR law: capacitors 1 / (12 sigma^2) larger, from 1 / sqrt(12) LSB downwards."""
    noise = f"noise = {{ sigma_array_lsb = 0.0, sigma_adc_lsb = {sigma} }}"
    keep(tmp_path, "own", more=f", {noise}, adc = {{ bits = {bits} }}")
    keep(tmp_path, "float", path="float")
    found = records(tmp_path)
    counted = {name: KeptEnergy("laws-28nm").noise_price(record) for name, record in found.items()}
    assert counted["float"] == 1.0
    more = max(1.0, 1 / (12 * sigma**2))
    bit, code = 100.0 * bits, 0.001 * 4**bits
    assert counted["own"] == pytest.approx((bit + code * more) / (bit + code))
