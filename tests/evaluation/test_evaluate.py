"""A trained network on dies, noise and converters: the same numbers as its training, one compilation, nothing lost."""

from __future__ import annotations

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from rich.console import Console
from run_tools import call, write

import imctrain
import imctrain.calibration
from imctrain.data import Batches, load
from imctrain.errors import UserError
from imctrain.evaluation.evaluate import Request, evaluate
from imctrain.evaluation.evaluator import Evaluator
from imctrain.evaluation.overrides import Point, at_spread, conditions, dies, overridden, parse_overrides
from imctrain.experiment.network_file import trained_network
from imctrain.experiment.trained import trained_by_run
from imctrain.training.signals import Interrupted, StopRequest

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def trained(finished):
    return trained_by_run(finished)


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """A chip whose columns differ enough for a die to be told from another by its accuracy."""
    content = json.loads(_shipped())
    content["name"] = "spread"
    content["spread"] = {"gain_std": 0.1, "offset_std_lsb": 0.6}
    path = tmp_path_factory.mktemp("chip") / "spread.json"
    path.write_text(json.dumps(content))
    return path


def _shipped():
    from imctrain.calibration import load_calibration

    return load_calibration("feasible-assumed").model_dump_json()


@pytest.fixture(scope="module")
def on_spread(trained, spread):
    config = overridden(trained.config, {"imc.calibration": str(spread)})
    return Evaluator(trained, config, load("digits"), 360)


@pytest.mark.slow
def test_on_its_own_die_it_has_the_accuracy_of_its_training(trained, finished, tmp_path):
    (found,) = evaluate(trained, Request(repeats=2), tmp_path, QUIET)
    result = imctrain.load_run(finished).result
    (die,) = found.dies
    assert (die.name, die.own) == ("training die", True)
    assert die.accuracies[0] == result.test_accuracy == found.trained_accuracy
    assert die.losses[0] != die.losses[1]  # other noise
    assert found.summary.noise_std == pytest.approx(np.std(die.accuracies, ddof=1))


@pytest.mark.slow
def test_five_dies_take_one_compilation_and_are_those_of_their_hardware(trained, on_spread):
    """Against the transform on each die's own hardware, with no chip as an argument."""
    points = dies(on_spread.config, 5)
    assert [point.overrides["imc.chip_seed"] for point in points] == [1, 2, 3, 4, 5]
    with StopRequest() as stop:
        found = [on_spread.measure(on_spread.chips(point), on_spread.rest, 0, stop) for point in points]
    assert on_spread.compilations == 1
    assert len({one.loss for one in found}) == 5

    data = load("digits")
    batches = Batches.evaluation(data.test, 180, mean=data.mean, std=data.std)
    hardware = on_spread.function.hardware.replace(chip_seed=4)
    f = imctrain.on_imc(on_spread.network.eval_forward, hardware)
    correct = 0
    for index in range(2):
        batch = batches.batch(0, index)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), 2 * trained.evaluation + index)
        logits = f(on_spread.params, on_spread.rest, batch.images, key=key, state=on_spread.sites)
        correct += int(np.sum(np.argmax(logits, axis=1) == batch.labels))
    assert found[3].accuracy == correct / 360


def test_the_seeds_of_other_dies_leave_out_that_of_the_training(trained):
    config = overridden(trained.config, {"imc.chip_seed": 2})
    assert [point.name for point in dies(config, 3)] == ["die 1", "die 3", "die 4"]
    assert [point.name for point in dies(trained.config, 2)] == ["die 1", "die 2"]


@pytest.mark.slow
def test_a_float_network_goes_on_the_array_after_calibration(finished, tmp_path):
    trained = trained_by_run(finished / "baseline")
    request = Request({"imc.path": "exact", "imc.formats.activation_clip": "pact"}, calibration_images=128)
    (found,) = evaluate(trained, request, tmp_path, QUIET)
    assert found.calibration_images == 128
    assert "ranges and learned clips are calibrated on 128 training images" in found.notes
    (die,) = found.dies
    assert (die.name, die.own) == ("die 0", False)
    assert trained.accuracy - 0.25 < die.accuracy < trained.accuracy + 0.1


