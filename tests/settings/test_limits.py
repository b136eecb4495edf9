"""Bounds: configs, rules and hardware built in Python refuse the same values, and no number is without them."""

from __future__ import annotations

import math

import pytest

from imctrain.calibration import load_calibration
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.intercept.rules import known_keys as hardware_keys
from imctrain.intercept.rules import override
from imctrain.limits import Bounds
from imctrain.models import build
from imctrain.settings import (
    AdcSpec,
    ArraySpec,
    ChipSpec,
    ColumnError,
    ConditionsConfig,
    Config,
    FormatSpec,
    Hardware,
    ImcConfig,
    MappingSpec,
    NoiseSpec,
    StatisticalSpec,
    known_keys,
    validate_config,
)

SPECS = (AdcSpec, ArraySpec, ChipSpec, FormatSpec, MappingSpec, NoiseSpec, StatisticalSpec)
NOT_OF_A_SITE = {"imc.calibration", "imc.preset", "imc.chip.die", "imc.chip.die_spread"}
NOT_OF_A_SITE |= {f"imc.conditions.{key}" for key in ConditionsConfig.model_fields}
"""What all sites share."""
TEXT_TOO = {"imc.chip.die"}
"""Numbers in whose place a text is possible."""
SECTIONS = ("imc.array.", "imc.adc.", "imc.noise.", "imc.formats.", "imc.mapping.", "imc.statistical.")


def numbers(node=None, prefix=""):
    """(dotted key, schema) of every number of a config, those of rules left out."""
    schema = Config.model_json_schema()
    node = schema if node is None else node
    for name, inner in node["properties"].items():
        choices = [inner, *inner.get("anyOf", ())]
        reference = next((c["$ref"] for c in choices if "$ref" in c), None)
        if reference is not None:
            yield from numbers(schema["$defs"][reference.rpartition("/")[2]], f"{prefix}{name}.")
        for choice in choices:
            if choice.get("type") in ("number", "integer"):
                yield prefix + name, choice


NUMBERS = dict(numbers())


def bounds_of(found):
    """(lowest, highest) allowed, as near as the schema says."""
    low = found.get("minimum", found.get("exclusiveMinimum"))
    high = found.get("maximum", found.get("exclusiveMaximum"))
    return low, high


def nested(key, value):
    table = value
    for part in reversed(key.split(".")):
        table = {part: table}
    return table


def test_every_number_of_a_config_has_bounds_on_both_sides():
    assert len(NUMBERS) > 40
    assert {"model.width", "data.eval_batch_size", "imc.adc.range", "imc.noise.scale", "seed"} <= NUMBERS.keys()
    for key, found in NUMBERS.items():
        low, high = bounds_of(found)
        assert low is not None, key
        assert high is not None, key


@pytest.mark.parametrize("key", NUMBERS)
def test_what_is_far_outside_is_one_line(key):
    low, high = bounds_of(NUMBERS[key])
    whole = NUMBERS[key]["type"] == "integer"
    wrong = [high * 1000 + 1, -1 if low >= 0 else low * 1000, 10**400, 1e300, -1e300, math.inf, -math.inf, math.nan]
    wrong += [True, "" if key in TEXT_TOO else "1"]
    if low > 0 and not whole:
        wrong += [0.0, 1e-320]
    for value in wrong:
        with pytest.raises(UserError) as error:
            validate_config(nested(key, value), "config x.toml")
        message = str(error.value)
        assert message.startswith(f"config x.toml: {key} = ")
        assert "is not possible: allowed is" in message or "is not possible: it should be" in message
        assert "\n" not in message


def probes(key):
    """Values at, near and far from the bounds of a hardware key of a config."""
    low, high = bounds_of(NUMBERS[key])
    if NUMBERS[key]["type"] == "integer":
        return [low - 1, low, low + 1, high - 1, high, high + 1, 10**30, -(10**30), 1.5, True]
    near = [low, high, low - 1e-6, high * (1 + 1e-6), 0.5 * (low + high)]
    return [float(x) for x in near] + [0.0, 1, -1.0, 1e-320, 1e-30, 1e300, math.inf, -math.inf, math.nan, "1"]


SITE_NUMBERS = [key for key in NUMBERS if key.startswith("imc.") and key not in NOT_OF_A_SITE]


@pytest.mark.parametrize("key", SITE_NUMBERS)
def test_a_rule_takes_exactly_what_a_config_takes(key):
    calibration = load_calibration("feasible-assumed")
    of_rule = key.removeprefix("imc.")
    base = build_hardware(ImcConfig(), calibration)
    accepted = 0
    for value in probes(key):
        try:
            config = validate_config(nested(key, value), "c")
            expected = build_hardware(config.imc, calibration)
        except UserError:
            with pytest.raises(UserError, match=of_rule.rpartition(".")[2]) as error:
                override(base, {of_rule: value})
            assert "\n" not in str(error.value)
            continue
        accepted += 1
        assert override(base, {of_rule: value}) == expected, value
    assert accepted >= 2


