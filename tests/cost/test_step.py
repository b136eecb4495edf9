"""A step's bill: its sums, what each setting moves, its references, and its figures in Python."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from technology_tools import near

from imctrain import Hardware, Rule, on_imc
from imctrain.cost.energy import COMPONENTS
from imctrain.cost.step import ChipPrices, step_cost
from imctrain.cost.summary import bottleneck, macro_utilisation, summary
from imctrain.errors import UserError
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, FormatSpec, MappingSpec, NoiseSpec
from imctrain.technology import load_technology

PLAIN = Hardware(mapping=MappingSpec(gradient="grouped"))
SHAPES = (jax.ShapeDtypeStruct((2000, 90), jnp.float32), jax.ShapeDtypeStruct((64, 2000), jnp.float32))
MVMS = ("forward", "input_grad", "weight_grad")


def network(params, x):
    hidden = jax.nn.relu(x @ params[0])
    return jnp.sum(jnp.square(hidden @ params[1]))


def cost(hardware: Hardware = PLAIN, rules=(), prices=None, **settings):
    function = on_imc(network, hardware, rules)
    params = [SHAPES[0], jax.ShapeDtypeStruct((90, 10), jnp.float32)]
    if prices is None:
        return function.cost(params, SHAPES[1], **settings)
    return step_cost(function.step(params, SHAPES[1]), prices)


def component(bill, name: str, mvm: str | None = None) -> float:
    return sum(getattr(c.energy, name).value for c in bill.mvms if mvm in (None, c.line.mvm))


def test_components_sites_and_parts_add_up():
    bill = cost(rules=[Rule("params/1", path="float")])
    content = summary(bill, steps=10, steps_per_epoch=5)
    whole = content["totals"]["energy_step_j"]
    assert sum(content["components"].values()) == near(whole, rel=1e-12)
    parts = sum(site["energy_j"] for site in content["sites"]) + sum(p["energy_j"] for p in content["unsited"])
    assert parts == near(whole, rel=1e-12)
    for site in content["sites"]:
        assert sum(site["components"].values()) == near(site["energy_j"], rel=1e-12)
    seconds = sum(site["seconds"] for site in content["sites"]) + sum(p["seconds"] for p in content["unsited"])
    assert seconds == near(content["totals"]["seconds_step"], rel=1e-12)
    low, high = content["totals"]["energy_step_band_j"]
    assert low < whole < high
    assert content["totals"]["energy_training_j"] == near(10 * whole)
    assert content["totals"]["macs_step"] == sum(site["macs"] for site in content["sites"])
    assert {site["path"] for site in content["sites"]} == {"exact", "float"}
    assert content["timeline"][-1]["end"] == near(content["totals"]["seconds_step"])
    assert 0 < macro_utilisation(bill) <= 1
    assert "params" in bottleneck(bill) or "work" in bottleneck(bill)


def test_the_first_operand_is_data_and_needs_no_gradient():
    bill = cost()
    assert [(c.line.name, c.line.mvm) for c in bill.mvms] == [
        ("params/0", "forward"),
        ("params/1", "forward"),
        ("params/1", "input_grad"),
        ("params/1", "weight_grad"),
        ("params/0", "weight_grad"),
    ]


def test_repeats_and_planes_move_what_they_should():
    one, four = cost(), cost(PLAIN.replace(mapping=MappingSpec(gradient="grouped", gradient_samples=4)))
    for name in ("adc", "array", "dac"):
        assert component(four, name, "weight_grad") == near(4 * component(one, name, "weight_grad"))
        assert component(four, name, "forward") == near(component(one, name, "forward"))
    for name in ("write", "move"):
        assert component(four, name) == near(component(one, name))
    assert component(four, "digital", "weight_grad") > component(one, "digital", "weight_grad")
    five = cost(PLAIN.replace(mapping=MappingSpec(gradient="grouped", planes=5)))
    for name in ("adc", "array", "write"):
        assert component(five, name) == near(1.25 * component(one, name))


def test_bits_rows_and_noise_move_each_component_as_the_law_says():
    volts = 0.9**2
    base = cost()
    ten = cost(PLAIN.replace(adc=AdcSpec(bits=10)))
    law = {bits: (100e-15 * bits + 1e-18 * 4**bits) * volts for bits in (8, 10)}
    assert component(ten, "adc") / component(base, "adc") == near(law[10] / law[8], rel=1e-6)
    assert component(ten, "array") == near(component(base, "array"))
    half = cost(PLAIN.replace(array=ArraySpec(rows=576)))
    # 2000 rows take 4 tiles in place of 2 where params/0 runs forward: twice the conversions, each of half the cells.
    (first,) = [c for c in base.mvms if (c.line.name, c.line.mvm) == ("params/0", "forward")]
    (other,) = [c for c in half.mvms if (c.line.name, c.line.mvm) == ("params/0", "forward")]
    assert other.events.conversions == 2 * first.events.conversions
    assert other.energy.adc.value == near(2 * first.energy.adc.value, rel=1e-6)
    assert other.energy.array.value == near(first.energy.array.value, rel=1e-6)
    quiet = PLAIN.replace(chip=ChipSpec(sigma_adc_lsb=0.1), noise=NoiseSpec())
    priced = (100e-15 * 8 + 1e-18 * 4**8 / (12 * 0.1**2)) * volts
    assert component(cost(quiet), "adc") / component(base, "adc") == near(priced / law[8], rel=1e-6)
    three = cost(PLAIN.replace(array=ArraySpec(input_bits=3), mapping=MappingSpec(gradient="bit_serial")))
    five = cost(PLAIN.replace(mapping=MappingSpec(gradient="bit_serial")))
    assert component(three, "dac", "weight_grad") == near(0.6 * component(five, "dac", "weight_grad"))


def test_shifts_are_cheaper_than_multiplications():
    grouped, balanced = cost(), cost(PLAIN.replace(mapping=MappingSpec(gradient="balanced")))
    (shifted,) = [c for c in grouped.mvms if c.line.mvm == "input_grad"]
    (multiplied,) = [c for c in balanced.mvms if c.line.mvm == "input_grad"]
    assert shifted.events == dataclasses.replace(multiplied.events, row_drives=shifted.events.row_drives)
    assert multiplied.energy.digital.value > shifted.energy.digital.value


def test_macros_split_vectors_and_shared_writes():
    technology = load_technology("laws-28nm")
    base = ChipPrices(technology, None, 16)
    split = cost(prices=dataclasses.replace(base, split=True))
    plain = cost(prices=base)
    assert split.seconds_step < plain.seconds_step
    assert component(split, "write") > component(plain, "write")
    assert component(split, "adc") == near(component(plain, "adc"))
    shared = cost(prices=dataclasses.replace(base, shared_writes=True))
    assert component(shared, "write", "input_grad") == 0
    assert component(shared, "write", "forward") == component(plain, "write", "forward")
    one = cost(prices=dataclasses.replace(base, macros=1))
    assert one.seconds_step > plain.seconds_step
    assert one.energy_step_j == near(plain.energy_step_j)
    assert one.area_m2.value == near(plain.area_m2.value / 16)


def test_references_exchange_the_arithmetic_of_the_array_alone():
    bill = cost(rules=[Rule("params/1", path="float")])
    rest = sum(part.energy.total.value for part in bill.parts)
    exempt = sum(c.energy.total.value for c in bill.mvms if c.line.name == "params/1")
    rates = ChipPrices(load_technology("laws-28nm"), None, 16).rates(PLAIN)
    macs = sum(c.line.macs for c in bill.mvms if c.line.name == "params/0")
    elements = 64 * 2000, 2000 * 90, 64 * 90
    # forward: input kept for dW; dW: gradient, input, weights out.
    moved = 32 * (2 * elements[0] + elements[1] + elements[2]) + 32 * (elements[2] + elements[0] + elements[1])
    expected = macs * rates.fp32_mac.value + moved * rates.move_bit.value + rest + exempt
    assert bill.reference("fp32").value == near(expected, rel=1e-9)
    assert bill.ratio("int8") == near(bill.reference("int8").value / bill.energy_step_j)
    assert bill.reference("formats").value < bill.reference("int8").value < bill.reference("bf16").value


def test_a_digital_step_is_its_own_reference_and_a_float_one_too():
    digital = cost(PLAIN.replace(path="digital"))
    assert digital.macs_on_array == 0
    assert digital.ratio("formats") == 1.0
    assert component(digital, "adc") == 0
    everything = cost(rules=[Rule("*", path="float")])
    assert everything.ratio("fp32") == 1.0
    assert everything.energy_step_j > digital.energy_step_j


def test_unencoded_operands_and_policies_are_counted():
    stochastic = cost(PLAIN.replace(formats=FormatSpec(gradient_rounding="stochastic")))
    nearest = cost(PLAIN.replace(formats=FormatSpec(gradient_rounding="nearest")))
    bits = {name: sum(c.encoding.random_bits for c in bill.mvms) for name, bill in (("s", stochastic), ("n", nearest))}
    assert bits["n"] == 0
    # dX and dW draw for themselves, 8 random bits an element; repeats share their draws.
    assert bits["s"] == 8 * (2 * 64 * 10 + 64 * 90)
    repeated = cost(PLAIN.replace(mapping=MappingSpec(gradient="grouped", gradient_samples=3)))
    assert sum(c.encoding.random_bits for c in repeated.mvms) == bits["s"]
    additions = sum(c.encoding.additions for c in repeated.mvms) - sum(c.encoding.additions for c in stochastic.mvms)
    assert additions == 2 * (2 * 64 * 10 + 64 * 90)


def test_forward_alone_and_what_cannot_be_read():
    function = on_imc(network, PLAIN)
    params = [SHAPES[0], jax.ShapeDtypeStruct((90, 10), jnp.float32)]
    bill = function.cost(params, SHAPES[1], backward=False)
    assert {c.line.mvm for c in bill.mvms} == {"forward"}
    with pytest.raises(UserError, match="nowhere"):
        function.cost(params, SHAPES[1], technology="nowhere")
    assert set(COMPONENTS) == {f.name for f in dataclasses.fields(bill.energy)}
