"""Calibration files: what is valid, where they are found, and that the shipped ones are honest."""

from __future__ import annotations

import json
import stat

import pytest
from pydantic import ValidationError

from imctrain.calibration import (
    Calibration,
    find_calibration,
    load_calibration,
    parse_calibration,
    save_calibration,
    shipped_names,
)
from imctrain.calibration.consistency import inconsistencies
from imctrain.errors import UserError
from imctrain.files import replacing

BASE_KEYS = ["schema_version", "name", "provenance", "notes", "source", "array", "adc", "noise", "columns", "spread"]
BASE_KEYS += ["inl", "fit"]


def minimal(**changes):
    sigma = {"value": 0.5, "low": 0.5, "high": 0.5}
    return {"schema_version": "1.0", "name": "x", "provenance": "assumed", "noise": {"sigma_lsb": sigma}} | changes


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_calibrations_are_valid_consistent_and_say_that_nobody_measured_them(name):
    calibration = load_calibration(name)
    assert calibration.name == name
    assert calibration.provenance == "assumed"
    assert calibration.source is None
    assert calibration.notes
    assert inconsistencies(calibration) == []
    # The file is the layout and nothing else, and writing it again changes nothing.
    text = find_calibration(name).read_text()
    assert list(json.loads(text)) == BASE_KEYS
    assert json.loads(calibration.model_dump_json()) == json.loads(text)


def test_the_shipped_ones_are_there():
    assert shipped_names() == ["feasible-assumed", "ideal", "vlsi21-28nm-assumed"]
    assert load_calibration("ideal").noise.sigma_lsb.value == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (minimal(schema_version="2.0"), "schema_version 2.0 is not supported, this version reads 1.x"),
        (minimal(schema_version="two"), "schema_version is 'two'"),
        ({"name": "x"}, "schema_version is None"),
        ([1], "holds no JSON object"),
        (minimal(provenance="measured"), "provenance 'measured' needs a source"),
        (minimal(provenance="guessed"), "provenance: Input should be 'measured', 'published' or 'assumed'"),
        (minimal(source={"file": "a", "sha256": "b", "rows": 1, "date": "c"}), "only 'measured' may name measurements"),
        (minimal(gain=1), "gain: Extra inputs are not permitted"),
        (minimal(noise={"sigma_lsb": {"value": 0.5, "low": 0.6, "high": 0.7}}), "low <= value <= high does not hold"),
        (minimal(noise={"sigma_lsb": {"value": -1, "low": -1, "high": -1}}), "noise.sigma_lsb.value"),
        (minimal(columns=[{"column": 1}, {"column": 1}]), "a column is listed twice"),
        (minimal(columns=[{"column": 256}]), "column 256 is beyond the array's 256 columns"),
        (minimal(inl={"v": [0, 1], "lsb": [0]}), "v has 2 knots but lsb has 1 values"),
        (minimal(inl={"v": [1, 0], "lsb": [0, 0]}), "knots in v must rise"),
        (minimal(inl={"v": [0, 1], "lsb": [0, 0], "low": [0]}), "v has 2 knots but low has 1 values"),
    ],
)
def test_what_is_not_a_calibration_is_refused_in_one_line(content, says):
    with pytest.raises(UserError) as error:
        parse_calibration(content, "x.json")
    assert str(error.value).startswith("calibration x.json: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("minor", ["1.0", "1.7"])
def test_minor_versions_are_read(minor):
    assert parse_calibration(minimal(schema_version=minor), "x").schema_version == minor


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"schema_version": NaN}', "\x00"])
def test_files_that_are_not_json(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"^calibration .*x\.json"):
        load_calibration(str(path))


def test_nan_is_refused():
    with pytest.raises(ValidationError):
        Calibration.model_validate(minimal(spread={"gain_std": float("nan")}))


def test_paths_are_relative_to_the_config_then_to_here(tmp_path, monkeypatch):
    here, config = tmp_path / "here", tmp_path / "config"
    for folder in (here, config):
        folder.mkdir()
    monkeypatch.chdir(here)
    save_calibration(parse_calibration(minimal(name="of here"), "x"), here / "a.json")
    assert load_calibration("a.json", config).name == "of here"
    save_calibration(parse_calibration(minimal(name="of config"), "x"), config / "a.json")
    assert load_calibration("a.json", config).name == "of config"
    with pytest.raises(UserError, match="one of the shipped feasible-assumed, ideal, vlsi21-28nm-assumed"):
        load_calibration("b.json", config)


def test_saving_is_complete_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    calibration = parse_calibration(minimal(), "x")
    save_calibration(calibration, path)
    assert load_calibration(str(path)) == calibration
    assert path.stat().st_mode & stat.S_IRGRP
    before = path.read_text()

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(UserError, match="does not exist"):
        save_calibration(calibration, tmp_path / "nowhere" / "a.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"noise": {"sigma_lsb": 1.0, "sigma_array_lsb": 0.5, "sigma_adc_lsb": 0.5}}, "make 0.707 LSB, sigma_lsb is 1"),
        ({"noise": {"sigma_lsb": 1.0, "sigma_array_lsb": 0.5}}, "one of sigma_array_lsb and sigma_adc_lsb is null"),
        ({"inl": {"v": [-1.5, 1], "lsb": [0, 0]}}, "knot v = -1.5 is outside -1..1"),
        ({"inl": {"v": [-1, 1], "lsb": [0, 100]}}, "is it in LSB?"),
        ({"columns": [{"column": 0, "offset_lsb": 300}]}, "offset 300 LSB of column 0"),
        ({"columns": [{"column": 0, "gain": 128}]}, "gain 128 of column 0: 1 is nominal"),
    ],
)
def test_contradictions_are_found(change, says):
    if "noise" in change:
        noise = {key: {"value": x, "low": x, "high": x} for key, x in change["noise"].items()}
        change = {"noise": noise}
    assert says in inconsistencies(parse_calibration(minimal(**change), "x"))[0]
