"""Laws: a contract that all keep, and the scaling of each against arithmetic of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from technology_tools import near

from imctrain.errors import UserError
from imctrain.technology import Design
from imctrain.technology.laws import law, law_names

VLSI = Design(node_nm=28, supply_v=0.9, rows=1152, columns=256, adc_bits=8, input_bits=5)
V2 = 0.81


@pytest.mark.parametrize("name", law_names())
def test_the_contract(name):
    """Positive and finite, a pure function of the design, proportional to `scale`; says its formula and its source."""
    found = law(name)
    some = {"full_adders": 3.0} if name == "logic" else {}
    for design in (
        VLSI,
        replace(VLSI, rows=64, adc_bits=5, input_bits=1),
        replace(VLSI, node_nm=65, supply_v=1.2, sigma_adc_lsb=0.3, sigma_array_lsb=0.3, cell="xnor"),
    ):
        value = found(design, **some)
        assert value > 0
        assert math.isfinite(value)
        assert found(design, **some) == value
        assert found(design, scale=3.0, **some) == near(3.0 * value)
    assert found.dimension in ("energy", "time", "area")
    assert "scale" in found.parameters
    assert "`" in found.source
    assert any(author in found.source for author in ("ZigZag", "Accelergy", "This project")), found.source
    quiet, noisy = replace(VLSI, sigma_adc_lsb=0.1), replace(VLSI, sigma_adc_lsb=1.0)
    assert (found(quiet, **some) > found(noisy, **some)) == found.prices_noise


@pytest.mark.parametrize(
    "name", [n for n in law_names() if law(n).dimension == "energy" and not n.startswith("survey")]
)
def test_energies_of_capacitances_go_with_node_and_the_square_of_the_supply(name):
    some = {"full_adders": 1.0} if name == "logic" else {}
    base = law(name)(VLSI, **some)
    assert law(name)(replace(VLSI, supply_v=1.8), **some) == near(4 * base)
    assert law(name)(replace(VLSI, node_nm=56), **some) == near(2 * base)


def test_the_conversion_of_1152_by_256():
    """The three parts of the specification: 0.70 + 0.91 + 0.65 = 2.27 pJ."""
    converter = law("sar_converter")(VLSI)
    driver = law("row_driver")(VLSI) * 1152 / 256
    array = law("charge_array")(VLSI) * 1152
    assert converter == near((8 * 100 + 0.001 * 65536) * V2 * 1e-15)
    assert [round(part * 1e12, 2) for part in (converter, driver, array)] == [0.70, 0.91, 0.65]
    assert converter + driver + array == near(2.27e-12, rel=3e-3)


@pytest.mark.parametrize(
    ("bits", "sigma", "femtofarad"),
    [
        (4, 0.0, 400 + 0.256),
        (10, 0.0, 1000 + 1048.576),
        (12, 0.0, 1200 + 16777.216),
        (8, 1.0, 800 + 65.536),
        (8, 0.1, 800 + 65.536 / 0.12),
        (10, 0.1, 1000 + 1048.576 / 0.12),
        (10, 1 / math.sqrt(12), 1000 + 1048.576),
    ],
)
def test_sar_converter_by_bits_and_noise(bits, sigma, femtofarad):
    design = replace(VLSI, adc_bits=bits, sigma_adc_lsb=sigma)
    assert law("sar_converter")(design) == near(femtofarad * 1e-15 * V2)


def test_sar_converter_delay_and_area():
    delay, area = law("sar_converter_delay"), law("sar_converter_area")
    assert delay(VLSI) == near(8 * (0.00653 * 1152 + 0.640) * 1e-9)
    assert delay(replace(VLSI, rows=64, adc_bits=6), conversions=2) == near(2 * 6 * (0.41792 + 0.640) * 1e-9)
    assert delay(replace(VLSI, supply_v=0.45)) == near(delay(VLSI) * 2**2.66)
    assert area(VLSI) == near(256 * 16.069413 * 10**-0.2952 * 1e-12)
    assert area(replace(VLSI, adc_bits=9)) / area(VLSI) == near(2 * 10**-0.0369)
    assert area(replace(VLSI, node_nm=56, supply_v=1.2)) == near(4 * area(VLSI))


def test_row_driver_by_bits_with_one_bit_not_free():
    assert [law("row_driver")(replace(VLSI, input_bits=b)) for b in (1, 2, 8)] == near(
        [50e-15 * V2, 100e-15 * V2, 400e-15 * V2]
    )


def test_charge_array_has_a_price_of_noise_when_asked():
    array = law("charge_array")
    assert array(VLSI) == near(0.7e-15 * V2)
    quieter = replace(VLSI, sigma_array_lsb=0.125)
    assert array(quieter) == near(array(VLSI))
    assert array(quieter, noise_power=2) == near(4 * array(VLSI))
    assert array(quieter, noise_power=1, noise_lsb=0.5) == near(4 * array(VLSI))
    with pytest.raises(UserError, match="sigma_array_lsb is 0"):
        array(VLSI, noise_power=1)


def test_logic_by_gates():
    """ZigZag's capacitances: full adder 3 x 0.7 + 2 x 1.05 fF, flip-flop 3 x 0.7 fF, XOR 1.05 fF, NAND 0.7 fF."""
    logic = law("logic")
    gates = {"full_adders": 4.2, "flip_flops": 2.1, "xors": 1.05, "nands": 0.7}
    for gate, femtofarad in gates.items():
        assert logic(VLSI, **{gate: 10}) == near(10 * femtofarad * 1e-15 * V2)
    assert logic(VLSI) == 0


