"""Peak figures: those that the papers print."""

from __future__ import annotations

from dataclasses import replace

import pytest
from technology_tools import near

from imctrain.errors import UserError
from imctrain.technology import load_technology, own_design, parse_technology, peak


@pytest.mark.parametrize(
    ("supply", "tops_per_w", "printed", "density"), [(0.85, 401, 400, 0.24), (1.2, 192, 192, 0.60)]
)
def test_the_65_nm_chip(supply, tops_per_w, printed, density):
    """2 x 2304 operations over 9.7 + 1.79 and 20.4 + 3.56 pJ. The density leaves out the control of its sparsity."""
    found = peak(load_technology("jia2020-65nm"), supply_v=supply)
    assert found.tops_per_w.value == near(tops_per_w, abs=0.5)
    assert found.tops_per_w.value == near(printed, rel=3e-3)
    assert found.tops_per_w.provenance == "published"
    assert found.tops_per_mm2.value == near(density, rel=0.1)
    assert found.area_m2.value * 1e6 == near(2.91 + 0.497, rel=1e-3)


def test_the_65_nm_chips_throughput():
    """0.874 and 2.185 tera-operations a second."""
    for supply, tops in ((0.85, 0.874), (1.2, 2.185)):
        found = peak(load_technology("jia2020-65nm"), supply_v=supply)
        assert found.operations * 256 / found.pass_s.value == near(tops * 1e12, rel=2e-3)


def test_the_vlsi_2021_macro_has_back_what_was_put_in():
    found = peak(load_technology("vlsi21-28nm"))
    assert found.operations == 2 * 1152 * 5
    assert found.tops_per_w.value == near(5796, rel=1e-4)
    assert found.tops_per_w.low == near(2 * 1152 * 5 / 6.36, rel=1e-3)
    assert found.tops_per_w.provenance == "derived"
    assert found.tops_per_mm2.value == near(12, rel=1e-3)
    assert found.conversion_j.value == near(1.99e-12, rel=2e-3)
    assert found.conversion_j.high == near(6.36e-12, rel=1e-3)


def test_the_laws_for_the_vlsi_2021_macro():
    found = peak(load_technology("laws-28nm"))
    parts = (found.converter_j, found.driver_j, found.array_j)
    assert [round(part.value * 1e12, 2) for part in parts] == [0.70, 0.91, 0.65]
    assert found.conversion_j.value == near(2.266e-12, rel=1e-3)
    assert found.conversion_j.value / peak(load_technology("vlsi21-28nm")).conversion_j.value == near(1.14, abs=0.005)


def test_another_design_and_shared_converters():
    laws = load_technology("laws-28nm")
    half = replace(own_design(laws), rows=576)
    assert peak(laws, half).operations == 2 * 576 * 5
    assert peak(laws, half).array_j.value == near(peak(laws).array_j.value / 2)
    data = laws.model_dump(by_alias=True, exclude_none=True)
    data["macro"]["columns_per_converter"] = 4
    shared = peak(parse_technology(data, "shared.json"))
    converter = 2.0847e-9
    assert peak(laws).area_m2.value - shared.area_m2.value == near(192 * converter, rel=1e-3)


def test_a_conversion_that_costs_nothing_is_one_line():
    data = load_technology("laws-28nm").model_dump(by_alias=True, exclude_none=True)
    free = {"value": 0, "unit": "pJ", "provenance": "assumed", "source": "for a test", "checked": False}
    for name in ("converter", "array_cell", "driver"):
        data["energy"][name] = free
    with pytest.raises(UserError, match="energy, time or area of a conversion is 0"):
        peak(parse_technology(data, "free.json"))
