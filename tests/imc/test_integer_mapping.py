"""Passes of int4 and uint4 operands: exact, within the DAC, optimal where that can be checked by force."""

import itertools
import math

import jax
import numpy as np
import pytest
from tiers import slow

from imctrain import formats
from imctrain.errors import UserError
from imctrain.imc.coding import search
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.passes import Mapping, gradient_mapping
from imctrain.imc.coding.search import even_codes, fewest_passes, search_integers
from imctrain.imc.mvm.plan import plan_mvm
from imctrain.settings import ArraySpec, Hardware, MappingSpec

DRIVES = ("signed", "unsigned")
UINT4, INT4 = np.arange(16.0, dtype=np.float32), np.arange(-7.0, 8.0, dtype=np.float32)
RADIX4 = np.array([0.0, *(s * 4.0**k for k in range(7) for s in (1, -1))], np.float32)


def driven(mapping: Mapping, values: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(mapping.drive)(values), np.float64)


def uint4(bits: int, **kwargs: object) -> Mapping:
    return integer_mapping(MappingSpec(**kwargs), ArraySpec(input_bits=bits), formats.UINT4)


def noise_db(mapping: Mapping, levels: int) -> float:
    """Noise at equal conversions, against one pass with c = 1 on 16 levels."""
    return 20 * math.log10(levels * mapping.noise_gain * math.sqrt(mapping.passes) / 16)


@pytest.mark.parametrize(
    ("bits", "coefficients"), [(1, (8, 4, 2, 1)), (2, (4, 3, 1)), (3, (3, 1)), (4, (1, 1)), (5, (1,)), (8, (1,))]
)
def test_balanced_passes_of_uint4(bits, coefficients):
    mapping = uint4(bits)
    assert mapping.coefficients == coefficients
    assert mapping.centre == 0


@pytest.mark.parametrize(("bits", "coefficients"), [(1, (3, 3, 1)), (2, (3, 1)), (3, (1, 1)), (4, (1,)), (5, (1,))])
def test_balanced_passes_of_int4(bits, coefficients):
    assert integer_mapping(MappingSpec(), ArraySpec(input_bits=bits), formats.INT4).coefficients == coefficients


