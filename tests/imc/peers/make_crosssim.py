"""Makes crosssim.json: outputs of CrossSim's own cores on small integer operands (see README.md beside this file).

    git clone https://github.com/sandialabs/cross-sim && PYTHONPATH=cross-sim python tests/imc/peers/make_crosssim.py

Needs numpy and scipy, and none of imctrain.

Settings of a case:
    core        "sliced_offset"     binary cells of w + 8, 8 times the inputs' sum taken off digitally
                "sliced_balanced"   binary cells of |w|, one array for each sign
                "balanced"          one cell of many levels for |w|, one array for each sign
                "offset"            one cell of many levels for w + 7, 7 times the inputs' sum taken off digitally
    subtract    of the balanced cores: "column" (before the converter) or "digital" (after it)
    rows        of one array. drive_bits: input bits a pass.
    adc         CrossSim's model. adc_bits: B. adc_steps: how many LSBs the span counts, 2^B or 2^B - 1.
    full_scale  F, in units of the integer dot product of one array. bipolar: the span is -F..F, else 0..F.
"""

from pathlib import Path

import fixture
import numpy as np
import simulator
from simulator import AnalogCore, CrossSimParameters
from simulator.algorithms.dnn.analog_convolution import AnalogConvolution2D
from simulator.parameters.core_parameters import (
    BitSlicedCoreStyle,
    CoreStyle,
    OffsetCoreStyle,
    OutputDType,
)
from simulator.parameters.xbar_parameters import ADCRangeLimits

STYLES = {
    "sliced_offset": CoreStyle.BITSLICED,
    "sliced_balanced": CoreStyle.BITSLICED,
    "balanced": CoreStyle.BALANCED,
    "offset": CoreStyle.OFFSET,
}
WEIGHT_BITS = {"sliced_offset": 4, "sliced_balanced": 5, "balanced": 4, "offset": 4}
"""With the sign."""
TOP_CELL = {"sliced_offset": 1, "sliced_balanced": 1, "balanced": 7, "offset": 14}
"""What the largest conductance stands for."""


def converter_range(core, rows, drive_bits, adc, adc_bits, adc_steps, full_scale, bipolar, **_):
    """[lowest, highest] level in CrossSim's units, where the largest input times the largest conductance is 1."""
    lsb = (2 if bipolar else 1) * full_scale / adc_steps
    if not bipolar:
        levels = np.array([0, 2**adc_bits - 1])
    elif adc == "SignMagnitudeADC":
        levels = np.array([1 - 2 ** (adc_bits - 1), 2 ** (adc_bits - 1) - 1])
    else:
        levels = np.array([-(2 ** (adc_bits - 1)), 2 ** (adc_bits - 1) - 1])
    return (levels * lsb / ((2**drive_bits - 1) * TOP_CELL[core])).tolist()


def parameters(case, top, signed):
    """CrossSim's settings for inputs up to `top`, every error model left off."""
    params = CrossSimParameters()
    core, bits = case["core"], WEIGHT_BITS[case["core"]]
    params.core.style = STYLES[core]
    params.core.rows_max = case["rows"]
    params.core.weight_bits = bits
    params.core.output_dtype = OutputDType.FLOAT64
    params.core.balanced.subtract_current_in_xbar = case.get("subtract", "column") == "column"
    params.core.offset.style = OffsetCoreStyle.DIGITAL_OFFSET
    balanced = core == "sliced_balanced"
    params.core.bit_sliced.style = BitSlicedCoreStyle.BALANCED if balanced else BitSlicedCoreStyle.OFFSET
    params.core.bit_sliced.num_slices = 4
    weights = params.core.mapping.weights
    weights.percentile = None
    weights.min, weights.max = -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1
    params.core.mapping.inputs.mvm.min, params.core.mapping.inputs.mvm.max = (-top if signed else 0), top
    params.xbar.device.infinite_on_off_ratio = True

    dac = params.xbar.dac.mvm
    dac.model = "SignMagnitudeDAC" if signed else "QuantizerDAC"
    dac.signed = signed
    dac.bits = int(top).bit_length() + signed
    dac.input_bitslicing = True
    dac.slice_size = case["drive_bits"]

    limits = converter_range(**case)
    params.xbar.adc.mvm.model = case["adc"]
    adc = params.xbar.adc.mvm
    adc.bits = case["adc_bits"]
    adc.signed = case["bipolar"]
    adc.adc_per_ibit = True
    adc.adc_range_option = ADCRangeLimits.CALIBRATED
    adc.calibrated_range = [limits] * 4 if STYLES[core] is CoreStyle.BITSLICED else limits
    return params


def linear(x, w, params):
    """x [M, K], w [K, N]: [M, N]."""
    return (AnalogCore(w.T.astype(float), params) @ x.T.astype(float)).T


def convolution(x, w, padding, params):
    """x [B, H, W, C], w [k, k, C, N]: [B, H', W', N]. CrossSim leaves the border to its caller."""
    kernel, _, channels, outputs = w.shape
    layer = AnalogConvolution2D(params, channels, outputs, (kernel, kernel), (1, 1), (1, 1), 1, 0)
    layer.set_matrix(layer.form_matrix(w.transpose(3, 2, 0, 1).astype(float)))
    image = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return layer.apply(np.ascontiguousarray(image.transpose(0, 3, 1, 2), float)).transpose(0, 2, 3, 1)


