"""Technology files: shipped ones are complete and sourced, wrong ones are told in one line, a base fills the rest."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
from technology_tools import near

import imctrain.files
from imctrain.calibration import shipped_names as shipped_calibrations
from imctrain.errors import UserError
from imctrain.technology import find_technology, load_technology, own_design, parse_technology, rates, shipped_names
from imctrain.technology.quantity import STRENGTH

CALIBRATIONS = [
    "example-three-dies",
    "feasible-assumed",
    "ideal",
    "jia2020-65nm-assumed",
    "vlsi21-28nm-assumed",
    "yoshioka2023-65nm",
]
SHIPPED = ["jia2020-65nm", "laws-28nm", "survey-28nm", "vlsi21-28nm"]


def content(name="laws-28nm"):
    return json.loads(find_technology(name).read_text())


def changed(**figures):
    """The laws with figures replaced: energy__converter=... for energy.converter; None takes it out."""
    data = content()
    for key, value in figures.items():
        *sections, last = key.split("__")
        part = data
        for section in sections:
            part = part[section]
        if value is None:
            del part[last]
        else:
            part[last] = value
    return data


def number(**changes):
    return {"value": 1.0, "unit": "pJ", "provenance": "assumed", "source": "for a test", "checked": False} | changes


def test_shipped_technologies_leave_the_calibrations_alone():
    assert shipped_names() == SHIPPED
    assert shipped_calibrations() == CALIBRATIONS


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_figure_has_a_value_a_source_and_a_provenance(name):
    technology = load_technology(name)
    assert technology.name == name
    for key, figure in technology.figures():
        assert figure is not None, key
        assert figure.provenance in STRENGTH
        assert len(figure.source) > 20, key
        # Nothing that nobody has seen, and nothing assumed without saying within what.
        if figure.provenance == "assumed" and name != "jia2020-65nm":
            assert figure.low is not None or figure.high is not None, key
        if figure.provenance == "measured":
            assert figure.checked, key
    found = rates(technology, own_design(technology))
    for key, rate in vars(found).items():
        if key not in ("leakage_w", "columns_per_converter", "writes_overlap", "driver"):
            assert rate.value > 0, key
    assert found.leakage_w is None
    assert found.fp32_mac.value == near(found.fp32_multiply.value + found.fp32_add.value)


def test_shipped_files_are_found_in_the_wheel(tmp_path, monkeypatch):
    """The wheel has calibration/ as imctrain/shipped/calibration/."""
    package = tmp_path / "imctrain"
    shutil.copytree(find_technology("laws-28nm").parents[1], package / "shipped" / "calibration")
    monkeypatch.setattr(imctrain.files, "__file__", str(package / "files.py"))
    assert find_technology("survey-28nm").is_relative_to(tmp_path)
    assert load_technology("survey-28nm").name == "survey-28nm"
    assert shipped_calibrations() == CALIBRATIONS


def test_a_path_is_relative_to_the_config_and_a_base_to_its_file(tmp_path):
    (tmp_path / "a").mkdir()
    own = content("survey-28nm") | {"name": "mine", "base": "base.json"}
    (tmp_path / "a" / "mine.json").write_text(json.dumps(own))
    (tmp_path / "a" / "base.json").write_text(json.dumps(content() | {"name": "other"}))
    assert load_technology("a/mine.json", tmp_path).name == "mine"
    assert load_technology(str(tmp_path / "a" / "mine.json")).name == "mine"


def test_what_a_file_leaves_out_is_its_bases_scaled_to_its_node():
    """All at 65 nm, 0.9 V: 28 nm numbers times 65/28, areas times its square; laws follow the design by themselves."""
    own = {**content("survey-28nm"), "node_nm": 65, "supply_v": 0.9, "energy": {}, "area": {}}
    found = rates(technology := parse_technology(own, "mine.json"), own_design(technology))
    laws = load_technology("laws-28nm")
    base = rates(laws, own_design(laws))
    assert found.converter.value == near(base.converter.value * 65 / 28)
    assert found.move_bit.value == near(0.3125e-12 * 65 / 45)
    assert found.row_write_s.value == near(24e-9 * 65 / 28)
    assert found.row_write_s.provenance == "assumed"
    assert found.cell_m2.value == near(1.8e-12)
    assert found.cell_m2.provenance == "published"
    assert base.cell_m2.provenance == "derived"


def test_a_number_of_the_base_is_of_the_bases_supply():
    """24 ns at 28 nm, 0.9 V, in a file whose nominal supply is 0.6 V."""
    own = {**content("survey-28nm"), "supply_v": 0.6}
    found = rates(technology := parse_technology(own, "mine.json"), own_design(technology))
    assert found.row_write_s.value == near(24e-9 * (0.6 / 0.9) ** -2.66)


WRONG = [
    ({"energy__convertor": number()}, "energy.convertor: no such key"),
    ({"energy__converter": number(unit="pj")}, "energy.converter.unit: Input should be 'J', 'nJ', 'pJ', 'fJ' or 'aJ'"),
    ({"energy__converter": number(unit=None)}, "energy.converter: unit is missing: one of J, nJ, pJ, fJ, aJ"),
    ({"energy__converter": number(unit="ns")}, "energy.converter.unit: Input should be 'J'"),
    ({"energy__converter": number(value=-1.0)}, "energy.converter.value: Input should be greater than or equal to 0"),
    ({"energy__converter": number(value=float("nan"))}, "energy.converter.value: Input should be a finite number"),
    ({"energy__converter": number(low=2.0)}, "energy.converter: low <= value <= high does not hold for 2, 1, 1"),
    ({"energy__converter": number(high=0.5)}, "low <= value <= high does not hold for 1, 1, 0.5"),
    ({"energy__converter": number(provenance="guessed")}, "energy.converter.provenance: Input should be 'measured'"),
    ({"energy__converter": number(source="")}, "energy.converter.source: String should have at least 8 characters"),
    ({"energy__converter": number(law="logic")}, "a figure has one of value, values and law, found value and law"),
    ({"energy__converter": number(value=None)}, "a figure has one of value, values and law, found none of them"),
    ({"energy__converter": number(parameters={"a": 1})}, "parameters are those of a law"),
    ({"energy__converter": number(value=None, unit=None, law="sar")}, "law 'sar' is not known: one of bitline_write, "),
    ({"energy__converter": number(value=None, law="logic")}, "unit is that of a number"),
    (
        {"energy__converter": number(value=None, unit=None, law="logic", parameters={"gates": 3})},
        "law 'logic' has no parameter 'gates': one of full_adders, ",
    ),
    (
        {"time__pass": number(value=None, unit=None, law="logic")},
        "time.pass: law 'logic' gives energy, this figure is ti",
    ),
    (
        {
            "energy__converter": number(
                value=None, values=[{"supply_v": 0.9, "value": 1}, {"supply_v": 0.9, "value": 2}]
            )
        },
        "a supply is listed twice",
    ),
    (
        {"energy__converter": number(value=None, values=[{"supply_v": 9, "value": 1}])},
        "values.0.supply_v: Input should be",
    ),
    (
        {"energy__converter": number(value=None, low=1, values=[{"supply_v": 0.9, "value": 1}])},
        "with values, low, high and supply_v stand in each of them",
    ),
    ({"energy__converter": None}, "energy.converter is missing: give the figure, or name a base that has it"),
    ({"energy__converter": None, "time__pass": None}, "energy.converter is missing (and 1 more)"),
    ({"node_nm": 0}, "node_nm: Input should be greater than or equal to 1, found 0"),
    ({"supply_v": 50}, "supply_v: Input should be less than or equal to 5"),
    ({"macro__cell": "nand"}, "macro.cell: Input should be 'and' or 'xnor', found 'nand'"),
    ({"schema_version": "2.0"}, "schema_version is '2.0', this version reads \"1.x\""),
    ({"noise": {}}, "this is a calibration"),
    (
        {"base": "nowhere"},
        "technology 'nowhere' not found: give the path of a technology JSON or one of the shipped jia20",
    ),
]


@pytest.mark.parametrize(("figures", "says"), WRONG, ids=[says[:50] for _, says in WRONG])
def test_a_wrong_file_is_one_line(figures, says):
    with pytest.raises(UserError) as error:
        parse_technology(changed(**figures), "my.json")
    assert says in str(error.value)
    assert str(error.value).startswith("technology ")
    assert "\n" not in str(error.value)


def test_files_that_are_no_technology(tmp_path):
    path = tmp_path / "x.json"
    for text, says in (
        ("[1]", "holds no JSON object"),
        ("{", "is no JSON"),
        ("{}", "schema_version is None"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=says):
            load_technology(str(path))
    with pytest.raises(UserError, match=r"technology 'x' not found: .* laws-28nm, survey-28nm"):
        load_technology("x")
    with pytest.raises(UserError, match="this is a calibration"):
        load_technology(str(find_technology("laws-28nm").parents[1] / "ideal.json"))


def test_bases_in_a_circle(tmp_path):
    for name, base in (("a", "b.json"), ("b", "a.json")):
        (tmp_path / f"{name}.json").write_text(json.dumps(content() | {"name": name, "base": base}))
    with pytest.raises(UserError, match=r"base 'a\.json' leads back to itself"):
        load_technology(str(tmp_path / "a.json"))


def test_parsing_changes_no_content():
    data = content()
    before = copy.deepcopy(data)
    parse_technology(data, "x")
    assert data == before
