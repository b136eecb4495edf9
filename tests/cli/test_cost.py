"""`imctrain cost`: what a person and a program get, and what is refused."""

from __future__ import annotations

import json

import pytest
from run_tools import call, write
from technology_tools import near

COMPONENTS = {"adc", "array", "dac", "digital", "write", "move"}


def test_json_holds_a_step_and_a_training(tmp_path, monkeypatch, capsys):
    head = 'imc.rules=[{match="head", path="float"}]'
    assert call(monkeypatch, "cost", "-c", write(tmp_path), "--set", head, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    totals = found["totals"]
    assert set(found["components"]) == COMPONENTS
    assert sum(found["components"].values()) == near(totals["energy_step_j"])
    parts = sum(site["energy_j"] for site in found["sites"]) + sum(part["energy_j"] for part in found["unsited"])
    assert parts == near(totals["energy_step_j"])
    assert totals["energy_training_j"] == near(totals["steps"] * totals["energy_step_j"])
    assert totals["digital_int8_ratio"] == near(found["references"]["int8"]["ratio"])
    assert totals["tops_per_w"] == near(2e3 / totals["fj_per_mac"])
    assert found["technology"]["name"] == "laws-28nm"
    assert set(found["components_provenance"].values()) <= {"measured", "published", "derived", "assumed"}
    assert {change["what"] for change in found["what_if"]} >= {"17 macros", "split_vectors"}


def test_a_table_and_a_picture(tmp_path, monkeypatch, capsys):
    picture = tmp_path / "cost.svg"
    assert call(monkeypatch, "cost", "-c", write(tmp_path), "--plot", str(picture), "--technology", "vlsi21-28nm") == 0
    out = capsys.readouterr().out
    for text in ("stem", "fwd", "dX", "a step", "elementwise", "update", "vlsi21-28nm", "bottleneck:", "INT8"):
        assert text in out
    assert max(map(len, out.splitlines())) < 260
    drawn = picture.read_text()
    assert "busy macros of 16" in drawn
    assert "energy of a step" in drawn


def test_float_training_is_counted_too(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "cost", "-c", write(tmp_path), "--set", "imc.path=float", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["components"]["adc"] == 0
    assert found["totals"]["digital_fp32_ratio"] == 1.0
    assert {site["path"] for site in found["sites"]} == {"float"}


@pytest.mark.parametrize(
    ("technology", "supply", "tops"),
    [("jia2020-65nm", None, 401), ("jia2020-65nm", "1.2", 192.3), ("vlsi21-28nm", None, 5796), (None, None, 5085)],
)
def test_peak_figures_need_no_config(technology, supply, tops, monkeypatch, capsys):
    chosen = [*(("--technology", technology) if technology else ()), *(("--supply", supply) if supply else ())]
    assert call(monkeypatch, "cost", "--peak", "--json", *chosen) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tops_per_w"] == near(tops, rel=1e-3)
    if (technology, supply) == ("jia2020-65nm", None):
        assert [point["supply_v"] for point in found["operating_points"]] == [0.85, 1.2]
    assert call(monkeypatch, "cost", "--peak", *chosen) == 0
    assert "TOPS/W" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cost",), "--config FILE"),
        (("cost", "-c", "CONFIG", "--run", "there"), "one of"),
        (("cost", "--run", "nowhere"), "no run"),
        (("cost", "-c", "CONFIG", "--technology", "none-5nm"), "laws-28nm"),
        (("cost", "-c", "CONFIG", "--supply", "9"), "supply_v"),
        (("cost", "-c", "CONFIG", "--supply", "0.3"), "too far"),
        (("cost", "-c", "CONFIG", "--plot", "cost.gif"), ".png"),
        (("cost", "--peak", "--technology", "none-5nm"), "laws-28nm"),
        (("cost", "--run", "somewhere", "--value-aware"), "--run"),
    ],
)
def test_bad_input_gets_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    config = write(tmp_path)
    assert call(monkeypatch, *(config if word == "CONFIG" else word for word in arguments)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
