"""The exact path against the integers that published simulators' own code gave (see tests/imc/peers/README.md).

An output is a sum of converter codes, each weighed by its pass and its plane. Both sides are brought to that integer
and must be equal. Where a dot product lies exactly half way between two codes, the even one is right; a peer divides in
floating point and gets either. Such outputs may differ by the weights of the conversions that are on a tie, and no
more.
"""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from imc_reference import conv_matrices
from imc_sites import ACTIVATION, UNSIGNED, WEIGHT, conv_site, dot_site, hardware
from tiers import slow

from imctrain.settings import AdcSpec, ArraySpec, MappingSpec

FOLDER = Path(__file__).with_name("peers")
FIXTURES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("asim", "crosssim")}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Every case is compiled for a few small products: what takes least to compile."""
CASES = [(name, number) for name, fixture in FIXTURES.items() for number in range(len(fixture["cases"]))]


def asim(case, x, w):
    """Unsigned inputs, `drive_bits` bits a pass; 2^B - 1 steps. Nothing is taken off digitally."""
    device = hardware(
        array=ArraySpec(rows=case["rows"], input_bits=case["drive_bits"], drive="unsigned"),
        adc=AdcSpec(bits=case["adc_bits"], full_scale_on_last_code=True, round_to_integers=False),
        mapping=MappingSpec(activation="digit_serial", gradient="grouped"),
    )
    return *on_array(x, w, device, case.get("padding")), 0.0


def crosssim(case, x, w):
    """The array whose conversions are those of a CrossSim core: the last value is what the core takes off digitally.

    Slices are planes of binary cells: of w + 8, or of w's positive and negative part. Two arrays whose currents are
    subtracted before the converter are one array of twice the rows, driven with x and -x. A cell of many levels takes
    the place of a DAC's code: there w drives an array that stores x, whose planes are CrossSim's input bits.
    """
    core, signs = case["core"], (1, -1)
    if core == "sliced_offset":
        device = crosssim_hardware(case, *crosssim_drive(case))
        reading = on_array(x, w + 8, device, case.get("padding"), stored=UNSIGNED)
        sums = (x if "padding" not in case else patches(x, w, case["padding"])).sum(axis=1, keepdims=True)
        return *reading, 8 * sums
    if core == "offset":
        # The sum of what is stored, times the lowest code -7, is imctrain's digital share as well.
        device = crosssim_hardware(case, "unsigned", 4, full_drive=True)
        product, ties, unit = on_array(w.T, x.T, device, stored=UNSIGNED)
        sums = 7 * x.sum(axis=1, keepdims=True)
        return product.T + sums, ties.T, unit, sums
    if core == "balanced":
        drive = ("unsigned", 3) if case["subtract"] == "digital" else ("signed", 4)
        product, ties, unit = on_array(w.T, x.T, crosssim_hardware(case, *drive), stored=UNSIGNED)
        return product.T, ties.T, unit, 0.0
    parts = [np.maximum(sign * w, 0) for sign in signs]
    if case["subtract"] == "digital":
        device = crosssim_hardware(case, *crosssim_drive(case))
        (plus, ties, unit), (minus, more, _) = (on_array(x, part, device, stored=UNSIGNED) for part in parts)
        return plus - minus, ties + more, unit, 0.0
    twice = np.stack([sign * x for sign in signs], axis=2).reshape(len(x), -1)
    stacked = np.stack(parts, axis=1).reshape(-1, w.shape[1])
    return *on_array(twice, stacked, crosssim_hardware(case, *crosssim_drive(case), arrays=2), stored=UNSIGNED), 0.0


def crosssim_drive(case):
    """(drive, input_bits) whose digits have `drive_bits` bits; with a sign where the converter is bipolar."""
    bits = case["drive_bits"]
    return ("signed", {1: 1, 2: 3, 3: 4}[bits]) if case["bipolar"] else ("unsigned", bits)


def crosssim_hardware(case, drive, input_bits, *, full_drive=False, arrays=1):
    """CrossSim's calibrated range as a fraction of the full scale of `arrays` arrays' rows."""
    array = ArraySpec(rows=arrays * case["rows"], input_bits=input_bits, drive=drive)
    adc = AdcSpec(
        bits=case["adc_bits"],
        range=case["full_scale"] / (array.rows * array.levels),
        full_scale_on_last_code=case["adc_steps"] % 2 == 1,
        round_to_integers=False,
    )
    mapping = MappingSpec(activation="digit_serial", gradient="grouped", full_drive=full_drive)
    return hardware(array=array, adc=adc, mapping=mapping)


PEERS = {"asim": asim, "crosssim": crosssim}


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
        site = conv_site(*operands, hardware, (1, 1), borders, (1, 1), (1, 1), 1, lhs=driven, rhs=stored)
        x, w = patches(x, w, padding), w.reshape(-1, w.shape[-1])
    (plan,) = site.mvms[:1]

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(operands, x, w):
        product = site.apply(*operands, site.init_state(), jax.random.key(0))
        return product, plan.mapping.drive(x), plan.coding.encode(w, axis=0)

    out, drives, cells = run(operands, x.astype(np.float32), w.astype(np.float32))
    lsb = hardware.adc.range * plan.converter.lsb_at_full_range * plan.full_scales[0]
    unit = lsb * min(np.abs(plan.coding.weights)) * min(np.abs(plan.mapping.coefficients))
    ties = tie_weights(np.asarray(drives, np.int64), np.asarray(cells, np.int64), plan)
    return np.asarray(out, np.float64).reshape(len(x), -1), lsb * ties, unit


def patches(x, w, padding):
    """What the kernel w sees at every position of the image x, [B * OH * OW, k * k * C]."""
    return conv_matrices(x, w, (1, 1), ((padding, padding), (padding, padding)), (1, 1), (1, 1), 1)[0][0]


def tie_weights(drives, cells, plan):
    """Sum of |c_p beta_j| over the conversions of each output whose dot product is half way between two codes.

    Args:
        drives: codes of every pass, [P, M, K]. cells: of every plane, [J, K, N].
    """
    weights = np.abs(np.multiply.outer(plan.mapping.coefficients, plan.coding.weights))
    # dot / lsb = numerator / denominator in integers: the ranges of the fixture are multiples of 1/64.
    denominator = int(64 * plan.hardware.adc.range * plan.converter.span * plan.full_scales[0])
    total = 0.0
    for rows in tile_rows(plan, cells.shape[1]):
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
    ours, ties, unit, digital = PEERS[name](case, x, w)
    peer = peer.reshape(-1, peer.shape[-1]) + digital
    return whole(ours / unit), whole(peer / unit), np.ravel(ties / unit)


def whole(values):
    """Integers freed of float32 rounding, flat."""
    rounded = np.round(values)
    np.testing.assert_allclose(values, rounded, rtol=0, atol=0.05)
    return rounded.ravel()


@pytest.mark.parametrize(("name", "number"), [*CASES[::4], *(slow(*case) for i, case in enumerate(CASES) if i % 4)])
def test_every_output_is_the_peers_integer(name, number):
    ours, peer, ties = compared(name, number)
    assert np.array_equal(ours[ties == 0], peer[ties == 0])
    assert np.all(np.abs(ours - peer) <= ties + 1e-6)
    assert len(set(ours.tolist())) > 3
