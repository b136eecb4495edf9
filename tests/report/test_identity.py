"""Reports do not mix: a sweep is its folder and its name, a trial its key and its content. From made-up folders."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from kept_results import write_result
from run_tools import call

from imctrain.errors import UserError
from imctrain.records.copies import conflicts_of, copies_of
from imctrain.records.runs import gather
from imctrain.records.sweeps import find_sweep, rows_of, select, stems, sweeps_of, titles
from imctrain.report.claims import summarise
from imctrain.report.mixture import mixture
from imctrain.report.page import write_page
from imctrain.report.sweep_results import write_results, write_sweep

SIGMA = "imc.noise.sigma_lsb"
LEVELS = (0.0, 0.5, 1.0, 2.0)


def trial(folder, key, accuracy, *, name="noise", variant="", reference=None, seed=0, model="mlp", marks=None, **more):
    """A finished trial as a sweep's folder keeps it; `more`: axes (__ for dots), `result` and `config` to be added."""
    result, config = more.pop("result", {}), more.pop("config", "")
    axes = {dotted.replace("__", "."): value for dotted, value in more.items()}
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    label = {"reference": reference, "variant": variant, "axes": axes, "seed": seed, **(marks or {})}
    (folder / "plan" / f"{key}.json").write_text(json.dumps({"labels": {name: label}}))
    run = folder / "trials" / key
    run.mkdir(parents=True)
    text = f"seed = {seed}\n{config}\n[model]\nname = '{model}'\n[data]\nname = 'digits'\n[imc]\npath = 'exact'\n"
    text += "[imc.noise]\nmismatch = false\n"
    (run / "config.toml").write_text(text)
    known = {"model": model, "seed": seed, "sigma_lsb": axes.get(SIGMA), "test_accuracy": accuracy}
    write_result(run, **(known | {"test_images": 10_000} | result))
    return run


def sweep(folder: Path, base: float, slope: float, *, model="mlp", name="noise") -> Path:
    """A float reference at `base`, and a curve that falls by `slope` for each LSB."""
    trial(folder, f"{model}-float", base, name=name, reference="float", model=model)
    for x in LEVELS:
        trial(folder, f"{model}-{x}", base - slope * x, name=name, model=model, imc__noise__sigma_lsb=x)
    return folder


@pytest.fixture
def two(tmp_path):
    """Two folders of one name: 2 points below float at 0.25 LSB in `a`, at 1 LSB in `b`; floats of 90 and 60 %."""
    sweep(tmp_path / "runs" / "a", 0.90, 0.08)
    sweep(tmp_path / "runs" / "b", 0.60, 0.02, model="cnn5")
    return tmp_path / "runs"


def test_two_folders_of_one_name_are_two_sweeps(two):
    records = gather(two)
    first, second = sweeps_of(records)
    assert [(found.folder, found.name) for found in (first, second)] == [(two / "a", "noise"), (two / "b", "noise")]
    assert titles((first, second), two) == {first: "noise in a", second: "noise in b"}
    assert stems((first, second), two) == {first: "noise--a", second: "noise--b"}
    assert [row["accuracy"] for row in rows_of(records, first)] == pytest.approx([0.9, 0.9, 0.86, 0.82, 0.74])
    assert [row["accuracy"] for row in rows_of(records, second)] == pytest.approx([0.6, 0.6, 0.59, 0.58, 0.56])
    assert {record.config["model"]["name"] for record in select(records, second)} == {"cnn5"}
    with pytest.raises(UserError, match=r"2 sweeps are called 'noise': give the folder of one of them: .*a, .*b"):
        rows_of(records, "noise")


def test_results_of_both_are_written_beside_each_other_from_their_own_references(two):
    write_results(two)
    for stem, level in (("noise--a", 0.25), ("noise--b", 1.0)):
        found = json.loads((two / "results" / f"{stem}.json").read_text())
        assert found["crossings_by_points_below_float"]["IMC"]["2"]["value"] == pytest.approx(level)
        assert (len(found["trials"]), found["sweep"]["folder"]) == (5, stem[-1])
        assert (two / "results" / f"{stem}.svg").stat().st_size > 1000
    assert not (two / "results" / "noise.json").exists()
    assert "mlp on digits: noise in a" in (two / "results" / "noise--a.svg").read_text()


