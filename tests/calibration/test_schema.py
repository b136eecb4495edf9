"""Calibration files: what is valid, where they are found, and that the shipped ones are honest."""

from __future__ import annotations

import json
import re
import stat

import pytest
from pydantic import ValidationError
from run_tools import TINY, call, write

from imctrain.calibration import (
    Calibration,
    find_calibration,
    load_calibration,
    parse_calibration,
    save_calibration,
    shipped_names,
)
from imctrain.calibration.schema.consistency import inconsistencies
from imctrain.calibration.summary.headline import origin
from imctrain.errors import UserError
from imctrain.experiment.identity import calibration_hash
from imctrain.files import replacing

EXAMPLE = "example-three-dies"
PUBLISHED = "yoshioka2023-65nm"
BASE_KEYS = ["schema_version", "name", "provenance", "notes", "source", "array", "adc", "noise", "columns", "spread"]
BASE_KEYS += ["inl", "fit"]


def minimal(**changes):
    sigma = {"value": 0.5, "low": 0.5, "high": 0.5}
    return {"schema_version": "1.0", "name": "x", "provenance": "assumed", "noise": {"sigma_lsb": sigma}} | changes


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_calibrations_are_valid_consistent_and_say_that_nobody_measured_them(name):
    calibration = load_calibration(name)
    assert calibration.name == name
    assert calibration.provenance == ("published" if name == PUBLISHED else "assumed")
    assert calibration.source is None
    assert calibration.notes
    assert inconsistencies(calibration) == []
    # The file is the layout and nothing else, and writing it again changes nothing.
    text = find_calibration(name).read_text()
    keys = list(json.loads(text))
    assert keys[: len(BASE_KEYS)] == BASE_KEYS
    assert keys in (BASE_KEYS, [*BASE_KEYS, "provenance_of"]) or name == EXAMPLE
    assert json.loads(calibration.model_dump_json()) == json.loads(text)


def test_the_example_has_three_dies_at_three_temperatures_and_says_what_drew_it():
    example = load_calibration(EXAMPLE)
    assert [die.die for die in example.dies] == ["d0", "d1", "d2"]
    assert (example.temperature.lowest, example.temperature.highest) == (-40, 85)
    assert "drawn by imctrain's virtual chip" in example.notes
    assert "calibration/make_example.py" in example.notes
    # The figures that it was drawn with lie in the intervals that it has.
    assert example.temperature.gain_per_unit.low < -2e-5 < example.temperature.gain_per_unit.high
    assert example.die_spread.offset_std_ci_lsb[0] < 0.3 < example.die_spread.offset_std_ci_lsb[1]


def test_the_shipped_ones_are_there():
    assumed = ["feasible-assumed", "ideal", "jia2020-65nm-assumed", "vlsi21-28nm-assumed"]
    assert shipped_names() == [EXAMPLE, *assumed, PUBLISHED]
    assert load_calibration("ideal").noise.sigma_lsb.value == 0


