"""The exact path against integers and against the slow reference, noise off: equal, not close."""

import numpy as np
import pytest
from covering import covering_cases
from imc_reference import array_matmul, conv_matrices, even_tiles
from imc_sites import ACTIVATION, UNSIGNED, WIDE, conv_site, dot_site, hardware, integer_operands, integers, levels, run
from tiers import slow

from imctrain.imc.coding.gradient_mappings.balanced import balanced
from imctrain.imc.coding.gradient_mappings.grouped import grouped
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError, MappingSpec


@pytest.mark.parametrize(
    ("gradient", "cell", "rows", "unsigned", "full_drive"),
    covering_cases(
        3, ["bit_serial", "grouped", "balanced"], ["and", "xnor"], [1152, 7], [False, True], [False, True],
        quick=[("balanced", "and", 1152, True, False), ("balanced", "and", 1152, True, True)],
    ),
)  # fmt: skip
def test_matmul_is_the_integer_product(rng, gradient, cell, rows, unsigned, full_drive):
    x, w = integer_operands(rng, (5, 33), (33, 6), low=0 if unsigned else -7, high=7)
    if unsigned:
        x.flat[0] = 15
    g = levels(rng, (5, 6))
    array = ArraySpec(rows=rows, cell=cell)
    hw = hardware(array=array, adc=WIDE, mapping=MappingSpec(gradient=gradient, full_drive=full_drive))
    site = dot_site(5, 33, 6, hw, lhs=UNSIGNED) if unsigned else dot_site(5, 33, 6, hw)
    y, dx, dw, _ = run(site, x, w, g)
    assert np.array_equal(integers(y), x.astype(float) @ w)
    inside = (x >= 0) if unsigned else np.ones_like(x)
    assert np.array_equal(integers(dx), (g.astype(float) @ w.T) * inside)
    assert np.array_equal(integers(dw), x.T.astype(float) @ g)