def test_the_folders_own_sweep_keeps_its_name(two):
    shutil.copytree(two / "b", two / "a" / "old" / "b")
    write_results(two / "a")
    own = json.loads((two / "a" / "results" / "noise.json").read_text())
    assert [row["accuracy"] for row in own["trials"]][:1] == [0.9]
    assert own["sweep"] == {"name": "noise", "folder": ".", "notes": []}
    assert json.loads((two / "a" / "results" / "noise--old-b.json").read_text())["trials"][0]["accuracy"] == 0.6


def test_no_file_is_written_twice(tmp_path):
    """a/b and a-b would be one file name, and a sweep may be called like another one's file."""
    for place, name in (("a/b", "noise"), ("a-b", "noise"), ("c", "noise--a-b")):
        sweep(tmp_path / place, 0.9, 0.1, name=name)
    found = stems(sweeps_of(gather(tmp_path)), tmp_path)
    assert sorted(found.values()) == ["noise--a-b", "noise--a-b-2", "noise--a-b-3"]
    assert next(stem for key, stem in found.items() if key.name == "noise--a-b") == "noise--a-b"


def test_the_page_tells_sweeps_of_one_name_apart(two, tmp_path):
    sweep(two / "c", 0.7, 0.02)  # the same keys as in a
    page = tmp_path / "page.html"
    assert write_page(two, page) == 15
    text = page.read_text()
    for folder in "abc":
        assert f"Sweep: noise in {folder}" in text
    assert text.count("<td>IMC</td><td>0.25 (") == 1
    # Links of trials with the same key lead to their own runs.
    for anchor in ("a:trials:mlp-0.5", "c:trials:mlp-0.5", "cnn5-0.5"):
        assert text.count(f'id="{anchor}"') == 1
        assert text.count(f'href="#{anchor}"') == 1
        assert text.count(f'<tr class="run" id="{anchor}"') == 1


