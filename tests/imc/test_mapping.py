"""Mappings reach every magnitude exactly; the balanced search is optimal where that can be checked by force."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from imctrain.errors import UserError
from imctrain.formats import INT4, IntegerFormat
from imctrain.imc.coding.gradient_mappings.balanced import balanced
from imctrain.imc.coding.gradient_mappings.bit_serial import bit_serial
from imctrain.imc.coding.gradient_mappings.grouped import grouped
from imctrain.imc.coding.integer_passes import integer_mapping
from imctrain.imc.coding.planes import PlaneCoding, parts
from imctrain.imc.coding.search import norm_bound, search_balanced
from imctrain.settings import ArraySpec, MappingSpec


@pytest.mark.parametrize("mapping", [bit_serial(16), grouped(16), grouped(8), grouped(1), balanced(16), balanced(32)])
def test_every_magnitude_is_exact(mapping):
    values = np.array([s * 4.0**k for k in range(7) for s in (1, -1)] + [0.0], np.float32)
    codes = np.asarray(mapping.drive(jnp.asarray(values)))
    assert np.all(codes == np.round(codes))
    assert np.array_equal(np.tensordot(mapping.coefficients, codes, 1), values)


@pytest.mark.parametrize(
    ("levels", "mapping"), [(16, grouped(16)), (16, balanced(16)), (8, balanced(8)), (1, grouped(1))]
)
def test_codes_fit_the_dac(levels, mapping):
    assert max(abs(x) for row in mapping.codes for x in row) <= levels


def test_noise_gains_at_the_macros_levels():
    assert grouped(16).coefficients == (1.0, 64.0, 256.0)
    assert round(grouped(16).noise_gain, 1) == 263.9
    assert balanced(16).passes == grouped(16).passes == 3
    assert balanced(16).noise_gain < 147.83
    assert balanced(16).noise_gain >= norm_bound(16, 7, 3)
    assert 20 * math.log10(grouped(16).noise_gain / balanced(16).noise_gain) > 5.0
    assert bit_serial(16).passes == 7


@pytest.mark.parametrize(("levels", "exponents", "passes"), [(4, 4, 2), (8, 4, 2), (4, 3, 2), (4, 4, 3), (3, 3, 3)])
def test_search_agrees_with_brute_force(levels, exponents, passes):
    largest = 4 ** (exponents - 1)
    every = np.array(list(itertools.combinations_with_replacement(range(1, largest + 1), passes)))
    codes = np.array(list(itertools.product(range(-levels, levels + 1), repeat=passes)))
    reaches = np.ones(len(every), bool)
    for k in range(exponents):
        reaches &= (every @ codes.T == 4**k).any(1)
    norms = (every[reaches] ** 2).sum(1)
    best = norms.min() if norms.size else None
    found = search_balanced(levels, exponents, passes)
    assert (found and sum(a * a for a in found)) == best


def test_codes_spread_a_magnitude_evenly():
    codes = balanced(16).codes
    assert codes[6] == (16, 16, 16)
    assert codes[5] == (4, 4, 4)
    assert max(abs(x) for x in codes[0]) == 1


def test_no_mapping_is_one_clear_error():
    with pytest.raises(UserError, match=r"no balanced mapping.*mapping\.passes"):
        balanced(16, passes=1)


@pytest.mark.parametrize(("levels", "noise"), [(8, 1.0), (16, 0.5), (32, 0.25), (64, 1 / 8), (128, 1 / 16)])
@pytest.mark.parametrize("signed", [True, False])
def test_full_drive_uses_the_dac(levels, noise, signed):
    array = ArraySpec(input_bits=levels.bit_length())
    mapping = integer_mapping(MappingSpec(full_drive=True), array, IntegerFormat(4, signed))
    values = jnp.arange(-7.0 if signed else 0.0, 8.0 if signed else 16.0)
    (codes,) = np.asarray(mapping.drive(values))
    assert np.array_equal(codes, np.round(codes))
    assert 0.8 * levels <= np.abs(codes).max() <= levels
    np.testing.assert_allclose(codes * mapping.coefficients[0] + mapping.centre, values, rtol=1e-6)
    assert mapping.noise_gain <= noise


@pytest.mark.parametrize("cell", ["and", "xnor"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("bits", "planes"),
    [(4, None), (4, 4), (4, 5), (4, 8), (4, 14), (2, None), (2, 2), (3, 5), (5, 7), (6, None), (8, None), (8, 11)],
)
def test_planes_carry_every_code(cell, signed, bits, planes):
    fmt = IntegerFormat(bits, signed)
    coding = PlaneCoding(cell, fmt, planes)
    codes = jnp.arange(float(fmt.lowest), fmt.top + 1.0)
    assert coding.count == (planes or bits)
    cells = np.asarray(coding.encode(codes, axis=0))
    assert cells.shape == (coding.count, len(codes))
    assert set(np.unique(cells)) == ({0, 1} if cell == "and" else {-1, 1})
    assert np.array_equal(np.tensordot(coding.weights, cells, 1) + coding.centre, codes)


@pytest.mark.parametrize(("total", "count"), [(14, 4), (14, 5), (15, 4), (15, 5), (14, 6), (20, 5)])
def test_parts_have_the_least_squares(total, count):
    """By force: no other way of cutting reaches every partial sum with a smaller sum of squares."""
    best = min(
        sum(x * x for x in cut)
        for cut in itertools.combinations_with_replacement(range(1, total + 1), count)
        if {sum(s) for r in range(count + 1) for s in itertools.combinations(cut, r)} == set(range(total + 1))
    )
    assert sum(x * x for x in parts(total, count)) == best


def test_noise_of_the_planes():
    squares = {
        (cell, planes): sum(beta**2 for beta in PlaneCoding(cell, INT4, planes).weights)
        for cell in ("and", "xnor")
        for planes in (None, 5)
    }
    assert squares == {("and", None): 85, ("and", 5): 46, ("xnor", None): 17.5, ("xnor", 5): 11.5}