def test_a_network_of_the_array_in_float_is_its_module(trained, finished, tmp_path):
    data = load("digits")
    batch = Batches.evaluation(data.test, 360, mean=data.mean, std=data.std).batch(0, 0)
    logits = imctrain.load_run(finished).module(batch.images)
    (found,) = evaluate(trained, Request({"imc.path": "float"}), tmp_path, QUIET)
    assert found.dies[0].name == "float"
    assert found.dies[0].accuracy == pytest.approx(np.mean(np.argmax(logits, axis=1) == batch.labels))
    assert found.calibration is None


@pytest.mark.slow
def test_a_chip_without_spread_has_one_die(trained, tmp_path):
    request = Request({"imc.calibration": "ideal"}, tuple(dies(trained.config, 3)))
    for _ in range(2):  # nothing is asked again
        (found,) = evaluate(trained, request, tmp_path, QUIET)
        assert [die.name for die in found.dies] == ["die 0"]
        assert any("all dies are alike: calibration ideal has no spread" in note for note in found.notes)


def count_measures(monkeypatch, stop_after=None):
    measured = []
    plain = Evaluator.measure

    def measure(self, chips, rest, repeat, stop):
        if stop_after is not None and len(measured) == stop_after:
            raise Interrupted(2)
        measured.append(repeat)
        return plain(self, chips, rest, repeat, stop)

    monkeypatch.setattr(Evaluator, "measure", measure)
    return measured


def test_what_is_measured_is_kept_and_not_measured_again(trained, tmp_path, monkeypatch):
    config = trained.config
    two, three = (Request(others=tuple(dies(config, n)), images=180) for n in (2, 3))
    measured = count_measures(monkeypatch, stop_after=2)
    with pytest.raises(Interrupted):
        evaluate(trained, two, tmp_path, QUIET)
    kept = json.loads((tmp_path / "evaluate.json").read_text())["evaluations"]
    assert [die["name"] for die in kept[0]["dies"]] == ["training die", "die 1"]

    monkeypatch.undo()
    measured = count_measures(monkeypatch)
    (first,) = evaluate(trained, two, tmp_path, QUIET)
    assert measured == [0]
    assert first.images == 180
    (more,) = evaluate(trained, replace(three, repeats=2), tmp_path, QUIET)
    assert measured == [0, 1, 1, 1, 0, 1]
    assert [die.accuracies[0] for die in more.dies][:3] == [die.accuracies[0] for die in first.dies]
    evaluate(trained, Request({"imc.noise.scale": 2.0}, images=180), tmp_path, QUIET)
    (again,) = evaluate(trained, three, tmp_path, QUIET)
    assert len(measured) == 7
    assert again == more
    kept = json.loads((tmp_path / "evaluate.json").read_text())["evaluations"]
    assert [(one["name"], len(one["dies"])) for one in kept] == [("as trained", 4), ("noise.scale=2.0", 1)]


@pytest.mark.slow
def test_offsets_that_are_read_and_subtracted_bring_the_accuracy_back(trained, tmp_path):
    content = json.loads(_shipped())
    content["spread"] = {"gain_std": 0.0, "offset_std_lsb": 1.5}
    chip = tmp_path / "offsets.json"
    chip.write_text(json.dumps(content))
    request = Request({"imc.calibration": str(chip)}, tuple(dies(trained.config, 2)), recalibrate=("offsets",))
    plain, read = evaluate(trained, request, tmp_path / "out", QUIET)
    assert (plain.recalibrate, read.recalibrate) == ((), ("offsets",))
    assert read.summary.mean > plain.summary.mean + 0.1
    assert read.summary.mean > trained.accuracy - 0.15


@pytest.mark.slow
def test_gains_that_are_read_and_divided_out_bring_the_accuracy_back(trained, tmp_path):
    content = json.loads(_shipped())
    content["spread"] = {"gain_std": 0.15, "offset_std_lsb": 0.0}
    chip = tmp_path / "gains.json"
    chip.write_text(json.dumps(content))
    request = Request({"imc.calibration": str(chip)}, tuple(dies(trained.config, 2)), recalibrate=("gains",))
    plain, read = evaluate(trained, request, tmp_path / "out", QUIET)
    assert (plain.recalibrate, read.recalibrate) == ((), ("gains",))
    assert read.config["imc"]["adc"]["gain_conversions"] == 64
    assert read.summary.mean > plain.summary.mean + 0.05
    assert read.summary.mean > trained.accuracy - 0.1