@pytest.mark.slow
def test_a_copied_folder_is_known_as_a_copy(two, tmp_path):
    shutil.copytree(two / "a", two / "a-backup")
    records = gather(two)
    assert copies_of(records) == {
        run: two / "a" / "trials" / run.name for run in (two / "a-backup" / "trials").iterdir()
    }
    first, copied, _ = sweeps_of(records)
    assert len(rows_of(records, first)) == len(rows_of(records, copied)) == 5
    lines = write_results(two)
    assert "- 5 of its 5 trials are copies of those in a" in lines
    found = json.loads((two / "results" / "noise--a.json").read_text())
    assert found["crossings_by_points_below_float"]["IMC"]["2"]["value"] == pytest.approx(0.25)
    write_page(two, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "15 runs (5 of them copies), 3 sweeps" in text
    assert text.count("A copy of a/trials/") == 5
    assert conflicts_of(records, two) == []


@pytest.mark.slow
def test_one_key_with_two_results_is_told(tmp_path):
    for folder, accuracy, seconds in (("a", 0.8, 1.0), ("b", 0.7, 1.0), ("c", 0.8, 2.0)):
        trial(tmp_path / folder, "key", accuracy, result={"seconds": seconds})
    records = gather(tmp_path)
    assert copies_of(records) == {}
    # Another time it took is no other result.
    (conflict,) = conflicts_of(records, tmp_path)
    assert conflict.startswith("trial key has different results: 80.00 % in a, 70.00 % in b: the same config")
    assert f"NOTE: {conflict}" in write_results(tmp_path)
    write_page(tmp_path, tmp_path / "page.html")
    assert "trial key has different results: 80.00 % in a" in (tmp_path / "page.html").read_text()


def mixed_noise(folder, *, marks=(None, None)):
    """`sweep noise -c a.toml` at two levels, and then `-c b.toml` at two others: the reference has moved on."""
    for model, levels, base, mark in (("mlp", (0.5, 1.0), 0.9, marks[0]), ("cnn5", (2.0, 3.0), 0.6, marks[1])):
        for x in levels:
            trial(folder, f"{model}-{x}", base - 0.02 * x, model=model, marks=mark, imc__noise__sigma_lsb=x)
    trial(folder, "cnn5-float", 0.6, model="cnn5", reference="float", marks=marks[1])
    return folder


MARKED = ({"base": "one", "curve": "x"}, {"base": "two", "curve": "x"})


@pytest.mark.parametrize("marks", [(None, None), MARKED, (None, MARKED[1])], ids=["old", "new", "old and new"])
def test_two_models_under_one_name_in_one_folder_are_no_sweep(tmp_path, marks):
    folder = mixed_noise(tmp_path / "x", marks=marks)
    (folder / "results").mkdir()
    (folder / "results" / "noise.png").write_text("what an older version drew")
    why = mixture(gather(folder), "noise")
    assert "model.name cnn5 and mlp" in why
    lines = write_results(folder)
    assert lines[0].startswith("sweep noise: NOT ONE SWEEP: trials ")
    assert "with another --out, or --name" in lines[0]
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["noise.csv", "noise.json", "noise.md"]
    found = json.loads((folder / "results" / "noise.json").read_text())
    assert (len(found["trials"]), found["mixed"]) == (5, why)
    assert "crossings_by_points_below_float" not in found
    write_page(folder, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Not one sweep: trials " in text
    assert "that costs" not in text
    assert "-1.00</td>" not in text  # nothing against a float of another model


def test_a_float_of_another_model_is_no_reference(tmp_path):
    """All levels of one model, the float of another: the second command asked for no level of its own."""
    for x in LEVELS:
        trial(tmp_path, f"mlp-{x}", 0.9 - 0.02 * x, imc__noise__sigma_lsb=x)
    trial(tmp_path, "cnn5-float", 0.6, model="cnn5", reference="float")
    assert "trial cnn5-float (float) is of another experiment than all others (model.name cnn5 and mlp)" in (
        mixture(gather(tmp_path), "noise") or ""
    )


def test_what_a_sweep_may_vary_is_no_mixture(tmp_path):
    trial(tmp_path, "float", 0.9, reference="float", config="name = 'a'")
    for seed in (0, 1):
        for x in (0.5, 1.0):
            trial(tmp_path, f"p{x}{seed}", 0.8, variant="plain", seed=seed, imc__noise__sigma_lsb=x)
            # A variant may be anything, another model too.
            trial(tmp_path, f"b{x}{seed}", 0.8, variant="big", seed=seed, model="cnn5", imc__noise__sigma_lsb=x)
    records = gather(tmp_path)
    assert mixture(records, "noise") is None
    # Keys that one version writes and another does not know are no difference.
    trial(tmp_path, "p2", 0.8, variant="plain", config="newer = 3", imc__noise__sigma_lsb=2.0)
    assert mixture(gather(tmp_path), "noise") is None


def test_two_trials_of_one_place_are_not_averaged(tmp_path):
    for key, accuracy in (("one", 0.8), ("two", 0.6)):
        trial(tmp_path, key, accuracy, imc__noise__sigma_lsb=1.0)
    assert mixture(gather(tmp_path), "noise") == "trials one and two are both IMC imc.noise.sigma_lsb 1.0, seed 0"


@pytest.mark.parametrize(
    ("key", "what"), [("dataset_content", "data set digits"), ("calibration_sha256", "calibration")]
)
def test_other_data_or_another_chip_of_the_same_name_is_a_mixture(tmp_path, key, what):
    for x, content in ((0.5, "aa"), (1.0, "bb")):
        trial(tmp_path, f"t{x}", 0.8, imc__noise__sigma_lsb=x, result={key: content, "calibration": "chip"})
    assert f"were trained on different content of {what}" in (mixture(gather(tmp_path), "noise") or "")


def test_an_edited_config_and_a_change_on_the_way_are_told(tmp_path):
    run = trial(tmp_path, "t", 0.8, result={"changed": [{"key": "seed", "from": 0, "to": 1, "step": 7}]})
    digest = hashlib.sha256((run / "config.toml").read_bytes()).hexdigest()
    result = json.loads((run / "result.json").read_text()) | {"config_toml_sha256": digest}
    (run / "result.json").write_text(json.dumps(result))
    changed = "- trial t was changed while it trained: seed at step 7"
    edited = "- trial t: config.toml was edited after the training, the result is not of it"
    lines = write_results(tmp_path)
    assert changed in lines
    assert edited not in lines
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("mlp", "vit"))
    assert edited in write_results(tmp_path)
    write_page(tmp_path, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "config.toml was edited after the training" in text
    assert "changed at step 7</td><td>seed: 0, then 1" in text


def claims(folder: Path, float_accuracy: float, silicon: float, name="claims") -> Path:
    trial(folder, f"{name}-f", float_accuracy, name=name, reference="float")
    trial(folder, f"{name}-s", silicon, name=name, variant="silicon", result={"sigma_lsb": 1.0})
    return folder


def test_claims_are_judged_in_one_folder_and_say_which(tmp_path, monkeypatch, capsys):
    """Silicon 15 points below its own float in `a`; against the mean of both floats it would be 5 points."""
    a, b = claims(tmp_path / "a", 0.9, 0.75), claims(tmp_path / "b", 0.7, 0.69)
    assert call(monkeypatch, "claims", tmp_path) == 2
    assert f"2 sweeps are called 'claims': give the folder of one of them: {a}, {b}" in capsys.readouterr().err
    assert call(monkeypatch, "claims", a) == 0
    assert f"claims: sweep claims in {a}\n" in capsys.readouterr().out
    found = json.loads((a / "summary.json").read_text())
    assert (found["claims"][0]["holds"], found["claims"][0]["drop_points"]) == (False, pytest.approx(15.0))
    assert found["sweeps"] == {"claims": {"name": "claims", "folder": "."}, "noise": None}
    # A folder below with a sweep of the same name changes nothing.
    shutil.copytree(b, a / "older")
    assert call(monkeypatch, "claims", a) == 0
    assert json.loads((a / "summary.json").read_text()) == found


def test_claims_take_no_float_from_another_sweep(tmp_path):
    trial(tmp_path, "s", 0.75, name="claims", variant="silicon")
    trial(tmp_path, "f", 0.8, name="noise", reference="float")
    summary = summarise(gather(tmp_path), root=tmp_path)
    assert summary["baseline_accuracy"] is None
    assert [claim["holds"] for claim in summary["claims"]] == [None, None]


def test_a_mixture_is_not_judged(tmp_path):
    claims(tmp_path, 0.9, 0.85)
    trial(tmp_path, "other", 0.5, name="claims", variant="silicon", seed=1, model="cnn5")
    with pytest.raises(UserError, match=r"sweep 'claims' in .* cannot be judged: .*model.name mlp and cnn5.* --out"):
        summarise(gather(tmp_path), root=tmp_path)


def test_the_spread_of_seeds_is_that_of_the_sweep(tmp_path):
    """Few test images in another folder do not widen the intervals of this one."""
    sweep(tmp_path / "a", 0.9, 0.05)
    records = gather(tmp_path)
    write_sweep(records, "noise", tmp_path, tmp_path)
    before = json.loads((tmp_path / "noise.json").read_text())
    trial(tmp_path / "b", "t", 0.5, name="other", result={"test_images": 10})
    write_sweep(gather(tmp_path), find_sweep(records, "noise"), tmp_path, tmp_path)
    assert json.loads((tmp_path / "noise.json").read_text()) == before
    assert before["seed_std"] == pytest.approx(0.005)
    assert np.isfinite(before["crossings_by_points_below_float"]["IMC"]["2"]["value"])
