"""The exact path against the integers that a published simulator's own code gave (see tests/peers/README.md).

An output is a sum of converter codes, each weighed by its pass and its plane. Both sides are brought to that integer
and must be equal. Where a dot product lies exactly half way between two codes, the even one is right; the peer divides
in floating point and gets either. Such outputs may differ by the weights of the conversions that are on a tie, and no
more.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import conv_matrices
from imc_sites import ACTIVATION, UNSIGNED, WEIGHT, conv_site, dot_site, hardware

from imctrain.imc.hardware import AdcSpec, ArraySpec, MappingSpec

FOLDER = Path(__file__).with_name("peers")
FIXTURES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("asim",)}
CASES = [(name, number) for name, fixture in FIXTURES.items() for number in range(len(fixture["cases"]))]


def asim_hardware(case):
    """Unsigned inputs, `drive_bits` bits a pass; 2^B - 1 steps."""
    return hardware(
        array=ArraySpec(rows=case["rows"], input_bits=case["drive_bits"], drive="unsigned"),
        adc=AdcSpec(bits=case["adc_bits"], full_scale_on_last_code=True, round_to_integers=False),
        mapping=MappingSpec(activation="digit_serial", gradient="grouped"),
    )


def on_array(x, w, hardware, padding=None, *, driven=None, stored=WEIGHT):
    """(product [M, N], how far ties may move it, the size of its integers).

    An output is a whole number of LSBs of the converter, or of half ones where the smallest plane weighs 1/2.

    Args:
        x: [M, K], or an image [B, H, W, C]. w: [K, N], or a kernel [k, k, C, N], for `padding` pixels of border.
    """
    driven = driven or (UNSIGNED if x.min() >= 0 else ACTIVATION)
    operands = x.astype(np.float32), w.astype(np.float32)
    if padding is None:
        site = dot_site(*x.shape, w.shape[1], hardware, driven, stored)
    else:
        borders = ((padding, padding), (padding, padding))
        site = conv_site(*operands, hardware, (1, 1), borders, (1, 1), (1, 1), 1, lhs=driven)
        x, w = (matrix[0] for matrix in conv_matrices(x, w, (1, 1), borders, (1, 1), (1, 1), 1)[:2])
    (plan,) = site.mvms[:1]
    out = np.asarray(jax.jit(site.apply)(*operands, site.init_state(), jax.random.key(0)), np.float64)

    lsb = hardware.adc.range * plan.converter.lsb_at_full_range * plan.full_scales[0]
    unit = lsb * min(np.abs(plan.coding.weights)) * min(plan.mapping.coefficients)
    return out.reshape(len(x), -1), lsb * tie_weights(x, w, plan), unit


def tie_weights(x, w, plan):
    """Sum of |c_p beta_j| over the conversions of each output whose dot product is half way between two codes."""
    drives = np.asarray(plan.mapping.drive(jnp.asarray(x, jnp.float32)), np.int64)
    cells = np.asarray(plan.coding.encode(jnp.asarray(w, jnp.float32), axis=0), np.int64)
    weights = np.abs(np.multiply.outer(plan.mapping.coefficients, plan.coding.weights))
    # dot / lsb = numerator / denominator in integers: the ranges of the fixture are multiples of 1/64.
    denominator = int(64 * plan.hardware.adc.range * plan.converter.span * plan.full_scales[0])
    total = 0.0
    for rows in tile_rows(plan, len(w)):
        dots = np.einsum("pmk,jkn->pjmn", drives[..., rows], cells[:, rows])
        whole, rest = np.divmod(2 * 64 * dots * plan.converter.steps, denominator)
        total = total + np.einsum("pj,pjmn->mn", weights, (rest == 0) & (whole % 2 == 1))
    return total


def tile_rows(plan, rows):
    """Indices of each tile's rows; of a kernel's rows (position, channel), all positions of its channels."""
    channel = np.arange(rows) % plan.tiles.units
    return [channel // plan.tiles.size == t for t in range(plan.tiles.count)]


def compared(name, number):
    """Integers of imctrain and of the peer, and how far ties may move them, [outputs] each; of one case."""
    fixture = FIXTURES[name]
    case = fixture["cases"][number]
    x, w = (np.asarray(fixture["operands"][case[side]]) for side in ("x", "w"))
    peer = np.asarray(case["output"])
    peer = peer.reshape(-1, peer.shape[-1])
    ours, ties, unit = on_array(x, w, asim_hardware(case), case.get("padding"))
    return whole(ours / unit), whole(peer / unit), np.ravel(ties / unit)


def whole(values):
    """Integers freed of float32 rounding, flat."""
    rounded = np.round(values)
    np.testing.assert_allclose(values, rounded, rtol=0, atol=0.05)
    return rounded.ravel()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_every_output_is_the_peers_integer(name, number):
    ours, peer, ties = compared(name, number)
    assert np.array_equal(ours[ties == 0], peer[ties == 0])
    assert np.all(np.abs(ours - peer) <= ties + 1e-6)
    assert len(set(ours.tolist())) > 3