def test_bitline_write_by_rows_lies_between_two_published_memories():
    """CACTI, 65 nm, 1.1 V, words of 256 b: 112.5 pJ for 32 KiB, 190.0 pJ for 64 KiB, scaled to 28 nm and 0.9 V."""
    write = law("bitline_write")
    assert write(VLSI) == near((0.5 * 0.35 * 1152 + 0.35) * 1e-15 * V2)
    assert write(replace(VLSI, rows=1)) == near(1.5 * 0.35e-15 * V2)
    scale = 28 / 65 * (0.9 / 1.1) ** 2 / 256
    assert 112.505e-12 * scale < write(VLSI) < 189.96e-12 * scale


def test_survey_converter_is_the_published_regression():
    """The figures of Accelergy's model.yaml, put together as its model.py does for whole bits."""
    for bits in (6, 8, 10):
        merit = 128.3068287398817 + bits * (154.0709208277022 - 128.3068287398817) / 8
        shannon = 1 / (10 ** ((merit - (6.02 * bits + 1.76)) / 10) * 2)
        exponent = 26.0496215686518 + 1.8800369206815004 * math.log(28) - 2.8291256050594527 * math.log(bits)
        expected = shannon * math.exp(exponent - 1.4702022133784405) * 1e-12
        assert law("survey_converter")(replace(VLSI, adc_bits=bits)) == near(expected, rel=1e-4)
    assert law("survey_converter")(VLSI) == near(1.33e-12, rel=5e-3)
    closed = 0.00524 * 10 ** (0.28 * 8) * 65**1.88 * 8**-2.83 * 1e-12
    assert law("survey_converter")(replace(VLSI, node_nm=65)) == near(closed, rel=5e-3)


def test_survey_converter_by_rate_and_by_effective_bits():
    survey = law("survey_converter")
    assert survey(VLSI, samples_per_s=9e8) == near(survey(VLSI))
    fast = survey(VLSI, samples_per_s=4e9) / survey(VLSI, samples_per_s=2e9)
    assert fast == near(2 ** (0.2871903 * math.log(10)), rel=1e-6)
    ten = replace(VLSI, adc_bits=10)
    assert survey(ten, samples_per_s=2e8) > 1.3 * survey(ten)
    noisy = replace(ten, sigma_adc_lsb=math.sqrt(15 / 12))
    assert survey(noisy) == near(survey(VLSI))
    with pytest.raises(UserError, match=r"4 effective bits up, adc_bits = 5 with sigma_adc_lsb = 2 has 2.19"):
        survey(replace(VLSI, adc_bits=5, sigma_adc_lsb=2.0))


def test_survey_converter_area_is_the_published_regression():
    expected = math.exp(
        1.3461916 + 0.99327947 * math.log(28) + 0.18071538 * math.log(1e7) + 0.29912426 * math.log(1.3315)
    )
    assert law("survey_converter_area")(VLSI, samples_per_s=1e7) == near(expected * 1e-12, rel=1e-4)