def test_what_is_not_possible_is_one_line(trained, finished, tmp_path):
    for request, message in (
        (Request({"imc.path": "float"}, tuple(dies(trained.config, 1))), "neither dies nor conditions"),
        (Request(recalibrate=("gain",)), "--recalibrate gain: allowed are offsets, gains, batch-norm"),
        (Request({"imc.adc.bitz": 3}), r"imc\.adc\.bitz is an unknown key"),
        (
            Request(others=(Point("quiet", {"imc.noise.mismatch": False}),)),
            "quiet: site stem: its chip has other parts",
        ),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(trained, request, tmp_path / "out", QUIET)
    with pytest.raises(UserError, match=r"imc\.adc\.bits is no figure of a chip and cannot differ from die to die"):
        Point("fine", {"imc.adc.bits": 10})
    with pytest.raises(UserError, match="training is over, allowed are keys of imc"):
        parse_overrides(["training.epochs=3"])
    with pytest.raises(UserError, match="preset"):
        parse_overrides(["imc.preset=robust"])


def test_the_command_tells_what_belongs_to_the_die(finished, spread, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ("evaluate", finished, "--dies", 3, "--images", 180, "--out", out)
    assert call(monkeypatch, *command) == 0
    text = capsys.readouterr().out
    assert "points of the accuracy belong to the die it was trained on" in text
    assert "yield at 2 points below the training die" in text
    assert "yield at 10 points below the float baseline" in text
    assert (out / "dies.png").stat().st_size > 10_000
    assert "test accuracy (%)" in (out / "dies.svg").read_text()
    assert call(monkeypatch, *command, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["summary"]["test_dies"] == 3
    assert [round(one["points"]) for one in found["summary"]["yields"]] == [2, 10, 2, 10]
    # Other levels need no measurement.
    monkeypatch.setattr(Evaluator, "measure", None)
    assert call(monkeypatch, *command, "--below", "0,100", "--accuracy", "0.5,99.99", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    at = [(one["below"], one["points"], one["passed"]) for one in found["summary"]["yields"]]
    assert [x for x in at if x[1] == 100] == [("training die", 100, 3), ("float baseline", 100, 3)]
    assert at[-2:] == [(None, None, 3), (None, None, 0)]
    assert call(monkeypatch, *command, "--accuracy", "150") == 2
    assert "--accuracy 150 is not possible: allowed is 0 to 100" in capsys.readouterr().err


@pytest.mark.slow
def test_files_are_evaluated_too_and_those_of_earlier_versions_with_a_config(finished, tmp_path, monkeypatch, capsys):
    file = tmp_path / "net.npz"
    assert call(monkeypatch, "export", finished, "--out", file) == 0
    trained = trained_network(file)
    (found,) = evaluate(trained, Request(), tmp_path / "out", QUIET)
    assert found.dies[0].accuracy == imctrain.load_run(finished).result.test_accuracy

    # As experiments/cifar10/results/networks has them: arrays, and result.json as text.
    arrays = {name: value for name, value in np.load(file).items() if name.partition("/")[0] != "array"}
    arrays.pop("manifest")
    np.savez(tmp_path / "kept.npz", **arrays, result=np.asarray((finished / "result.json").read_text()))
    assert call(monkeypatch, "evaluate", tmp_path / "kept.npz") == 2
    assert "holds no config: give the experiment that it was trained with (--config)" in capsys.readouterr().err
    config = write(tmp_path)
    assert call(monkeypatch, "evaluate", tmp_path / "kept.npz", "--config", config, "--json") == 0
    (again,) = json.loads(capsys.readouterr().out)
    assert again["dies"][0]["accuracies"] == list(found.dies[0].accuracies)
    # Its calibration is relative to the config, as that of a training is.
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "chip.json").write_text(_shipped())
    beside = write(tmp_path / "sub", config.read_text() + "imc.calibration = 'chip.json'\n")
    assert call(monkeypatch, "evaluate", tmp_path / "kept.npz", "--config", beside, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["calibration"] == json.loads(_shipped())["name"]
    assert call(monkeypatch, "evaluate", file, "--config", config) == 2
    assert "change it with --set" in capsys.readouterr().err


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A chip with dies and slopes, strong enough for accuracies to follow them."""
    content = json.loads(_shipped())
    content["name"] = "warm"
    slope = {"reference": 25.0, "lowest": -40.0, "highest": 85.0}
    slope |= {"gain_per_unit": {"value": 0.0, "low": 0.0, "high": 0.0}}
    slope |= {"offset_lsb_per_unit": {"value": 0.0, "low": 0.0, "high": 0.0}}
    slope |= {"sigma_per_unit": {"value": 0.07, "low": 0.06, "high": 0.08}}
    supply = slope | {"reference": 0.8, "lowest": 0.7, "highest": 0.9}
    content |= {"temperature": slope, "supply": supply}
    content["die_spread"] = {"gain_std": 0.05, "offset_std_lsb": 0.5, "sigma_std_lsb": 0.0}
    content["die_spread"] |= {"gain_std_ci": [0.02, 0.3], "offset_std_ci_lsb": [0.2, 3.0]}
    path = tmp_path_factory.mktemp("chip") / "warm.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.slow
def test_dies_and_conditions_are_points_of_one_program(trained, warm, tmp_path, monkeypatch):
    changes = {"imc.calibration": str(warm)}
    config = overridden(trained.config, changes)
    calibration = imctrain.calibration.load_calibration(str(warm))
    others = dies(config, 2, calibration)
    assert [point.overrides for point in others] == [{"imc.chip.die": 1}, {"imc.chip.die": 2}]
    hot = conditions([25.0, 85.0], [0.8])
    assert [point.name for point in hot] == ["25 C, 0.8 V", "85 C, 0.8 V"]
    compiled = []
    monkeypatch.setattr(Evaluator, "compile", lambda self, *a: compiled.append(self) or 0.0)
    ends = at_spread(config, others, calibration)
    assert [point.name for point in ends] == [f"die {k}, {end} spread" for end in ("low", "high") for k in (1, 2)]
    request = Request(overrides=changes, others=tuple(others), at_spread=tuple(ends), conditions=tuple(hot))
    (found,) = evaluate(trained, request, tmp_path, QUIET)
    assert [evaluator.compilations for evaluator in compiled] == [1]
    assert len(found.dies) == 13
    low, value, high = found.at_spread
    assert (low.gain_std, value.gain_std, high.gain_std) == (0.02, 0.05, 0.3)
    assert high.mean < value.mean
    # The calibration's own die is none of those that are drawn.
    assert (value.test_dies, found.summary.test_dies) == (2, 3)
    assert value.measured_dies is None
    by_condition = {at.conditions["temperature_c"]: at for at in found.at_conditions}
    # At the reference a chip is what it is without a condition: the same figures, the same noise draws.
    cool, warm_ = by_condition[25.0], by_condition[85.0]
    assert cool.mean == found.summary.mean
    # Another calibration is another chip: its own die is none that the network was trained on.
    assert cool.test_dies == warm_.test_dies == found.summary.test_dies == 3
    # Noise of 66 times what it was leaves little.
    assert warm_.mean < cool.mean - 0.1
    assert any("slopes of warm are assumed" in note for note in found.notes)
    (again,) = evaluate(trained, request, tmp_path, QUIET)
    assert again == found
    assert len(compiled) == 1


def test_conditions_that_are_not_known_are_refused(trained, warm, finished, tmp_path, monkeypatch, capsys):
    for arguments, said in (
        (("--temperature", "hot"), "no number"),
        (("--temperature", "150", "--calibration", str(warm)), "150"),
        (("--supply", "0.8"), "supply"),
        (("--dies", "d1"), "'d1' is neither a number of dies nor the name of one: the calibration has no dies by name"),
        (("--temperature", "25", "--set", "imc.path=float"), "neither dies nor conditions"),
    ):
        assert call(monkeypatch, "evaluate", str(finished), *arguments, "--out", str(tmp_path / "out")) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error, (arguments, error)


@pytest.mark.parametrize("name", ["dies.png", "dies.svg", "conditions.png", "conditions.svg"])
def test_pictures_of_others_are_not_overwritten(finished, tmp_path, monkeypatch, capsys, name):
    (tmp_path / name).write_text("a measured one")
    assert call(monkeypatch, "evaluate", finished, "--dies", "2", "--out", tmp_path) == 2
    assert f"--out {tmp_path / name} is there already: give another name, or overwrite it with --force" in (
        capsys.readouterr().err
    )
    assert (tmp_path / name).read_text() == "a measured one"
    assert [path.name for path in tmp_path.iterdir()] == [name]