def draw():
    rng = np.random.default_rng(3200)
    operands = {}
    # x: 4 bits. u: 3 bits. s: 3 bits and a sign. w: 3 bits and a sign. b: 4 bits and a sign.
    for rows in (64, 126, 41):
        for name, low, high in (("x", 0, 15), ("u", 0, 7), ("s", -7, 7)):
            operands[f"{name}{rows}"] = fixture.operand(rng, (16, rows), low, high)
        operands[f"w{rows}"] = fixture.operand(rng, (rows, 8), -7, 7)
        operands[f"b{rows}"] = fixture.operand(rng, (rows, 8), -15, 15)
        operands[f"b{rows}"][:2, 0] = 15, -15
    operands["image"] = fixture.operand(rng, (2, 5, 5, 14), 0, 15)
    operands["kernel"] = fixture.operand(rng, (3, 3, 14, 5), -7, 7)
    return operands


def main():
    operands, cases = draw(), []

    def add(core, x, w, *, rows, drive_bits, adc_bits, full_scale, unused_code=False, adc="QuantizerADC", **more):
        signed = operands[x].min() < 0
        case = {"core": core, "rows": rows, "drive_bits": drive_bits, "adc": adc, "adc_bits": adc_bits}
        case["bipolar"] = bool(signed or more.get("subtract") == "column")
        case |= {"adc_steps": 2**adc_bits - (0 if unused_code else 1), "full_scale": full_scale} | more
        params = parameters(case, operands[x].max(), bool(signed))
        if "padding" in case:
            output = convolution(operands[x], operands[w], case["padding"], params)
        else:
            output = linear(operands[x], operands[w], params)
        cases.append({"x": x, "w": w} | case | {"output": output})

    # Offset slices: unsigned inputs, one tile; two tiles (63 + 63) and three (14 + 14 + 13) on converters that clip.
    for drive_bits, top in ((1, 1), (2, 3), (4, 15)):
        more = {"drive_bits": drive_bits}
        for adc_bits in (4, 8):
            add("sliced_offset", "x64", "w64", rows=64, adc_bits=adc_bits, full_scale=64 * top, **more)
        add("sliced_offset", "x126", "w126", rows=64, adc_bits=5, full_scale=33 * top, **more)
        add("sliced_offset", "x41", "w41", rows=16, adc_bits=5, full_scale=6 * top, unused_code=True, **more)
        more["subtract"] = "digital"
        add("sliced_balanced", "x126", "b126", rows=64, adc_bits=6, full_scale=61 * top, **more)
    # Convolutions: seven of fourteen channels a tile; with a border of zeros.
    add("sliced_offset", "image", "kernel", rows=63, drive_bits=1, adc_bits=5, full_scale=63, padding=0)
    add("sliced_offset", "image", "kernel", rows=63, drive_bits=2, adc_bits=6, full_scale=63 * 3, padding=1)
    # Signed inputs: the bits of their magnitude, their sign in every pass. A DAC of 1, 4 or 8 levels each side.
    for drive_bits, levels in ((1, 1), (2, 4), (3, 8)):
        more = {"drive_bits": drive_bits}
        add("sliced_offset", "s126", "w126", rows=64, adc_bits=6, full_scale=31 * levels, unused_code=True, **more)
        add("sliced_balanced", "s41", "b41", rows=14, adc_bits=5, full_scale=14 * levels, subtract="digital", **more)
        more["subtract"] = "column"
        add("sliced_balanced", "s126", "b126", rows=64, adc_bits=6, full_scale=16 * levels, **more)
        add("sliced_balanced", "u41", "b41", rows=14, adc_bits=5, full_scale=14 * levels, **more)
        more |= {"adc": "SignMagnitudeADC", "unused_code": True}
        add("sliced_balanced", "s64", "b64", rows=64, adc_bits=6, full_scale=63 * levels, **more)
    # Cells of many levels, one input bit a pass.
    for operand, rows, adc_bits in (("126", 64, 8), ("41", 16, 5)):
        x, w, more = f"x{operand}", f"w{operand}", {"rows": rows, "drive_bits": 1, "adc_bits": adc_bits}
        add("balanced", x, w, full_scale=4 * rows, subtract="column", **more)
        add("balanced", x, w, full_scale=7 * rows, subtract="digital", **more)
        add("offset", x, w, full_scale=15 * (rows - 1), **more)
    # Enough codes for every dot product: the integer product itself.
    add("sliced_offset", "x41", "w41", rows=41, drive_bits=4, adc_bits=14, full_scale=41 * 15)
    add("balanced", "x41", "w41", rows=41, drive_bits=1, adc_bits=14, full_scale=41 * 8, subtract="column")

    provenance = {
        "project": "CrossSim, Sandia National Laboratories",
        "paper": "CrossSim, accuracy simulator for analog in-memory computing, version 3.2",
        "repository": "https://github.com/sandialabs/cross-sim",
        "commit": fixture.commit_of(simulator.__file__),
        "called": "simulator.AnalogCore and simulator.algorithms.dnn.analog_convolution.AnalogConvolution2D, every "
        "error model off, infinite_on_off_ratio, input_bitslicing, adc_per_ibit, CALIBRATED ranges",
        "with": f"numpy {np.__version__}, CPU",
    }
    fixture.write(Path(__file__).with_name("crosssim.json"), provenance, operands, cases)


if __name__ == "__main__":
    main()
