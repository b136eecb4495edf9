"""SNR of the gradient mappings: against the formula, at equal conversions, and its figure."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from run_tools import call, write
from tiers import slow

from imctrain.errors import UserError
from imctrain.report.mapping_figure import FILE, draw_mapping_snr
from imctrain.settings import Config
from imctrain.studies.mapping_snr import Settings, measure, write_results
from imctrain.studies.recording import MvmRecord, Recording, save_recording

TOLERANCE_DB = 0.35
"""The power of 32 x 24 x 24 errors is good to 0.05 dB; rounding is not quite as independent as the formula has it."""


def synthetic(step=0, mvm="weight_grad", rows=1152, tiles=2, of_tiles=4, signed=True):
    """Random gradients of many magnitudes on random codes."""
    rng = np.random.default_rng(step)
    contraction, shape = 64 * tiles, (1, 24, 64 * tiles)
    driven = np.exp(rng.uniform(0.0, np.log(4096.0), shape)) * rng.choice([-1.0, 1.0], shape)
    stored = rng.integers(-7 if signed else 0, 8 if signed else 16, (1, 24, contraction))
    signal = float(np.mean(np.einsum("gmk,gnk->gmn", driven, stored) ** 2))
    sizes = (1, 24, 64 * of_tiles, 24)
    return MvmRecord(
        step, "site", mvm, driven.astype(np.float32), stored.astype(np.float32), 1.0, 1.0, signed, signal, 64, of_tiles,
        rows, *sizes,
    )  # fmt: skip


def recording(*records):
    steps = sorted({r.step for r in records})
    about = {"config": Config().model_dump(mode="json", exclude_none=True), "steps": steps, "sites": ["site"]}
    return Recording(about, records)


@pytest.fixture(scope="module")
def results():
    records = (synthetic(0, "input_grad"), synthetic(1, "weight_grad", signed=False))
    return measure(recording(*records), Settings(sigmas=(0.5, 1.0)))


def of(results, **wanted):
    found = [r for r in results["records"] if all(r[key] == value for key, value in wanted.items())]
    assert found
    return found


@pytest.mark.slow
def test_the_formula_holds_where_noise_dithers_the_converter(results):
    for r in of(results, sigma_lsb=0.5) + of(results, sigma_lsb=1.0):
        if r["clipped"] < 1e-5:
            assert abs(r["snr_db"] - r["snr_db_predicted"]) < TOLERANCE_DB, r
    assert sum(r["clipped"] < 1e-5 for r in results["records"]) > len(results["records"]) / 2


@pytest.mark.slow
def test_every_mapping_gets_the_same_conversions(results):
    assert {r["conversions"] for r in results["records"]} == {21}
    repeats = {r["mapping"]: (r["passes"], r["repeats"]) for r in results["records"]}
    assert repeats == {"bit_serial": (7, 3), "grouped": (3, 7), "balanced": (3, 7)}


@pytest.mark.slow
def test_averaging_gains_what_independent_noise_gives(results):
    for r in of(results, sigma_lsb=1.0):
        assert abs(r["snr_db"] - r["snr_db_once"] - 10 * np.log10(r["repeats"])) < TOLERANCE_DB


@pytest.mark.slow
def test_at_a_fixed_range_gains_are_those_of_the_coefficients_and_of_repeating(results):
    for mvm in ("input_grad", "weight_grad"):
        by_mapping = {r["mapping"]: r["snr_db"] for r in of(results, mvm=mvm, range_policy="fixed", sigma_lsb=1.0)}
        repeating = 10 * np.log10(7 / 3)
        expected = {"bit_serial": 0.0, "grouped": repeating, "balanced": repeating + 20 * np.log10(264.4 / 147.8)}
        for mapping, gain in expected.items():
            assert abs(by_mapping[mapping] - by_mapping["bit_serial"] - gain) < TOLERANCE_DB


@pytest.mark.slow
def test_ranges_settle_below_one_and_help(results):
    for mapping in ("bit_serial", "grouped", "balanced"):
        here = {"mapping": mapping, "sigma_lsb": 1.0, "mvm": "weight_grad"}
        (fixed,), (settled,) = (of(results, range_policy=policy, **here) for policy in ("fixed", "per_site"))
        assert set(fixed["ranges"]) == {1.0}
        assert max(settled["ranges"]) < 1.0
        assert settled["snr_db"] > fixed["snr_db"]


@pytest.mark.slow
def test_without_noise_repeating_gains_nothing():
    found = measure(recording(synthetic()), Settings(sigmas=(0.0,), policies=("fixed",), trials=2))
    for r in found["records"]:
        assert r["snr_db"] == pytest.approx(r["snr_db_once"], abs=1e-6)


def test_bad_input_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"--conversions 6 is less than the 7 passes of bit_serial"):
        measure(recording(synthetic()), Settings(conversions=6))
    with pytest.raises(UserError, match=r"recorded in row tiles for 512 rows, the calibration has 1152"):
        measure(recording(synthetic(rows=512)), Settings())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*--out"):
        write_results({}, tmp_path / "file")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [slow((0,)), slow((0, 1)), slow((0, 1, 2, 3))])
def test_the_figure_needs_the_json_alone(results, steps, tmp_path):
    records = [r | {"step": step} for step in steps for r in results["records"]]
    about = results["recording"] | {"steps": list(steps)}
    (tmp_path / FILE).write_text(json.dumps(results | {"records": records, "recording": about}))
    draw_mapping_snr(tmp_path / FILE, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert min(picture.size) > 1500
        assert len(picture.convert("RGB").getcolors(2**20)) > 100


@pytest.mark.slow
def test_the_command_writes_results_and_figures(tmp_path, monkeypatch, capsys):
    save_recording(recording(synthetic()), tmp_path / "g.npz")
    arguments = ("mapping-snr", tmp_path / "g.npz", "--out", tmp_path / "out", "--sigma", "1", "--sigma", "0.5")
    assert call(monkeypatch, *arguments) == 0
    out = capsys.readouterr().out
    assert "per_site, 1 LSB: balanced +" in out
    found = json.loads((tmp_path / "out" / FILE).read_text())
    assert found["settings"]["sigmas"] == [0.5, 1.0]
    keys = {"step", "site", "mvm", "mapping", "sigma_lsb", "range_policy", "snr_db", "snr_db_predicted"}
    assert keys <= set(found["records"][0])
    assert len(found["records"]) == 3 * 2 * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {FILE, "mapping_snr.png", "mapping_snr.svg"}
    assert call(monkeypatch, "mapping-snr", write(tmp_path)) == 2
    assert call(monkeypatch, "mapping-snr", tmp_path / "none.npz") == 2
    assert call(monkeypatch, "mapping-snr", tmp_path / "g.npz", "--calibration", "nonesuch") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("imctrain: ") for line in errors)
