"""`imctrain inspect`: the ledger, as a table for people and as records for programs."""

from __future__ import annotations

import json

import pytest
from run_tools import call, write


@pytest.mark.slow
def test_records_hold_every_site_and_mvm(tmp_path, monkeypatch, capsys):
    head = 'imc.rules=[{match="head", path="float"}, {match="layer1", path="digital"}]'
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), "--set", head, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    sites = {record["site"]: record for record in found["sites"]}
    assert {name: record["path"] for name, record in sites.items()} == {
        "stem": "exact",
        "layer1": "digital",
        "head": "float",
    }
    forward, weight_grad = sites["stem"]["mvms"]
    assert (forward["vectors"], forward["contraction"], forward["outputs"]) == (32, 64, 16)
    assert (forward["tiles"], forward["passes"], forward["planes"]) == (1, 1, 4)
    assert forward["conversions"] == 32 * 16 * 4
    assert forward["macs"] == 32 * 64 * 16
    assert weight_grad["mvm"] == "weight_grad"
    assert weight_grad["passes"] == 3
    for mvm in (forward, weight_grad):
        assert 0 < mvm["snr_db"] < 60
        assert 0 < mvm["range"] <= 1
    assert sites["head"]["mvms"] == []
    energies = [site["energy_j"] for site in sites.values()]
    assert all(energy > 0 for energy in energies)
    assert sum(energies) < found["energy_step_j"]
    for name in ("stem", "layer1"):
        assert sum(mvm["energy_j"] for mvm in sites[name]["mvms"]) == sites[name]["energy_j"]


@pytest.mark.slow
def test_passes_of_a_small_dac_are_counted(tmp_path, monkeypatch, capsys):
    settings = ("imc.array.input_bits=1", "imc.mapping.gradient=bit_serial", "imc.mvms=['forward']")
    overrides = [part for setting in settings for part in ("--set", setting)]
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), *overrides, "--json") == 0
    sites = {record["site"]: record for record in json.loads(capsys.readouterr().out)["sites"]}
    # The stem's inputs are int4 (3, 3, 1), those after a ReLU uint4 (8, 4, 2, 1).
    for name, passes in (("stem", 3), ("layer1", 4)):
        forward = sites[name]["mvms"][0]
        assert forward["passes"] == passes
        size = forward["vectors"] * forward["outputs"] * forward["tiles"] * forward["planes"]
        assert forward["conversions"] == passes * size


@pytest.mark.slow
def test_more_noise_shows_as_less_snr(tmp_path, monkeypatch, capsys):
    def snr(scale: float) -> float:
        assert call(monkeypatch, "inspect", "-c", write(tmp_path), "--set", f"imc.noise.scale={scale}", "--json") == 0
        return json.loads(capsys.readouterr().out)["sites"][0]["mvms"][0]["snr_db"]

    assert snr(1.0) > snr(4.0) + 3.0


def test_the_table_names_what_is_digital(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    head = 'imc.rules=[{match="head", path="float"}]'
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), "--set", head) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-3])) <= 80
    assert "float (digital)" in out
    assert out.splitlines()[0].split()[-1] == "uJ"
    assert "A step takes " in out
    assert "2 of 3 sites on the array, 1 digital; " in out
    assert "SNR measured on one batch of digits, untrained weights." in out


@pytest.mark.slow
def test_the_table_says_which_path_auto_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    # 0.6 LSB of noise dithers the converters at full range, a tenth of it does not.
    settings = ("imc.path=auto", "imc.noise={sigma_lsb=0.6, mismatch=false}", "imc.adc={range_policy='fixed'}")
    rule = 'imc.rules=[{match="[hl]*", overrides={"noise.scale"=0.1}}]'
    overrides = [part for setting in (*settings, rule) for part in ("--set", setting)]
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), *overrides) == 0
    lines = capsys.readouterr().out.splitlines()
    taken = {line[:7].strip(): line.split()[-1] for line in lines[1:] if line[:7].strip() in ("stem", "layer1", "head")}
    assert taken == {"stem": "stat.", "layer1": "exact", "head": "exact"}
    assert lines[0].split()[-1] == "sim"
    assert max(map(len, lines[:-3])) <= 80


def test_a_float_experiment_has_nothing_to_inspect(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), "--set", "imc.path=float") == 2
    assert "imc.path = 'float' has no sites: nothing is on the array" in capsys.readouterr().err


@pytest.mark.slow
def test_dead_columns_and_spare_ones_have_a_line(tmp_path, monkeypatch, capsys):
    from imctrain.calibration import load_calibration, save_calibration
    from imctrain.calibration.schema import Column, Fit

    columns = (Column(column=0, gain=0.0, offset_lsb=2.0), *(Column(column=k) for k in range(1, 64)))
    chip = load_calibration("feasible-assumed").model_copy(update={"columns": columns, "fit": Fit(dead_columns=(0,))})
    save_calibration(chip, tmp_path / "dead.json")
    asked = ("--set", "imc.calibration=dead.json", "--set", "imc.array.spare_columns=16")
    assert call(monkeypatch, "inspect", "-c", write(tmp_path), *asked) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "columns of 16 macros are dead (1.6 % of the measured ones are); 16 of 256 columns of a macro are spare" in text
    )
    assert "240 hold operands, 0 dead ones among them" in text
