"""Rates: figures at their own supply are as printed, others are scaled and say so; quantities add with their bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from technology_tools import near

from imctrain.errors import UserError
from imctrain.technology import Design, Quantity, load_technology, own_design, parse_technology, rates
from imctrain.technology.scaling import factor

JIA = load_technology("jia2020-65nm")
LAWS = load_technology("laws-28nm")


@pytest.mark.parametrize(
    ("supply", "converter", "array", "shift_add", "datapath", "pass_ns", "write_ns"),
    [(0.85, 1.79, 9.7, 2.25 * 8.3 / 14.7, 8.3, 1350, 166.6667), (1.2, 3.56, 20.4, 2.25, 14.7, 540, 66.66667)],
)
def test_the_65_nm_chip_at_its_two_supplies(supply, converter, array, shift_add, datapath, pass_ns, write_ns):
    found = rates(JIA, own_design(JIA, supply))
    assert found.converter.value == near(converter * 1e-12)
    assert found.converter.provenance == "published"
    assert found.array_cell.value * 2304 == near(array * 1e-12, rel=1e-5)
    assert found.driver.value == 0
    assert found.plane_add.value == near(shift_add * 1e-12, rel=1e-4)
    assert (found.plane_add + found.output).value == near(datapath * 1e-12, rel=1e-4)
    assert found.pass_s.value == near(pass_ns * 1e-9)
    assert found.row_write_s.value == near(write_ns * 1e-9)


def test_between_its_supplies_it_is_scaled_from_the_nearest():
    """sqrt(0.85 x 1.2) = 1.01 V parts the two."""
    low, high = rates(JIA, own_design(JIA, 1.0)), rates(JIA, own_design(JIA, 1.05))
    assert low.converter.value == near(1.79e-12 * (1 / 0.85) ** 2)
    assert high.converter.value == near(3.56e-12 * (1.05 / 1.2) ** 2)
    assert low.converter.provenance == high.converter.provenance == "derived"
    assert low.pass_s.value == near(1350e-9 * (0.85 / 1) ** 2.66)
    assert low.converter_m2 == rates(JIA, own_design(JIA)).converter_m2


def test_time_scales_as_the_chip_does_between_its_two_supplies():
    assert factor("time", 65, 1.2, 65, 0.85) == near(540 / 1350, rel=1e-3)


def test_a_rate_of_operations_scales_as_the_inverse_of_a_time():
    assert factor("rate", 28, 1.0, 65, 0.85) == near(1 / factor("time", 28, 1.0, 65, 0.85))
    ops = rates(LAWS, own_design(LAWS, 1.0)).digital_ops_per_s
    assert ops.value == near(1.28e11 * (1.0 / 0.9) ** 2.66)


def test_scaling_beside_the_published_fit():
    """Stillmaker and Baas, Integration 58 (2017), Table 5: energy a V^2 + b V + c by node."""
    table = {65: (3.755, -4.398, 1.975), 45: (1.018, -0.3107, 0.1539), 32: (0.8367, -0.4341, 0.1701)}
    table[20] = (0.373, -0.1582, 0.04104)

    def fitted(node, supply):
        a, b, c = table[node]
        return a * supply**2 + b * supply + c

    # As in the authors' corrigendum.
    assert fitted(32, 0.9) == near(0.4571, abs=1e-4)
    for node, supply, published, ours in ((32, 0.9, 0.65, 0.71), (65, 0.85, 1.36, 1.29), (65, 1.2, 3.01, 2.57)):
        assert fitted(node, supply) / fitted(45, 0.9) == near(published, abs=0.006)
        assert factor("energy", node, supply, 45, 0.9) == near(ours, abs=0.006)
    assert fitted(20, 0.9) / fitted(45, 0.9) == near(0.29, abs=0.006)
    assert factor("energy", 20, 0.9, 45, 0.9) == near(0.44, abs=0.006)


def test_references_are_at_the_designs_node_and_voltage():
    found = rates(LAWS, own_design(LAWS, 0.8))
    assert found.int8_mac.value == near(0.390e-12)
    assert found.int8_mac.provenance == "published"
    assert found.fp32_mac.value == near(4.6e-12 * 28 / 45 * (0.8 / 0.9) ** 2)
    assert found.fp32_mac.provenance == "derived"
    assert rates(LAWS, own_design(LAWS, 0.9)).int8_mac.value == near(0.390e-12 * (0.9 / 0.8) ** 2)
    assert rates(JIA, own_design(JIA, 1.2)).int8_mac.value == near(0.390e-12 * 65 / 28 * 1.5**2)


def test_macs_of_the_formats_are_gates():
    """28 nm, 0.9 V. A full adder 4.2 fF, a flip-flop 2.1 fF, a NAND 0.7 fF, an XOR 1.05 fF."""
    found = rates(LAWS, own_design(LAWS))
    assert found.int4_mac.value == near((12 * 4.2 + 16 * 0.7 + 19 * (4.2 + 2.1)) * 0.81e-15)
    assert found.format_mac.value == near((3 * 16 * 3 * 0.7 + 16 * 1.05 + 27 * (4.2 + 2.1)) * 0.81e-15)
    assert found.integer_add_bit.value == near(4.2 * 0.81e-15)
    assert found.format_mac.high == near(5 * found.format_mac.value)


def test_noise_has_a_price_and_makes_it_derived():
    quiet = rates(LAWS, replace(own_design(LAWS), sigma_adc_lsb=0.1))
    assert quiet.converter.value == near((800 + 65.536 / 0.12) * 0.81e-15)
    assert quiet.converter.provenance == "derived"
    assert rates(LAWS, own_design(LAWS)).converter.provenance == "published"


def test_laws_follow_a_sweep():
    wide = rates(LAWS, replace(own_design(LAWS), rows=256, adc_bits=6, input_bits=2))
    assert wide.converter.value == near((600 + 4.096) * 0.81e-15)
    assert wide.driver.value == near(100 * 0.81e-15)
    assert wide.pass_s.value == near(6 * (0.00653 * 256 + 0.64) * 1e-9)
    assert wide.write_bit.value == near((0.5 * 256 + 1) * 0.35 * 0.81e-15)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"supply_v": 2.5},
            "energy.move_bit: supply 2.5 V is too far from the figure's 0.9 V: allowed is 0.45 to 1.8 V",
        ),
        ({"adc_bits": 3}, "energy.converter: the survey law holds from 4 effective bits up, adc_bits = 3"),
    ],
)
def test_where_no_figure_holds_is_one_line(change, says):
    survey = load_technology("survey-28nm")
    with pytest.raises(UserError) as error:
        rates(survey, replace(own_design(survey), **change))
    assert str(error.value).startswith(f"technology survey-28nm: {says}")
    assert "\n" not in str(error.value)


def test_a_law_that_gives_no_number_is_one_line():
    data = LAWS.model_dump(by_alias=True, exclude_none=True)
    data["energy"]["converter"]["parameters"] = {"node_nm": 0.0}
    technology = parse_technology(data, "mine.json")
    with pytest.raises(
        UserError, match=r"technology laws-28nm: energy\.converter: law 'sar_converter' gives no number"
    ):
        rates(technology, own_design(technology))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"supply_v": 12.0}, "supply_v = 12 is not possible: allowed is 0.1 to 5"),
        ({"supply_v": math.nan}, "supply_v = nan is not possible"),
        ({"node_nm": 0.065}, "node_nm = 0.065 is not possible: allowed is 1 to 1000"),
        ({"rows": 0}, "rows = 0 is not possible: allowed is 1 to 65536"),
        ({"sigma_adc_lsb": -0.1}, "sigma_adc_lsb = -0.1 is not possible"),
        ({"cell": "or"}, "cell = 'or' is not possible: allowed is 'and' or 'xnor'"),
    ],
)
def test_designs_that_no_macro_has(change, says):
    with pytest.raises(UserError) as error:
        Design(**({"node_nm": 28, "supply_v": 0.9, "rows": 4, "columns": 4, "adc_bits": 8, "input_bits": 5} | change))
    assert str(error.value).startswith(says)


def test_leakage_of_a_file_that_has_it():
    data = LAWS.model_dump(by_alias=True, exclude_none=True)
    data["leakage"] = {
        "value": 2,
        "unit": "mW",
        "provenance": "measured",
        "source": "bench, 25 degrees",
        "checked": True,
    }
    technology = parse_technology(data, "mine.json")
    assert rates(technology, own_design(technology)).leakage_w == Quantity.exact(2e-3, "measured")
    assert rates(technology, own_design(technology, 1.2)).leakage_w.value == near(2e-3 * 1.2 / 0.9)


def test_quantities():
    a = Quantity(2.0, 1.0, 4.0, "published")
    b = Quantity(3.0, 3.0, 5.0, "assumed")
    assert a + b == Quantity(5.0, 4.0, 9.0, "assumed")
    assert sum([a, a]) == Quantity(4.0, 2.0, 8.0, "published")
    assert a * 3 == 3 * a == a.times(3) == Quantity(6.0, 3.0, 12.0, "published")
    assert a.product(b) == Quantity(6.0, 3.0, 20.0, "assumed")
    assert a.under(8.0) == Quantity(4.0, 2.0, 8.0, "published")
    assert Quantity(1.0, 0.0, 2.0, "derived").under(1.0).high == math.inf
    assert a.no_better_than("derived").provenance == "derived"
    for low, value, high in ((2, 1, 3), (0, 4, 3), (-1, 1, 2), (0, math.nan, 1)):
        with pytest.raises(ValueError, match="does not hold"):
            Quantity(value, low, high, "assumed")