CONVOLUTIONS = [
    # image, kernel, strides, padding, image dilation, kernel dilation, groups
    ((2, 7, 6, 4), (3, 3, 4, 6), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1),
    ((2, 8, 8, 4), (3, 3, 2, 6), (2, 2), ((0, 1), (0, 1)), (1, 1), (1, 1), 2),
    ((1, 9, 7, 6), (3, 2, 2, 6), (2, 1), ((1, 2), (3, 0)), (1, 1), (1, 2), 3),
    ((2, 5, 5, 2), (2, 3, 2, 4), (1, 2), ((1, 1), (2, 1)), (2, 1), (1, 1), 1),
    ((2, 6, 6, 4), (3, 3, 1, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 4),
]


MACROS = [(1152, "and", "balanced"), (20, "xnor", "grouped"), (5, "and", "bit_serial")]


@pytest.mark.parametrize(
    ("case", "macro", "full_drive"),
    covering_cases(
        2, CONVOLUTIONS, MACROS, [False, True], quick=[(CONVOLUTIONS[2], macro, False) for macro in MACROS[:2]]
    ),
)
def test_convolution_is_the_integer_convolution(rng, case, macro, full_drive):
    rows, cell, gradient = macro
    image, kernel, strides, padding, a, r, groups = case
    x, w = integer_operands(rng, image, kernel, low=0 if full_drive else -7)
    if full_drive:
        x.flat[0], w[..., ::2] = 15, -w[..., ::2]
    hw = hardware(
        array=ArraySpec(rows=rows, cell=cell), adc=WIDE, mapping=MappingSpec(gradient=gradient, full_drive=full_drive)
    )
    patches, kernels, out = conv_matrices(x, w, strides, padding, a, r, groups)
    g = levels(rng, (image[0], *out, kernel[-1]))
    kind = UNSIGNED if full_drive else ACTIVATION
    y, dx, dw, _ = run(conv_site(x, w, hw, strides, padding, a, r, groups, lhs=kind), x, w, g)

    outputs = kernel[-1] // groups
    expected = np.einsum("gmk,gkn->mgn", patches, kernels).reshape(image[0], *out, -1)
    assert np.array_equal(integers(y), expected)
    by_group = g.reshape(-1, groups, outputs).astype(float)
    expected = np.einsum("gmk,mgn->kgn", patches, by_group).reshape(kernel)
    assert np.array_equal(integers(dw), expected)
    # dx by its definition: the derivative of sum(y * g) in each direction of x, from the same loops.
    expected = np.zeros(image)
    for position in np.ndindex(*image[1:]):
        unit = np.zeros((1, *image[1:]))
        unit[(0, *position)] = 1.0
        seen, _, _ = conv_matrices(unit, w, strides, padding, a, r, groups)
        response = np.einsum("gmk,gkn->mgn", seen, kernels).reshape(1, *out, -1)
        expected[(slice(None), *position)] = np.sum(response * g, axis=(1, 2, 3))
    assert np.array_equal(integers(dx), expected)


ARRAYS = [
    ({}, {}),
    ({"rows": 16}, {"range": 0.25}),
    ({"rows": 16, "cell": "xnor"}, {"range": 0.5, "bits": 6}),
    ({"rows": 64, "replicate": True}, {}),
    ({"rows": 64, "segment_rows": 16}, {"range": 0.5}),
    ({"rows": 64, "segment_rows": 16, "replicate": True}, {"full_scale_on_last_code": True}),
    ({"rows": 24}, {"bits": 4, "polarity": "bipolar"}),
    ({"rows": 48, "input_bits": 4}, {"bits": 10}),
]


DRIVES = [(False, None), (True, None), (True, 5)]
"""Whether unsigned codes take the full drive; planes of the weights."""


@pytest.mark.parametrize(
    ("converters", "unsigned", "drive"),
    covering_cases(
        2, ARRAYS, [False, True], DRIVES, quick=[(a, True, d) for a in ARRAYS[2:5:2] for d in (DRIVES[0], DRIVES[2])]
    ),
)
def test_eight_bit_conversions_match_the_reference(rng, converters, unsigned, drive):
    """Real converters: quantised and clipped conversions of all three MVMs equal the reference's."""
    (array, adc), (full_drive, planes) = converters, drive
    m, k, n = 6, 37, 5
    x, w = integer_operands(rng, (m, k), (k, n), low=0 if unsigned else -7)
    if unsigned:
        x.flat[0] = 15
    mapping = MappingSpec(gradient="balanced", full_drive=full_drive, planes=planes)
    hw = hardware(array=ArraySpec(**array), adc=AdcSpec(**adc), mapping=mapping)
    spec, converter = hw.array, hw.adc
    levels_in = spec.levels
    site = dot_site(m, k, n, hw, lhs=UNSIGNED) if unsigned else dot_site(m, k, n, hw)
    g = levels(rng, (m, n))
    y, dx, dw, cotangent = run(site, x, w, g)
    common = {
        "cell": spec.cell, "plane_count": planes, "rows": spec.rows, "levels": levels_in, "bits": converter.bits,
        "last_code": converter.full_scale_on_last_code, "replicate": spec.replicate, "segment": spec.segment_rows,
    }  # fmt: skip
    unipolar = unsigned and spec.cell == "and" and converter.polarity == "auto" and not full_drive
    steps = {16: 2, 8: 1}[levels_in] if full_drive else 1
    centre = {16: 7.5, 8: 8.0}[levels_in] if full_drive and unsigned else 0.0
    coefficients, codes, magnitudes = (1 / steps,), (), None
    if unsigned and levels_in == 8 and not full_drive:
        # Two passes of codes 0..8: halves of the value.
        coefficients, magnitudes = (1.0, 1.0), range(1, 16)
        codes = [(v // 2, v - v // 2) for v in magnitudes]
    expected, clipped = array_matmul(
        x, w, tiles=even_tiles(k, spec.rows), unipolar=unipolar, ranges=[converter.range] * len(coefficients),
        coefficients=coefficients, codes=codes, magnitudes=magnitudes, centre=centre, **common,
    )  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    conversions = len(even_tiles(k, spec.rows)) * m * n * site.mvms[0].planes
    counted = np.sum(np.asarray(cotangent.telemetry.mvms["forward"].clipped)) * conversions
    assert np.isclose(counted, clipped, atol=0.01)
    mapping = balanced(levels_in)
    drive = {"coefficients": mapping.coefficients, "codes": mapping.codes, "ranges": [converter.range] * 3}
    expected, _ = array_matmul(g, w.T, tiles=even_tiles(n, spec.rows), **drive, **common)
    np.testing.assert_allclose(dx, expected * (x >= 0 if unsigned else 1), rtol=0, atol=1e-6 * np.abs(expected).max())
    expected, _ = array_matmul(g.T, x, tiles=even_tiles(m, spec.rows), stored_signed=not unsigned, **drive, **common)
    np.testing.assert_allclose(dw.T, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_convolution_conversions_match_the_reference(rng):
    """Tiles of a convolution are whole channels: the reference cuts its patch rows the same way."""
    x, w = integer_operands(rng, (2, 6, 6, 5), (3, 3, 5, 4))
    hw = hardware(array=ArraySpec(rows=20), adc=AdcSpec(range=0.5), mapping=MappingSpec(gradient="grouped"))
    patches, kernels, out = conv_matrices(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    g = levels(rng, (2, *out, 4))
    y, _, dw, _ = run(conv_site(x, w, hw, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1), x, w, g)
    expected, _ = array_matmul(patches[0], kernels[0], tiles=even_tiles(5, 20, unit=9), rows=20, ranges=[0.5])
    np.testing.assert_allclose(y.reshape(-1, 4), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    mapping = grouped(16)
    expected, _ = array_matmul(
        g.reshape(-1, 4).T, patches[0], tiles=even_tiles(72, 20), rows=20, ranges=[0.5] * 3,
        coefficients=mapping.coefficients, codes=mapping.codes,
    )  # fmt: skip
    np.testing.assert_allclose(dw.reshape(-1, 4).T, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_fixed_pattern_and_inl_match_the_reference(rng):
    m, k, n = 8, 30, 3
    x, w = integer_operands(rng, (m, k), (k, n))
    columns = tuple(ColumnError(c, 1.0 + 0.02 * rng.standard_normal(), rng.standard_normal()) for c in range(4 * n))
    knots, values = (-1.0, -0.2, 0.1, 1.0), (0.5, -0.4, 0.6, -0.3)
    chip = ChipSpec(columns=columns, inl_v=knots, inl_lsb=values)
    array = ArraySpec(rows=32, columns=12, macros=1)
    hw = hardware(array=array, adc=AdcSpec(bits=12), chip=chip)
    y, *_ = run(dot_site(m, k, n, hw), x, w, levels(rng, (m, n)))
    lsb = 2 / 2**8
    gain = np.array([c.gain for c in columns]).reshape(1, 4, n)
    offset = np.array([c.offset_lsb for c in columns]).reshape(1, 4, n) * lsb
    expected, _ = array_matmul(
        x, w, tiles=even_tiles(k, 32), rows=32, bits=12, gain=gain, offset=offset,
        inl=lambda v: np.interp(v, knots, values) * lsb,
    )  # fmt: skip
    # float32 may fall on the other side of a rounding tie: allow one code of the heaviest plane, on few outputs.
    code = 8 * 2 / 2**12 * 32 * 16
    assert np.max(np.abs(y - expected)) <= 1.01 * code
    assert np.mean(np.abs(y - expected) > 1e-3) < 0.05


@pytest.mark.parametrize("memory", [slow(1), slow(2), 64])
def test_chunking_changes_nothing_without_noise(rng, memory):
    x, w = integer_operands(rng, (600, 300), (300, 40))
    g = levels(rng, (600, 40))
    base = hardware(array=ArraySpec(rows=64), adc=AdcSpec(range=0.5), memory_mib=256)
    reference = run(dot_site(600, 300, 40, base), x, w, g)
    got = run(dot_site(600, 300, 40, base.replace(memory_mib=memory)), x, w, g)
    for a, b in zip(got[:3], reference[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
