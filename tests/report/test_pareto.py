"""Accuracy against energy: the front on hand-made sets, what is left out and told, files, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from kept_results import result
from typer.testing import CliRunner

from imctrain.cli import app
from imctrain.errors import UserError
from imctrain.records.energy import StoredEnergy, TrainingEnergy
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep
from imctrain.report.numbers_in_plots import SIZE, offsets
from imctrain.report.pareto import at_steepest, front, noise_band, pareto_of, point_name
from imctrain.report.pareto_figure import draw_pareto
from imctrain.report.pareto_results import check_targets, front_of, pareto_markdown, write_pareto
from imctrain.report.sweep_results import write_sweep

SIGMA = "imc.noise.sigma_lsb"
HOME = Sweep(Path("s"), "sweep")


def beaten(points):
    """By the definition, one against all: an oracle without any order."""
    return [
        any((e <= x and a >= y) and (e < x or a > y) for e, a in points if math.isfinite(e) and math.isfinite(a))
        for x, y in points
    ]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1.0, 0.5)], [True]),
        ([(1.0, 0.5), (2.0, 0.6), (3.0, 0.55)], [True, True, False]),
        # Equal in both: they stand together; equal energies: the better one alone; equal accuracies: the cheaper one.
        ([(1.0, 0.5), (1.0, 0.5)], [True, True]),
        ([(1.0, 0.5), (1.0, 0.6)], [False, True]),
        ([(2.0, 0.5), (1.0, 0.5)], [False, True]),
        ([(1.0, math.nan), (math.inf, 0.9), (2.0, 0.4)], [False, False, True]),
        ([], []),
    ],
)
def test_the_front_of_hand_made_sets(points, expected):
    assert front(points) == expected


def test_the_front_is_what_no_other_point_beats():
    points = [((7 * i) % 11 + 1.0, ((5 * i) % 13) / 13) for i in range(60)]
    assert front(points) == [not lost for lost in beaten(points)]


def energy(joules, steps=10, sensed=0.25):
    """Of a training of `joules`, of which a share is converters and array."""
    step = joules / steps
    parts = {"adc": 0.4 * sensed * step, "array": 0.6 * sensed * step, "digital": (1 - sensed) * step}
    return TrainingEnergy("chip", "assumed", steps, step, (0.5 * step, 2 * step), parts, 3.0, 100.0, 4.0)


def test_noise_before_the_range_has_a_price_between_none_and_that_of_a_capacitor():
    found = energy(8.0)
    # A quarter of 8 J, times 16 at a quarter of the noise: 6 + 32.
    assert noise_band(found, 0.25) == pytest.approx([8.0, 38.0])
    assert noise_band(found, 1.0) == pytest.approx([8.0, 8.0])
    assert noise_band(found, 2.0) == pytest.approx([6.5, 8.0])
    assert noise_band(found, 0.0) == [8.0, None]
    assert noise_band(found, None) == [8.0, 8.0]


def test_a_price_that_the_technology_has_asked_already_is_not_asked_twice():
    # Of 8 J, 0.8 are converters whose quiet doubled their energy, and 1.2 the array: 6 + 16 (0.4 + 1.2) at p = 2.
    assert noise_band(energy(8.0), 0.25, noise_price=2.0) == pytest.approx([8.0, 31.6])


def trial(key, variant, accuracy, joules, seed=0, reference=None, sigma=None, error="", edited=False, **config):
    """A record of a sweep whose result says its energy; configs differ by what tells the trials apart."""
    kept = None
    if accuracy is not None:
        keys = {} if joules is None else {
            "cost_technology": "chip", "cost_provenance": "assumed", "steps": 10, "energy_step_j": joules / 10,
            "energy_step_band_j": [joules / 20, joules / 5], "seconds_training_chip": 3.0, "fj_per_mac": 100.0,
            "energy_components_j": {"adc": joules / 100, "array": joules / 100},
            "digital_int8_ratio": None if reference else 4.0, "sigma_lsb": sigma,
        }  # fmt: skip
        # No file holds NaN: a result that somebody made in Python may.
        kept = result(test_accuracy=0.0, **keys).model_copy(update={"test_accuracy": accuracy})
    table = {"model": {"name": "mlp", "width": 16}, "data": {"name": "digits"}, "training": {"epochs": 1}} | config
    label = {"reference": reference, "variant": variant, "axes": {} if sigma is None else {SIGMA: sigma}, "seed": seed}
    imc = {"path": reference or "exact", "what": variant, "noise": {"sigma_lsb": sigma}}
    config_of = table | {"seed": seed, "imc": imc}
    return RunRecord(Path("s/trials") / key, config_of, kept, {"sweep": label}, error, Path("s"), edited)


RECORDS = [
    trial("f0", "", 0.90, 20.0, reference="float"),
    trial("a0", "a", 0.80, 1.0),
    trial("a1", "a", 0.84, 1.0, seed=1),
    trial("b0", "b", 0.81, 2.0),
    trial("c0", "c", 0.86, 3.0),
    trial("d0", "d", None, None, error="diverged"),
    trial("e0", "e", math.nan, 1.0),
    trial("g0", "g", 0.99, None),
    trial("h0", "h", 0.99, 0.1, edited=True),
]


class Priced(StoredEnergy):
    """What results say, and what every step takes in digital arithmetic."""

    def references(self, record):
        return {"int8": 0.4, "bf16": 0.8}

    def prices_noise(self, record):
        return False


def test_points_are_means_over_seeds_and_what_is_left_out_is_told():
    found = pareto_of(RECORDS, {HOME: "sweep"}, (), Priced())
    points = {point["variant"]: point for point in found["points"]}
    assert list(points) == ["a", "b", "c"]
    assert points["a"]["accuracy"] == pytest.approx(0.82)
    assert points["a"]["seeds"] == [0, 1]
    assert points["a"]["energy_training_j"] == pytest.approx(1.0)
    assert points["a"]["energy_band_j"] == pytest.approx([0.5, 2.0])
    assert [points[name]["on_front"] for name in "abc"] == [True, False, True]
    for why in (
        "1 failed or unfinished",
        "1 without a finite accuracy",
        "1 without a known energy",
        "1 whose config.toml",
    ):
        assert any(note.startswith(f"left out: {why}") for note in found["notes"]), why
    assert any("2 of 3 points have one seed" in note for note in found["notes"])
    assert found["technology"] == ["chip"]


def test_references_stand_at_their_own_energy_and_assumed_ones_say_so():
    found = pareto_of(RECORDS, {HOME: "sweep"}, (), Priced())
    energies = {r["name"]: (r["energy_training_j"], bool(r["assumed"])) for r in found["references"]}
    assert energies == {
        "float, INT8": (pytest.approx(4.0), True),
        "float, BF16": (pytest.approx(8.0), True),
        "float, FP32": (pytest.approx(20.0), False),
    }
    assert {r["accuracy"] for r in found["references"]} == {0.90}


def noisy():
    records = [trial(f"n{i}", "n", 0.7 + 0.05 * i, 1.0, sigma=s) for i, s in enumerate((2.0, 1.0, 0.25))]
    return [*records, trial("q", "quiet", 0.82, 1.5, sigma=1.0)]


def test_a_front_of_several_noise_levels_says_what_noise_costs():
    found = pareto_of(noisy(), {HOME: "sweep"}, (), Priced())
    assert any("no price for a converter's noise" in note and "p = 0 to 2" in note for note in found["notes"])
    points = {point_name(point): point for point in found["points"]}
    assert [name for name, point in points.items() if point["on_front"]] == ["n, 0.25 LSB", "quiet, 1 LSB"]
    # 0.2 J of the 1 J are converters and array: 0.8 + 16 x 0.2 at p = 2.
    assert at_steepest(points["n, 0.25 LSB"]) == pytest.approx(4.0)
    assert at_steepest(points["n, 2 LSB"]) == pytest.approx(0.85)
    assert not points["n, 0.25 LSB"]["on_noise_front"]
    assert points["quiet, 1 LSB"]["on_noise_front"]
    same = [record for record in noisy() if record.labels["sweep"]["axes"][SIGMA] == 1.0]
    assert not any("noise differs" in note for note in pareto_of(same, {HOME: "sweep"}, (), Priced())["notes"])


def test_energies_of_two_technologies_are_not_compared():
    other = RECORDS[1].result.replace(cost_technology="another")
    records = [*RECORDS[2:5], RunRecord(Path("s/trials/x"), {"imc": {}}, other, RECORDS[1].labels, "", Path("s"))]
    from imctrain.report.pareto_results import Chosen

    with pytest.raises(UserError, match="another and chip, which do not compare: name one with --technology"):
        front_of(Chosen(records, {HOME: "sweep"}, [], ""), Priced())


@pytest.mark.parametrize("records", [RECORDS, noisy(), RECORDS[1:2]], ids=["references", "noise", "one point"])
def test_figures_of_every_kind_are_drawn(tmp_path, records):
    found = pareto_of(records, {HOME: "sweep"}, (), Priced())
    draw_pareto(found, tmp_path / "a.svg", "title")
    draw_pareto(found, tmp_path / "b.svg", "title")
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    assert "imctrain pareto" in drawn


def test_files_of_others_are_not_overwritten(tmp_path):
    found = pareto_of(RECORDS, {HOME: "sweep"}, (), Priced())
    files = write_pareto(found, tmp_path, "mlp")
    assert [file.name for file in files] == ["pareto.json", "pareto.md", "pareto.png", "pareto.svg"]
    assert json.loads(files[0].read_text())["points"][0]["variant"] == "a"
    write_pareto(found, tmp_path, "mlp")
    for file in files:
        before = file.read_bytes()
        file.write_text("mine")
        with pytest.raises(UserError, match=f"{file.name} is there already and was not made by `imctrain pareto`"):
            check_targets(tmp_path)
        file.write_bytes(before)


def test_the_table_marks_the_front():
    lines = pareto_markdown(pareto_of(RECORDS, {HOME: "sweep"}, (), Priced())).splitlines()
    cells = {line.split(" | ")[2]: line for line in lines if line.startswith("| ") and "sweep |" in line}
    assert "front" in cells["a"]
    assert "front" not in cells["b"]
    assert "82.00 % (80.00 to 84.00)" in cells["a"]


def test_numbers_do_not_meet():
    places = [(50.0 + 3 * i, 50.0) for i in range(6)]
    middles = [
        (x + dx, y + dy) for (x, y), (dx, dy) in zip(places, offsets(places, range(6), (0, 0, 200, 100)), strict=True)
    ]
    for i, a in enumerate(middles):
        for b in middles[:i]:
            assert abs(a[0] - b[0]) >= SIZE[0] - 1e-9 or abs(a[1] - b[1]) >= SIZE[1] - 1e-9
        assert SIZE[0] / 2 <= a[0] <= 200 - SIZE[0] / 2


def test_sweep_tables_say_what_trainings_took(tmp_path):
    records = [record for record in RECORDS if record.result is None or math.isfinite(record.result.test_accuracy)]
    write_sweep(records, HOME, tmp_path, Path(), Priced())
    content = json.loads((tmp_path / "sweep.json").read_text())
    row = next(row for row in content["trials"] if row["folder"] == "a0")
    assert {"accuracy", "seconds", "clipped_fraction", "path"} <= set(row)
    assert row["energy_training_j"] == pytest.approx(1.0)
    assert (row["fj_per_mac"], row["digital_int8_ratio"], row["cost_technology"]) == (100.0, 4.0, "chip")
    assert [point["variant"] for point in content["pareto"]["points"]] == ["a", "b", "c"]
    text = (tmp_path / "sweep.md").read_text()
    assert "| a | 1 | 1e+05 | 100 | 3 | 4.00 |" in text
    assert text.count("Counted on chip") == 1
    assert {"sweep-pareto.png", "sweep-pareto.svg"} <= {file.name for file in tmp_path.iterdir()}


def test_the_command_counts_kept_runs_and_refuses_to_mix_networks(tmp_path):
    for name, model in (("one", "mlp"), ("two", "cnn5")):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        data = '{ name = "cifar10", batch_size = 8 }'
        (folder / "config.toml").write_text(
            f'name = "{name}"\ndata = {data}\nmodel = {{ name = "{model}", width = 8 }}\n'
        )
        (folder / "result.json").write_text(
            result(name=name, model=model, test_accuracy=0.5, steps=7).model_dump_json()
        )
    call = CliRunner().invoke
    refused = call(app, ["pareto", str(tmp_path / "runs")])
    assert isinstance(refused.exception, UserError)
    assert "mlp, width 8, on cifar10 (one); cnn5, width 8, on cifar10 (two)" in str(refused.exception)
    shown = call(app, ["pareto", str(tmp_path / "runs"), "--mixed", "--json"])
    points = json.loads(shown.stdout)["points"]
    assert {point["variant"] for point in points} == {"one", "two"}
    assert all(point["energy_training_j"] == pytest.approx(7 * point["energy_step_j"]) for point in points)
    assert not (tmp_path / "runs" / "pareto.json").exists()
    done = call(app, ["pareto", str(tmp_path / "runs" / "one"), "--out", str(tmp_path / "front")])
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "front" / "pareto.png").is_file()