@pytest.mark.parametrize(
    ("drive", "bits", "coefficients"),
    [
        ("signed", 1, (8, 4, 2, 1)),
        ("signed", 2, (4, 2, 1, 0.5)),
        ("signed", 3, (4, 1)),
        ("signed", 4, (8, 1)),
        ("signed", 5, (1,)),
        ("unsigned", 1, (8, 4, 2, 1)),
        ("unsigned", 2, (4, 1)),
        ("unsigned", 3, (8, 1)),
        ("unsigned", 4, (1,)),
    ],
)
def test_digit_serial_passes_of_uint4(drive, bits, coefficients):
    """Digits of as many bits as fit; one bit on two levels drives both."""
    array = ArraySpec(input_bits=bits, drive=drive)
    mapping = integer_mapping(MappingSpec(activation="digit_serial"), array, formats.UINT4)
    assert mapping.coefficients == coefficients
    if len(coefficients) > 1:
        ones = driven(mapping, UINT4) * np.array(coefficients)[:, None]
        base = coefficients[-2] / coefficients[-1]
        expected = [UINT4 // base**p % base * base**p for p in reversed(range(len(coefficients)))]
        assert np.array_equal(ones, expected)


def test_noise_at_equal_conversions():
    """L sqrt(P sum c^2): balanced within 1.3 dB of one pass on 16 levels, digits far behind at 8 levels."""
    balanced = {bits: noise_db(uint4(bits), 2 ** (bits - 1)) for bits in range(1, 6)}
    assert all(-1e-9 <= gain < 1.3 for gain in balanced.values())
    np.testing.assert_allclose([balanced[b] for b in (5, 4, 3, 2, 1)], [0, 0, 0.97, 0.86, 1.23], atol=0.005)
    digits = [noise_db(uint4(bits, activation="digit_serial"), 2 ** (bits - 1)) for bits in (5, 4, 3, 2, 1)]
    np.testing.assert_allclose(digits, [0, 15.12, 3.27, 1.23, 1.23], atol=0.005)


def test_the_dac_that_holds_a_code_drives_it_as_it_is():
    for drive, signed in itertools.product(DRIVES, (False, True)):
        for activation, bits in itertools.product(("balanced", "digit_serial"), range(1, 9)):
            array = ArraySpec(input_bits=bits, drive=drive)
            mapping = integer_mapping(MappingSpec(activation=activation), array, formats.IntegerFormat(4, signed))
            one_pass = Mapping((1.0, -1.0), differential=True) if signed and drive == "unsigned" else Mapping((1.0,))
            assert (mapping == one_pass) == (array.levels >= (7 if signed else 15))


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("bits", [1, slow(2), slow(3), 4, slow(5), slow(6), slow(7), 8])
def test_no_code_is_beyond_the_dac(drive, bits):
    """All formats, mappings and DACs: codes are whole, within the DAC, and add up to the value; a converter is unipolar
    by itself where no code is negative, and only there."""
    array = ArraySpec(input_bits=bits, drive=drive)
    lowest = 0 if drive == "unsigned" else -array.levels
    for signed, full, activation in itertools.product((False, True), (False, True), ("balanced", "digit_serial")):
        spec = MappingSpec(full_drive=full, activation=activation)
        values = INT4 if signed else UINT4
        mapping = integer_mapping(spec, array, formats.IntegerFormat(4, signed))
        codes = driven(mapping, values)
        assert np.array_equal(codes, np.round(codes))
        assert lowest <= codes.min() <= codes.max() <= array.levels
        np.testing.assert_allclose(np.tensordot(mapping.coefficients, codes, 1) + mapping.centre, values, atol=1e-6)
        assert planned(array, spec, signed, False).converter.unipolar == (codes.min() >= 0)
    for gradient in ("bit_serial", "grouped", "balanced"):
        passes = {2: 6, 4: 4}.get(array.levels, 3)
        if gradient == "balanced" and array.levels in (1, 3):
            continue  # no mapping: see below
        spec = MappingSpec(gradient=gradient, passes=passes)
        mapping = gradient_mapping(spec, array)
        codes = driven(mapping, RADIX4)
        assert np.array_equal(codes, np.round(codes))
        assert lowest <= codes.min() <= codes.max() <= array.levels
        np.testing.assert_allclose(np.tensordot(mapping.coefficients, codes, 1), RADIX4, rtol=1e-6)
        assert planned(array, spec, True, True).converter.unipolar == (codes.min() >= 0)


def planned(array: ArraySpec, spec: MappingSpec, signed: bool, drives_gradient: bool):
    return plan_mvm(
        "forward", site_index=0, groups=1, vectors=3, contraction=5, outputs=2, unit=1, shared_columns=True,
        input_format=formats.RADIX4 if drives_gradient else formats.IntegerFormat(4, signed),
        stored_format=formats.INT4,
        hardware=Hardware(array=array, mapping=spec),
    )  # fmt: skip


@pytest.mark.parametrize(("drive", "bits", "passes"), [("signed", 1, 7), ("signed", 2, 3), ("signed", 3, 2)])
def test_passes_that_cannot_work_are_one_clear_error(drive, bits, passes, monkeypatch):
    monkeypatch.setattr(search, "MAX_CANDIDATES", 300)
    with pytest.raises(UserError, match=rf"codes -\d\.\.\d in {passes} passes: raise mapping\.passes .*'bit_serial'"):
        gradient_mapping(MappingSpec(passes=passes), ArraySpec(input_bits=bits, drive=drive))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("levels", "top"), [(1, 15), (2, 15), (3, 15), (4, 15), (5, 15), (7, 15), (8, 15), (1, 7), (2, 7), (3, 8), (2, 14)]
)
def test_search_agrees_with_brute_force(levels, top, signed):
    """The fewest passes, then the least norm, then the smallest largest coefficient; the most even codes."""
    digits = range(-levels if signed else 0, levels + 1)
    wanted = set(range(-top if signed else 0, top + 1))

    def solutions(passes):
        for c in itertools.combinations_with_replacement(range(top, 0, -1), passes):
            reached = {0}
            for one in c:
                reached = {y + one * x for y in reached for x in digits}
            if wanted <= reached:
                yield sum(x * x for x in c), c

    found = search_integers(levels, top, signed=signed)
    assert len(found) == fewest_passes(levels, top, signed=signed)
    assert len(found) == 1 or not any(solutions(len(found) - 1))
    assert (sum(x * x for x in found), found) == min(solutions(len(found)))

    rows = even_codes(found, digits[0], levels, tuple(range(1, top + 1)))
    costs: dict[int, tuple[int, int]] = {}
    for codes in itertools.product(digits, repeat=len(found)):
        value = sum(c * x for c, x in zip(found, codes, strict=True))
        cost = max(map(abs, codes)), sum(x * x for x in codes)
        costs[value] = min(cost, costs.get(value, cost))
    for value, codes in enumerate(rows, 1):
        assert (max(map(abs, codes)), sum(x * x for x in codes)) == costs[value]


def test_signed_passes_would_have_less_noise_with_one_bit():
    """What the head of integer_mapping says: uint4 with codes -1..1, on a bipolar converter."""
    assert search_integers(1, 15, signed=True) == (6, 5, 3, 1)
    assert round(10 * math.log10(85 / 71), 1) == 0.8


@pytest.mark.parametrize(("what", "value"), [("array", {"drive": "bipolar"}), ("mapping", {"activation": "serial"})])
def test_settings_are_checked(what, value):
    (name,) = value
    with pytest.raises(UserError, match=rf"{what}\.{name} = .* is not possible: allowed is '"):
        (ArraySpec if what == "array" else MappingSpec)(**value)
