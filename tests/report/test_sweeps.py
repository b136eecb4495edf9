"""Crossings, tables and labels of sweeps, from made-up results."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from kept_results import result, write_result
from typer.testing import CliRunner

from imctrain.cli import app
from imctrain.errors import UserError
from imctrain.records.runs import RunRecord
from imctrain.report.axis_figure import draw_axis_figure
from imctrain.report.claims import summarise
from imctrain.report.crossing import ASSUMED_SEED_STD, crossing, ratio, seed_std
from imctrain.report.mixture import chips_told, one_configuration
from imctrain.report.sweep_results import write_sweep
from imctrain.report.sweep_table import as_csv, as_markdown, curves_of
from imctrain.report.variant_figure import draw_variants, lowest_shown

SIGMA = "imc.noise.sigma_lsb"


def row(variant, accuracy, seed=0, reference=None, error="", **axes):
    return {
        "reference": reference,
        "variant": variant,
        "axes": {key.replace("__", "."): value for key, value in axes.items()},
        "seed": seed,
        "accuracy": accuracy,
        "seconds": 60.0,
        "clipped_fraction": 0.0,
        "path": "auto",
        "folder": f"{variant}{seed}",
        "error": error,
    }


def test_a_crossing_lies_where_the_line_between_two_levels_does():
    points = {0.0: [0.90], 1.0: [0.88], 2.0: [0.80]}
    found = crossing(points, [0.90], 0.04, std=0.001)
    assert found.value == pytest.approx(1.25)
    assert found.low < 1.25 < found.high
    # One seed each: the level's uncertainty is that of two points and the baseline over the slope of 0.08 a unit.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.001 * np.sqrt(1 + 0.75**2 + 0.25**2) / 0.08, rel=0.1)


def test_a_bump_does_not_make_two_crossings():
    points = {0.0: [0.90], 1.0: [0.86], 2.0: [0.88], 3.0: [0.70]}
    found = crossing(points, [0.90], 0.05, std=0.001)
    # 0.86 and 0.88 pool to 0.87; the line at 0.85 lies 2/17 of the way from there to 0.70.
    assert found.value == pytest.approx(2 + 2 / 17)


def test_curves_that_never_cross_say_so():
    high, low = {0.5: [0.90], 2.0: [0.89]}, {0.5: [0.70], 2.0: [0.60]}
    above = crossing(high, [0.90], 0.10, std=0.001)
    assert (above.value, above.bound, above.limit, above.high) == (None, "above", 2.0, None)
    below = crossing(low, [0.90], 0.10, std=0.001)
    assert (below.value, below.bound, below.limit, below.low) == (None, "below", 0.5, None)
    assert above.text() == "above 2"
    assert below.text() == "below 0.5"
    silent = crossing({0.0: [0.70], 2.0: [0.60]}, [0.90], 0.10, std=0.001)
    assert (silent.value, silent.bound, silent.limit) == (None, "unreached", None)
    assert silent.text() == "below the line without noise too"


def test_a_ratio_of_crossings():
    best = {0.0: [0.90], 1.0: [0.88], 2.0: [0.80]}
    plain = {0.0: [0.90], 0.5: [0.86], 1.0: [0.70]}
    found = ratio(best, plain, [0.90], 0.02, std=0.002)
    assert found.value == pytest.approx(1.0 / 0.25)
    assert found.low < 4.0 < found.high
    unseen = ratio(best, {0.5: [0.70], 1.0: [0.60]}, [0.90], 0.02, std=0.002)
    assert (unseen.value, unseen.bound, unseen.limit) == (None, "above", pytest.approx(2.0))
    # The upper curve never falls to the line, the lower one is below it from the start: above 2.0 / 0.5.
    unseen = ratio({0.0: [0.90], 2.0: [0.89]}, {0.5: [0.70], 1.0: [0.60]}, [0.90], 0.02, std=0.002)
    assert (unseen.value, unseen.bound, unseen.limit) == (None, "above", pytest.approx(4.0))
    # Both are below the line from the start: nothing can be said.
    unseen = ratio({0.5: [0.80], 2.0: [0.79]}, {0.5: [0.70], 1.0: [0.60]}, [0.90], 0.02, std=0.002)
    assert (unseen.value, unseen.limit) == (None, None)
    # Only the lower one reaches beyond its levels: below 1.0 / 4.0.
    unseen = ratio(best, {0.0: [0.90], 4.0: [0.89]}, [0.90], 0.02, std=0.002)
    assert (unseen.value, unseen.bound, unseen.limit) == (None, "below", pytest.approx(0.25))
    # The lower one misses the line without noise too: whatever the upper one tolerates is infinitely more.
    endless = ratio(best, {0.0: [0.70], 1.0: [0.60]}, [0.90], 0.02, std=0.002)
    assert (endless.value, endless.bound, endless.limit, endless.low) == (None, "infinite", None, None)
    assert "no finite value" in endless.text()
    # ... by a hair: with seeds like these it may reach the line, so the interval has a lower end.
    hair = ratio(best, {0.0: [0.8797], 1.0: [0.60]}, [0.90], 0.02, std=0.002)
    assert hair.bound == "infinite"
    assert hair.low > 30


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    """95 % intervals of a known curve, 100 times: 95 % within three standard errors of a proportion (6.5 %)."""
    levels = np.asarray([0.5, 1.0, 1.5, 2.0])
    truth = 0.9 - 0.05 * levels
    rng, std, inside = np.random.default_rng(0), 0.005, 0
    for _ in range(100):
        points = {x: list(y + std * rng.standard_normal(2)) for x, y in zip(levels, truth, strict=True)}
        found = crossing(points, list(0.9 + std * rng.standard_normal(2)), 0.06, std)
        inside += found.low <= 1.2 <= found.high if found.low is not None and found.high is not None else 0
    assert inside >= 88


def test_the_spread_of_seeds_is_pooled_and_never_below_the_test_sets():
    assert seed_std([[0.9], [0.8]]) == ASSUMED_SEED_STD
    assert seed_std([[0.90, 0.92], [0.80, 0.80]]) == pytest.approx(np.sqrt((2 * 0.01**2) / 2))
    assert seed_std([[0.5, 0.5]], test_images=100) == pytest.approx(0.05)


def test_tables():
    rows = [
        row("", 0.90, reference="float"),
        row("plain", 0.80, imc__noise__sigma_lsb=0.5),
        row("plain", 0.82, seed=1, imc__noise__sigma_lsb=0.5),
        row("plain", 0.70, imc__noise__sigma_lsb=1.0),
        row("best", None, error="diverged at step 3", imc__noise__sigma_lsb=1.0),
    ]
    curves = curves_of(rows)
    assert curves.axis == SIGMA
    assert curves.by_curve == {"plain": {0.5: [0.80, 0.82], 1.0: [0.70]}}
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [r["accuracy"] for r in table] == ["0.9", "0.8", "0.82", "0.7", ""]
    assert table[4][SIGMA] == "1.0"
    text = as_markdown(rows)
    assert "| 0.5 | 81.00 ± 1.41 % (-9.00) |" in text
    assert "diverged at step 3" in text


def test_figures_have_what_was_measured(tmp_path):
    rows = [row("", 0.9, reference="float")]
    rows += [row("a", 0.9 - 0.1 * x, imc__noise__sigma_lsb=x) for x in (0.0, 0.5, 1.0)]
    draw_axis_figure(curves_of(rows), tmp_path / "a.svg")
    rows = [row("", 0.9, reference="float"), row("grouped", 0.8), row("balanced", 0.85)]
    assert curves_of(rows).axis is None
    draw_variants(curves_of(rows), tmp_path / "b.svg")
    for name in ("a", "b"):
        assert (tmp_path / f"{name}.svg").read_text().count("<path") > 5


def test_only_the_few_variants_far_below_are_cut_off_the_axis():
    close = [62.5, 62.1, 61.3, 60.0, 63.4, 62.9, 62.3, 61.8, 62.6]
    assert lowest_shown([*close, 20.8]) == 60.0
    assert lowest_shown(close) == -np.inf
    assert lowest_shown([29.2, 41.2, 43.9, 48.2, 60.0, 61.2, 66.4, 66.2]) == -np.inf
    assert lowest_shown([*close[:4], 20.0, 21.0, 22.0]) == -np.inf
    assert lowest_shown([62.5]) == -np.inf


def record(tmp_path, sweep, variant, accuracy, seed=0, reference=None, sigma=None, **axes):
    labels = {sweep: {"reference": reference, "variant": variant, "axes": axes, "seed": seed}}
    folder = tmp_path / f"{sweep}-{variant}-{reference}-{seed}-{axes}"
    made = result(test_accuracy=accuracy, sigma_lsb=sigma, test_images=10000)
    return RunRecord(folder, {"model": {"name": "m"}, "data": {"name": "d"}}, made, labels)


def test_claims_are_judged_by_means_over_seeds(tmp_path):
    records = [record(tmp_path, "claims", "", 0.86 + d, seed=s, reference="float") for s, d in enumerate((-0.01, 0.01))]
    records += [record(tmp_path, "claims", "silicon", a, seed=s, sigma=1.0) for s, a in enumerate((0.74, 0.76))]
    records += [record(tmp_path, "claims", "feasible", 0.845, sigma=0.25)]
    for variant, slope in (("best", 0.02), ("plain", 0.08)):
        for x in (0.0, 0.5, 1.0, 2.0):
            records.append(record(tmp_path, "noise", variant, 0.80 - slope * x, sigma=x, **{SIGMA: x}))
    records.append(record(tmp_path, "noise", "", 0.80, reference="float"))
    summary = summarise(records)
    assert summary["baseline_accuracy"] == pytest.approx(0.86)
    silicon, feasible = summary["claims"]
    assert (silicon["id"], silicon["holds"], silicon["sigma_lsb"]) == ("within_10", False, 1.0)
    assert silicon["drop_points"] == pytest.approx(11.0)
    assert silicon["seeds"] == [0, 1]
    # Both pairs of seeds spread by 1.41 points.
    low, high = silicon["drop_interval"]
    assert (low + high) / 2 == pytest.approx(11.0)
    assert high - low == pytest.approx(2 * 1.96 * 1.4142 * np.sqrt(1 / 2 + 1 / 2), rel=1e-3)
    assert feasible["holds"] is True
    found = summary["noise_tolerance_ratio"]
    assert found["value"] == pytest.approx(4.0)
    assert found["low"] < 4.0 < found["high"]
    (ten,) = summary["other_noise_tolerance_ratios"]
    # 10 points below 80 %: the best curve, 4 points down at its last level, never falls there; the plain one at 1.25.
    assert (ten["below"], ten["points"], ten["bound"]) == ("float", 10, "above")
    assert ten["limit"] == pytest.approx(2.0 / 1.25)
    nothing = summarise([record(tmp_path, "other", "x", 0.5)])
    assert [claim["holds"] for claim in nothing["claims"]] == [None, None]
    assert nothing["noise_tolerance_ratio"]["value"] is None


def test_the_ratio_is_that_of_the_pipeline_that_stays_above_the_line_longest(tmp_path):
    records = [record(tmp_path, "noise", "", a, reference=name) for name, a in (("float", 0.80), ("digital", 0.79))]
    for variant, start, slope in (("best", 0.775, 0.02), ("best, four times", 0.79, 0.01), ("plain", 0.60, 0.1)):
        records += [
            record(tmp_path, "noise", variant, start - slope * x, sigma=x, **{SIGMA: x}) for x in (0.0, 0.5, 1.0, 2.0)
        ]
    summary = summarise(records)
    found = [summary["noise_tolerance_ratio"], *summary["other_noise_tolerance_ratios"]]
    named = [(ratio["best"], ratio["below"], ratio["points"], ratio["bound"]) for ratio in found]
    # The plain curve lies 20 points down without noise: no ratio is finite. The first best one crosses neither.
    assert named == [
        ("best, four times", "float", 2, "infinite"),
        ("best", "float", 2, "unknown"),
        ("best, four times", "digital", 2, "infinite"),
        ("best", "digital", 2, "infinite"),
        ("best", "float", 10, "infinite"),
        ("best, four times", "float", 10, "infinite"),
    ]


def kept(root, key, sweep, variant, accuracy, reference=None):
    """A trial as a sweep's folder keeps it."""
    (root / "plan").mkdir(exist_ok=True)
    labels = {sweep: {"reference": reference, "variant": variant, "axes": {}, "seed": 0}}
    (root / "plan" / f"{key}.json").write_text(json.dumps({"labels": labels}))
    folder = root / "trials" / key
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[model]\nname = 'm'\n")
    write_result(folder, test_accuracy=accuracy, sigma_lsb=1.0, test_images=100)


