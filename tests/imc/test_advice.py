"""The check of the hardware: what cannot work is named with a remedy that helps; what trains well has no warning."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from imc_sites import UNSIGNED, dot_site
from run_tools import TINY, call, write
from tiers import slow

import imctrain
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.imc.forecast import advice
from imctrain.imc.forecast.advice import FORWARD_DB, advise, find_problems, remedy_text, signal_remedies
from imctrain.imc.forecast.predict import predict
from imctrain.imc.site.site import make_site
from imctrain.intercept import on_imc
from imctrain.settings import AdcSpec, ArraySpec, Config, Hardware, NoiseSpec, load_config
from imctrain.sweep.spec import expand, read_sweep
from imctrain.training.network import Network

EXPERIMENTS = Path(imctrain.__file__).parents[1] / "experiments"
CIFAR, DIGITS = (32, 32, 3), (8, 8, 1)
PLAIN = Hardware(array=ArraySpec(replicate=False), adc=AdcSpec(range_policy="fixed"))
"""Small operands drive a fraction of a converter that keeps its full range."""


def noisy(sigma: float) -> Hardware:
    return PLAIN.replace(noise=NoiseSpec(sigma_array_lsb=sigma))


def problems(config: Config, folder: Path, shape=CIFAR):
    """What is found at an experiment, without its data."""
    network = Network(config.model.name, shape=shape, classes=10, width=config.model.width, seed=0)
    hardware = build_hardware(config.imc, calibration_of(config, folder))
    function = on_imc(network.train_forward, hardware, build_rules(config.imc))
    images = jax.ShapeDtypeStruct((config.data.batch_size, *shape), jnp.float32)
    ledger = function.ledger(network.params, network.rest, images)
    return find_problems({entry.name: entry.site for entry in ledger.sites})


def quickstart(*overrides: str):
    return problems(load_config(EXPERIMENTS / "quickstart.toml", overrides), EXPERIMENTS, DIGITS)


def bad_chip(folder: Path) -> str:
    """A calibration of 1 % gain spread and 0.73 LSB offset spread."""
    shipped = json.loads((EXPERIMENTS.parent / "calibration" / "feasible-assumed.json").read_text())
    path = folder / "bad.json"
    path.write_text(json.dumps(shipped | {"name": "bad", "spread": {"gain_std": 0.01, "offset_std_lsb": 0.73}}))
    return str(path)


def test_the_quickstart_has_no_warning():
    assert quickstart() == []


@pytest.mark.parametrize("name", [slow("cnn5-exact"), "cnn5-paths"])
def test_shipped_experiments_have_no_warning(name):
    folder = EXPERIMENTS / "cifar10"
    assert problems(load_config(folder / f"{name}.toml"), folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["claims", "claims-85", "mismatch", "within2"])
def test_pipelines_that_train_have_no_warning(name):
    path = EXPERIMENTS / "cifar10" / f"{name}.sweep.toml"
    trials = [t for t in expand(read_sweep(path)) if t.config.seed == 0 and t.config.imc.path == "auto"]
    assert len(trials) >= 2
    for trial in trials:
        assert problems(trial.config, path.parent) == [], trial.title


def test_a_chip_whose_offsets_push_the_weights_away_is_told_with_both_remedies(tmp_path):
    chip = f"imc.calibration={bad_chip(tmp_path)}"
    found = quickstart(chip)
    assert {problem.kind for problem in found} == {"offset"}
    [line] = advise(found, "imc.")
    assert "set imc.array.chop = true and imc.adc.offset_conversions = 64" in line
    assert "column offsets add 3." in line
    assert " (and 4 more MVMs)" in line
    # In Python, keys are those of rules and truth is written as Python has it.
    assert "set array.chop = True and adc.offset_conversions = 64" in advise(found)[0]
    assert quickstart(chip, "imc.array.chop=true", "imc.adc.offset_conversions=64") == []


def test_offsets_of_the_forward_pass_alone_do_no_harm(tmp_path):
    # Measured on the quickstart: 98.6 % with 0.73 LSB, 97.8 % with 5 LSB, as without any.
    assert quickstart(f"imc.calibration={bad_chip(tmp_path)}", 'imc.mvms=["forward"]') == []


@pytest.mark.parametrize(
    ("hardware", "kinds"),
    [
        # Nothing dithers the converter, and products span a fraction of its step.
        slow(PLAIN, {"forward signal", "gradient signal"}),
        (noisy(1.0), {"forward signal", "gradient signal"}),
        (Hardware(adc=AdcSpec(range_policy="fixed", range=0.01), array=ArraySpec(replicate=True)), {"clipping"}),
        slow(Hardware(adc=AdcSpec(range_policy="per_site", polarity="unipolar")), {"clipping"}),
    ],
)
def test_the_remedy_that_is_named_leaves_no_such_problem(hardware, kinds):
    site = dot_site(64, 64, 128, hardware, lhs=UNSIGNED)
    found = find_problems({"dot": site})
    assert {problem.kind for problem in found} == kinds
    for problem in found:
        changed = hardware
        remedies = problem.remedies()
        assert remedies
        for key, value in remedies:
            table, name = key.split(".")
            spec = getattr(changed, table).replace(**{name: value})
            changed = changed.replace(**{table: spec})
        left = find_problems({"dot": make_site(dataclasses.replace(site.spec, hardware=changed))})
        assert (problem.kind, problem.mvm) not in {(other.kind, other.mvm) for other in left}


@pytest.mark.slow
def test_a_signal_that_no_setting_saves_is_said_to_need_less_noise():
    lines = advise(find_problems({"dot": dot_site(64, 64, 128, noisy(30.0))}))
    assert len(lines) == 2
    assert all("no setting of this array is enough; take a calibration of less noise" in line for line in lines)


def test_codes_that_the_dac_does_not_have(monkeypatch):
    site = dot_site(64, 64, 128, Hardware(array=ArraySpec(replicate=True)))
    seen = {mvm: dataclasses.replace(p, code=15.0, levels=8) for mvm, p in predict(site).items()}
    monkeypatch.setattr(advice, "predict", lambda site: seen)
    problem = next(p for p in find_problems({"dot": site}) if p.mvm == "forward")
    assert problem.kind == "codes"
    assert "codes up to 15 are driven onto a DAC that ends at 8" in problem.text
    # Bits of a DAC that ends at 16.
    assert problem._goal.settings == (("array.input_bits", 5),)


@pytest.mark.slow
def test_more_conversions_are_named_only_where_nothing_else_is_enough():
    site = dot_site(64, 64, 128, noisy(1.0))
    found = [p for p in find_problems({"dot": site}) if p.kind == "gradient signal"]
    assert all("mapping.gradient_samples" not in dict(problem.remedies()) for problem in found)
    louder = dot_site(64, 64, 128, noisy(12.0))
    [worst] = [p for p in find_problems({"dot": louder}) if p.kind == "gradient signal" and p.mvm == "weight_grad"]
    assert dict(worst.remedies())["mapping.gradient_samples"] == 4


def test_a_remedy_is_found_for_a_signal_that_was_measured_as_lost():
    site = dot_site(64, 64, 128, noisy(0.3))
    assert ("array.replicate", True) in signal_remedies(site, "forward")
    settled = dot_site(64, 1152, 128, noisy(0.1).replace(array=ArraySpec(cell="xnor")))
    assert predict(settled)["forward"].snr_db > FORWARD_DB
    assert remedy_text(signal_remedies(settled, "forward"))


def test_digital_sites_have_no_hardware_that_could_fail():
    assert find_problems({"dot": dot_site(64, 64, 128, Hardware(path="digital"))}) == []


def test_a_function_tells_what_cannot_work_from_shapes_alone():
    def loss(w, x):
        return jnp.sum(jnp.tanh(x @ w["a"]) @ w["b"])

    shapes = {"a": jax.ShapeDtypeStruct((64, 128), jnp.float32), "b": jax.ShapeDtypeStruct((128, 10), jnp.float32)}
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    lines = on_imc(loss, PLAIN).advice(shapes, x)
    assert [line.split(":")[0] for line in lines] == [
        "site a, forward (and 1 more MVM)",
        "site b, input_grad (and 2 more MVMs)",
    ]
    good = Hardware(adc=AdcSpec(range_policy="per_site"), array=ArraySpec(replicate=True))
    assert on_imc(loss, good).advice(shapes, x) == []


@pytest.mark.slow
def test_inspect_tells_below_the_table_and_in_json(tmp_path, monkeypatch, capsys):
    config = write(tmp_path)
    assert call(monkeypatch, "inspect", "-c", config, "--json") == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    bad = ("--set", f"imc.calibration={bad_chip(tmp_path)}")
    assert call(monkeypatch, "inspect", "-c", config, *bad, "--json") == 0
    [line] = json.loads(capsys.readouterr().out)["warnings"]
    assert call(monkeypatch, "inspect", "-c", config, *bad) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"warning: {line}"


@pytest.mark.slow
def test_a_run_warns_before_it_starts_and_at_its_end(tmp_path, monkeypatch, capsys):
    config = write(tmp_path, TINY.replace("baseline = true", ""))
    # A learning rate that is far too high, so that the loss rises in few steps. Steps of bounded length keep it from
    # the loss that is an error: without them, one processor's last bits led there and another's did not.
    steep = "training.learning_rate=3.0", "training.clip_norm=1.0"
    settings = (f"imc.calibration={bad_chip(tmp_path)}", *steep, "tensorboard=false")
    overrides = [part for setting in settings for part in ("--set", setting)]
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "run", *overrides) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]
    assert lines.index(f"warning: {told[0]}") < next(i for i, line in enumerate(lines) if "compiling" in line)
    assert "column offsets" in told[0]
    assert "imc.array.chop = true and imc.adc.offset_conversions = 64" in told[0]
    assert "training loss rose from" in told[1]
    assert told[1].endswith("imc.adc.offset_conversions = 64, which the check of the hardware advises")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["warnings"] == told


def test_a_good_run_has_no_warnings(finished):
    assert "warning" not in (finished.parent / "stdout").read_text()
    assert json.loads((finished / "result.json").read_text())["warnings"] == []
    assert json.loads((finished / "baseline" / "result.json").read_text())["warnings"] == []


@pytest.mark.slow
def test_a_run_whose_products_are_all_zero_is_refused(tmp_path, monkeypatch, capsys):
    imc = "imc={noise={sigma_lsb=0.0, mismatch=false}, array={replicate=false}, adc={range_policy='fixed'}}"
    settings = ("--set", imc, "--set", "model.width=2")
    config = write(tmp_path, TINY.split("imc.array")[0])
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "run", *settings) == 2
    err = capsys.readouterr().err
    assert "every conversion reads 0: at most " in err
    assert "set imc.adc.range_policy = 'per_site'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    # What is refused for a run is told by inspect.
    assert call(monkeypatch, "inspect", "-c", config, *settings, "--json") == 0
    assert "every conversion reads 0" in json.loads(capsys.readouterr().out)["warnings"][0]


@pytest.mark.slow
def test_a_signal_that_stays_on_its_floor_is_told_once_in_a_run(tmp_path, monkeypatch, capsys):
    imc = "imc={noise={sigma_lsb=0.5, mismatch=false}, array={replicate=false}, adc={range_policy='fixed'}}"
    settings = ("--set", imc, "--set", "training.log_every=1", "--set", "training.learning_rate=1e-4")
    config = write(tmp_path, TINY.split("imc.array")[0].replace("baseline = true", ""))
    assert call(monkeypatch, "run", "-c", config, "-o", tmp_path / "run", *settings) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "no signal above the converter's step and noise" in line]
    assert lines
    assert "set imc.adc.range_policy = 'per_site'" in lines[0]
    places = [place for line in lines for place in line.split(" at site ")[1].split(": set")[0].split("; ")]
    assert len(places) == len(set(places))
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    told = [record["warning"] for record in records if "warning" in record]
    assert [f"warning: {text}" for text in told] == lines
    assert set(told) <= set(json.loads((tmp_path / "run" / "result.json").read_text())["warnings"])