def dependence(value: float, low: float, high: float) -> dict[str, object]:
    """Of gain on temperature, with bounds; of nothing else."""
    none = {"value": 0, "low": 0, "high": 0}
    slopes = {"gain_per_unit": {"value": value, "low": low, "high": high}, "offset_lsb_per_unit": none}
    return {"reference": 25, "lowest": 0, "highest": 85, **slopes, "sigma_per_unit": none}


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
        (minimal(columns=[{"column": 0, "gain": True}]), "columns.0.gain: true is no number"),
        (minimal(inl={"v": [0, True], "lsb": [0, 0]}), "inl.v: true is no number"),
        (minimal(array={"columns": "8"}), 'array.columns: "8" is no number: write it without quotes'),
        (minimal(spread={"gain_std": "0.1"}), 'spread.gain_std: "0.1" is no number'),
        (minimal(spread={"gain_std_ci": ["0.1", 0.2]}), 'spread.gain_std_ci: "0.1" is no number'),
        (minimal(columns=[{"column": 0, "gain_ci": [2, 1]}]), "columns.0.gain_ci: low <= high does not hold"),
        (minimal(spread={"gain_std": 0.1, "gain_std_ci": [0.2, 0.1]}), "spread.gain_std_ci: low <= high does not"),
        (
            minimal(columns=[{"column": 3, "gain_ci": [2, 3]}]),
            "(column 3).gain = 1 lies outside of its interval gain_ci",
        ),
        (minimal(columns=[{"column": 3, "sigma_lsb": 1, "sigma_ci_lsb": [2, 3]}]), "sigma_lsb = 1 lies outside of its"),
        (minimal(temperature=dependence(0.5, 0.6, 0.7)), "low <= value <= high does not hold for 0.6, 0.5, 0.7"),
        (minimal(temperature=dependence(0.5, 0.6, 0.4)), "low <= value <= high does not hold for 0.6, 0.5, 0.4"),
        (minimal(array={"columns": 8}, fit={"dead_columns": [99]}), "dead_columns names column 99: the array has 8"),
        (
            minimal(array={"columns": 8}, fit={"outlier_columns": [8]}),
            "outlier_columns names column 8: the array has 8",
        ),
        (minimal(fit={"dead_columns": [-1]}), "fit.dead_columns names column -1"),
    ],
)
def test_what_is_not_a_calibration_is_refused_in_one_line(content, says):
    with pytest.raises(UserError) as error:
        parse_calibration(content, "x.json")
    assert str(error.value).startswith("calibration x.json: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_figures_that_are_outside_of_their_interval_by_rounding_are_taken():
    column = {"column": 0, "gain": 1.0, "gain_ci": [1.00000999, 1.0002], "sigma_lsb": 0, "sigma_ci_lsb": [0, 0.05]}
    read = parse_calibration(minimal(columns=[column], temperature=dependence(0.5, 0.5000001, 0.6)), "x")
    assert read.columns[0].gain_ci == (1.00000999, 1.0002)
    # Whole numbers stand for themselves where a fraction may be, and the other way round.
    assert parse_calibration(minimal(columns=[{"column": 0.0, "gain": 1}]), "x").columns[0].column == 0


@pytest.mark.parametrize(
    ("text", "key"), [('{"name": "a", "name": "b"}', "name"), ('{"noise": {"sigma": 1, "sigma": 1}}', "sigma")]
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text, key):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^calibration .*x.json: the key '{key}' stands twice in one object"):
        load_calibration(str(path))


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
    with pytest.raises(UserError, match="one of the shipped example-three-dies, feasible-assumed, ideal, jia2020"):
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


def noise(**sigmas):
    return {"noise": {key: {"value": x, "low": min(x, 0), "high": x} for key, x in sigmas.items()}}


def column(**figures):
    return {"columns": [{"column": 0}, {"column": 5} | figures]}


WRONG = [
    (noise(sigma_lsb=1.0, sigma_array_lsb=0.5, sigma_adc_lsb=0.5), "make 0.707 LSB, sigma_lsb is 1"),
    (noise(sigma_lsb=1.0, sigma_array_lsb=0.5), "one of sigma_array_lsb and sigma_adc_lsb is null"),
    (noise(sigma_lsb=1e6), "noise.sigma_lsb = 1e+06 is not possible: allowed is 0 to 256"),
    ({"inl": {"v": [-1.5, 1], "lsb": [0, 0]}}, "inl.v.0 = -1.5 is not possible: allowed is -1 to 1"),
    (
        {"inl": {"v": [-0.5, 1], "lsb": [0, 0]}, "adc": {"polarity": "unipolar"}},
        "inl.v.0 = -0.5 is not possible: allowed is -1e-06 to 1; knots are inputs of a unipolar converter",
    ),
    ({"inl": {"v": [-1, 1], "lsb": [0, 100]}}, "inl.lsb.1 = 100 is not possible: allowed is -64 to 64"),
    ({"inl": {"v": [-1, 1], "lsb": [1e6, 0]}}, "is it in LSB?"),
    (column(offset_lsb=300), "columns.1 (column 5).offset_lsb = 300 is not possible: allowed is -256 to 256"),
    (column(gain=128), "columns.1 (column 5).gain = 128 is not possible: allowed is 0 to 4; 0 is a dead column, 1 is"),
    (column(gain=1e300), "columns.1 (column 5).gain = 1e+300 is not possible"),
    (column(gain=-1), "the column's code falls as its input rises: correct the sign of one of them"),
    (column(sigma_lsb=1e4), "columns.1 (column 5).sigma_lsb = 10000 is not possible"),
    ({"spread": {"gain_std": 999999}}, "spread.gain_std = 999999 is not possible: allowed is 0 to 1"),
    ({"spread": {"offset_std_lsb": 1e9}}, "spread.offset_std_lsb = 1e+09 is not possible: allowed is 0 to 256"),
    (
        {"die_spread": {"gain_std": 2, "offset_std_lsb": 0, "sigma_std_lsb": 0}},
        "die_spread.gain_std = 2 is not possible",
    ),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_what_no_chip_has_is_refused_wherever_a_file_is_read(tmp_path, monkeypatch, capsys, change, says):
    """Training reads a calibration as `calibrate --check` does: the same line, exit code 2."""
    assert says in inconsistencies(Calibration.model_validate(minimal(**change)))[0]
    file = tmp_path / "x.json"
    file.write_text(json.dumps(minimal(**change)))
    with pytest.raises(UserError) as error:
        load_calibration(str(file))
    assert str(error.value).startswith(f"calibration {file}: ")
    assert says in str(error.value)
    config = write(tmp_path, TINY + f'\nimc.calibration = "{file}"')
    for command in (("calibrate", "--check", file), ("run", "-c", config, "-o", tmp_path / "run")):
        assert call(monkeypatch, *command) == 2
        assert capsys.readouterr().err == f"imctrain: {error.value}\n"
    assert not (tmp_path / "run").exists()


def test_dead_columns_and_wide_but_possible_figures_are_read():
    change = column(gain=0.0, offset_lsb=-128) | {"spread": {"gain_std": 0.2, "offset_std_lsb": 20}}
    assert parse_calibration(minimal(**change), "x").columns[1].gain == 0
    # A converter of more bits has more LSB.
    wide = noise(sigma_lsb=300.0) | {"adc": {"bits": 12}}
    assert parse_calibration(minimal(**wide), "x").noise.sigma_lsb.value == 300


def test_several_faults_are_counted():
    change = column(gain=-1) | {"spread": {"gain_std": 7}}
    with pytest.raises(UserError, match=r"leave the column out \(and 1 more\)$"):
        parse_calibration(minimal(**change), "x")


def test_figures_from_elsewhere_are_named_and_told():
    shipped = load_calibration("jia2020-65nm-assumed")
    assert shipped.provenance == "assumed"
    assert shipped.provenance_of == {"array": "published", "adc.bits": "published"}
    assert origin(shipped) == "assumed, not measured; published: array, adc.bits"
    data = shipped.model_dump(mode="json")
    for named, told in (
        ({"adc.bit": "published"}, "provenance_of names 'adc.bit', which is no section and no figure of one"),
        (
            {"noise.sigma_lsb": "measured"},
            "provenance_of says that noise.sigma_lsb is measured, and there is no",
        ),
        ({"noise": "guessed"}, "provenance_of"),
    ):
        with pytest.raises(UserError, match=re.escape(told)):
            parse_calibration(data | {"provenance_of": named}, "f.json")


def test_where_figures_come_from_is_no_other_chip():
    """A sweep of before there was `provenance_of` goes on."""
    plain = load_calibration("vlsi21-28nm-assumed")
    assert calibration_hash(plain) == calibration_hash(plain.model_copy(update={"provenance_of": None}))


def test_the_published_macro_says_what_its_paper_states_and_what_it_does_not():
    chip = load_calibration(PUBLISHED)
    assert (chip.array.rows, chip.array.columns, chip.adc.bits, chip.noise.sigma_lsb.value) == (1088, 78, 10, 0.58)
    assert chip.noise.sigma_lsb.low == pytest.approx((0.58**2 - 1 / 12) ** 0.5, abs=0.005)
    assert max(map(abs, chip.inl.lsb)) < 2, "the bound that is printed"
    assert set(chip.provenance_of.values()) == {"assumed"}
    assert {"spread", "inl", "adc.polarity", "array.cell"} <= set(chip.provenance_of)
    assert "arXiv:2302.06463" in chip.notes