def test_every_hardware_key_of_a_config_may_be_in_a_rule():
    of_config = {key.removeprefix("imc.") for key in known_keys() if key.startswith("imc.")}
    shared = {key for key in of_config if not key.startswith("rules.")} - {
        k.removeprefix("imc.") for k in NOT_OF_A_SITE
    }
    assert {f"imc.{key}" for key in shared if "." in key} == {k for k in known_keys() if k.startswith(SECTIONS)}
    assert shared <= set(hardware_keys())


@pytest.mark.parametrize("spec", SPECS)
def test_no_specification_holds_what_is_not_finite(spec):
    floats = [
        name
        for name, found in spec.model_json_schema()["properties"].items()
        if "number" in str(found) and "array" not in str(found)
    ]
    for name in floats:
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(UserError, match=rf"{name} = .* is not possible: (allowed is|it should be a finite)"):
                spec(**{name: value})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"columns": (ColumnError(0, gain=-1.0),)}, "chip.columns: gain of column 0 = -1.0 is not possible"),
        ({"columns": (ColumnError(0, gain=1e300),)}, "gain of column 0 = 1e+300 is not possible: allowed is 0 to 4"),
        ({"columns": (ColumnError(7, offset_lsb=math.nan),)}, "chip.columns.0.offset_lsb = nan is not possible"),
        ({"columns": (ColumnError(-1),)}, "chip.columns: column = -1 is not possible"),
        ({"gain_mean": 0.0}, "chip.gain_mean = 0.0 is not possible: allowed is above 0 and at most 4"),
        ({"gain_std": 999999}, "chip.gain_std = 999999 is not possible: allowed is 0 to 1"),
        ({"offset_mean_lsb": -300.0}, "chip.offset_mean_lsb = -300.0 is not possible: allowed is -256 to 256"),
        (
            {"inl_v": (0.0, 1.0), "inl_lsb": (0.0, 1e6)},
            "chip.inl_lsb = 1000000.0 is not possible: allowed is -64 to 64",
        ),
        ({"inl_v": (-2.0, 1.0), "inl_lsb": (0.0, 0.0)}, "chip.inl_v = -2.0 is not possible: allowed is -1 to 1"),
        ({"sigma_array_lsb": 300.0}, "chip.sigma_array_lsb = 300.0 is not possible: allowed is 0 to 256"),
        ({"reference_bits": 99}, "chip.reference_bits = 99 is not possible: allowed is 2 to 24"),
        ({"reference_polarity": "both"}, "chip.reference_polarity = 'both' is not possible"),
    ],
)
def test_a_chip_built_in_python_has_the_bounds_of_a_file(changes, says):
    with pytest.raises(UserError) as error:
        ChipSpec(**changes)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"scale": 1e3},
            "noise.scale = 1000.0 is not possible: allowed is noise of at most 256 LSB, all codes of the cal",
        ),
        ({"sigma_lsb": 300.0}, "noise.sigma_lsb = 300.0 is not possible: allowed is 0 to 256"),
        ({"sigma_adc_lsb": 300.0}, "noise.sigma_adc_lsb = 300.0 is not possible: allowed is 0 to 256"),
    ],
)
def test_noise_is_within_the_codes_of_the_calibrated_converter(settings, says):
    with pytest.raises(UserError) as error:
        Hardware(chip=ChipSpec(sigma_array_lsb=1.0), noise=NoiseSpec(**settings))
    assert says in str(error.value)


def test_networks_that_no_memory_holds_are_refused_before_they_are_made():
    from flax import nnx

    for name, width in (("mlp", 65536), ("resnet18", 4096)):
        with pytest.raises(UserError, match=rf"model width {width} is not possible: {name} then has [\d,]+ parameters"):
            build(name, shape=(32, 32, 3), classes=10, width=width, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="model width 1000000 is not possible: allowed is 1 to 65536"):
        build("mlp", shape=(8, 8, 1), classes=10, width=10**6, rngs=nnx.Rngs(0))


def test_bounds_say_what_they_allow():
    assert str(Bounds(0, 2)) == "0 to 2"
    assert str(Bounds(0.0, 0.5, above=True)) == "above 0 and at most 0.5"
    assert not Bounds(0.0, 0.5, above=True).hold(0.0)
    assert Bounds(0.0, 0.5).hold(0.0)
    assert not Bounds(0.0, 0.5).hold(math.nan)