def test_claims_of_a_named_sweep_have_a_summary_of_their_own(tmp_path):
    for sweep, silicon in (("claims", 0.6), ("large", 0.75)):
        kept(tmp_path, f"{sweep}-float", sweep, "", 0.8, "float")
        kept(tmp_path, f"{sweep}-silicon", sweep, "silicon", silicon)
    for options, name, holds in (([], "summary.json", False), (["--sweep", "large"], "large-summary.json", True)):
        done = CliRunner().invoke(app, ["claims", str(tmp_path), *options])
        assert done.exit_code == 0, done.output
        claims = json.loads((tmp_path / name).read_text())["claims"]
        assert [claim["holds"] for claim in claims] == [holds, None]
    refused = CliRunner().invoke(app, ["claims", str(tmp_path), "--sweep", "small"])
    assert isinstance(refused.exception, UserError)
    assert "no results of a sweep 'small'" in str(refused.exception)
    assert "there are claims, large" in str(refused.exception)


def snr_run(folder, **snr):
    folder.mkdir(parents=True)
    lines = [
        {
            "kind": "train",
            "step": step,
            "epoch": 1,
            "loss": 1.0,
            "accuracy": 0.5,
            "gradient_norm": 1.0,
            "sites": {key.replace("__", ":snr_db_"): value + step for key, value in snr.items()},
        }
        for step in (1, 2, 3, 4)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_snr_of_sites_at_the_end_of_training(tmp_path):
    """Means in dB over seeds and the last lines; of a noise axis the level next to 1 LSB that all curves have."""
    records = []
    for variant, seed, level, snr in (
        ("a", 0, 0.7, 10.0),
        ("a", 1, 0.7, 14.0),
        ("a", 0, 1.0, 0.0),
        ("b", 0, 0.7, 20.0),
    ):
        found = record(tmp_path, "noise", variant, 0.5, seed=seed, **{SIGMA: level})
        snr_run(found.folder, conv1__forward=snr, conv1__weight_grad=snr - 5, conv2__forward=snr + 1)
        records.append(found)
    write_sweep(records, "noise", tmp_path)
    table = (tmp_path / "noise-snr.md").read_text()
    assert "| site | MVM | a, 0.7 LSB | b, 0.7 LSB |" in table
    assert "| conv1 | forward | 15.0 | 23.0 |" in table
    assert "| conv1 | weight gradient | 10.0 | 18.0 |" in table
    assert "input gradient" not in table
    assert (tmp_path / "noise-snr.svg").read_text().count("<path") > 5
    assert (tmp_path / "noise-snr.png").stat().st_size > 5000


def test_readers_are_told_on_which_chips_seeds_were_trained(tmp_path):
    def trials(chips, seeds=(0, 1), own=False):
        found = []
        for seed, chip in zip(seeds, chips, strict=True):
            made = record(tmp_path, "noise", "best", 0.8, seed=seed)
            made.config["imc"] = {"path": "exact", "chip_seed": chip, "chip": {}}
            if own:
                made.labels["noise"]["chips"] = "each seed"
            found.append(made)
        return found

    assert "all seeds were trained on the same chip" in chips_told(trials((0, 0)), "noise")
    assert "each seed was trained on a chip of its own" in chips_told(trials((0, 1), own=True), "noise")
    assert chips_told(trials((0,), (0,)), "noise") is None
    assert chips_told(trials((0, 5)), "noise") is None
    # Chips that seeds have of their own make no configurations of their own.
    first, second = (one_configuration(one, "each seed") for one in trials((0, 1), own=True))
    assert first == second
    apart = [one_configuration(one) for one in trials((0, 1))]
    assert apart[0] != apart[1]
