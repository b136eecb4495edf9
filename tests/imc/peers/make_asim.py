"""Makes asim.json: outputs of ASiM's own modules on small integer operands (see README.md beside this file).

    git clone https://github.com/Keio-CSG/ASiM && PYTHONPATH=ASiM python tests/imc/peers/make_asim.py

Needs torch and matplotlib (which ASiM imports), and none of imctrain.
"""

import sys
from pathlib import Path
from types import ModuleType

import fixture
import numpy as np
import torch

# ASiM's tools import torchvision for image files only, and its wheels must match those of torch: a name is enough here.
for name in ("torchvision", "torchvision.transforms"):
    sys.modules.setdefault(name, ModuleType(name))
import module.asim_conv as asim_conv  # noqa: E402
import module.asim_linear as asim_linear  # noqa: E402

WEIGHT_BITS = INPUT_BITS = 4


def settings(rows, adc_bits, drive_bits):
    """The arguments of an ASiM module in simulation, its noise and its non-linearity off."""
    return {
        "bias": False,
        "wbit": WEIGHT_BITS,
        "xbit": INPUT_BITS,
        "adc_prec": adc_bits,
        "nrow": rows,
        "rand_noise_sigma": 0.0,
        "non_linear_sigma": 0.0,
        "act_enc": None if drive_bits == 1 else drive_bits,
        "signed_act": False,
        "mode": "Simulation",
    }


def linear(x, w, **case):
    """x [M, K], w [K, N]: [M, N]."""
    layer = asim_linear.ASiMLinear(*w.shape, **settings(**case))
    return run(layer, x, w.T)


def convolution(x, w, padding, **case):
    """x [B, H, W, C], w [k, k, C, N]: [B, H', W', N]."""
    kernel, _, channels, outputs = w.shape
    layer = asim_conv.ASiMConv2d(channels, outputs, kernel, padding=padding, **settings(**case))
    return run(layer, x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1)).transpose(0, 2, 3, 1)


def run(layer, x, w):
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.ascontiguousarray(w), dtype=torch.float32))
        return layer(torch.tensor(np.ascontiguousarray(x), dtype=torch.float32)).numpy()


def main():
    rng = np.random.default_rng(2411)
    operands = {}
    for rows, name in ((64, "64"), (127, "127"), (40, "40")):
        operands[f"x{name}"] = fixture.operand(rng, (12, rows), 0, 15)
        operands[f"w{name}"] = fixture.operand(rng, (rows, 8), -7, 7)
    operands["image"] = fixture.operand(rng, (2, 5, 5, 14), 0, 15)
    operands["kernel"] = fixture.operand(rng, (3, 3, 14, 5), -7, 7)

    cases = []

    def add(x, w, *, rows, adc_bits, drive_bits, **more):
        case = {"rows": rows, "adc_bits": adc_bits, "drive_bits": drive_bits}
        function = convolution if "padding" in more else linear
        output = function(operands[x], operands[w], **case, **more)
        cases.append({"x": x, "w": w} | case | more | {"output": output})

    for drive_bits in (4, 1, 2):
        # One tile that fills the array, at every precision; 63 rows have no dot product half way between two codes.
        for adc_bits in (3, 4, 5, 6, 8):
            add("x64", "w64", rows=64, adc_bits=adc_bits, drive_bits=drive_bits)
        # Two tiles (64 + 63), three (14 + 13 + 13), and one that leaves rows of the array unused.
        add("x127", "w127", rows=64, adc_bits=6, drive_bits=drive_bits)
        add("x40", "w40", rows=14, adc_bits=4, drive_bits=drive_bits)
        add("x40", "w40", rows=63, adc_bits=5, drive_bits=drive_bits)
        # Enough codes for every dot product: the integer product itself.
        add("x40", "w40", rows=40, adc_bits=14, drive_bits=drive_bits)
        # Seven of fourteen channels a tile; with a border of zeros.
        add("image", "kernel", rows=63, adc_bits=5, drive_bits=drive_bits, padding=0)
        add("image", "kernel", rows=63, adc_bits=4, drive_bits=drive_bits, padding=1)
    provenance = {
        "project": "ASiM, Keio CSG",
        "paper": "ASiM, an open-source simulation framework for SRAM-based analog CIM, arXiv 2411.11022",
        "repository": "https://github.com/Keio-CSG/ASiM",
        "commit": fixture.commit_of(asim_linear.__file__),
        "called": "module.asim_linear.ASiMLinear and module.asim_conv.ASiMConv2d, mode 'Simulation', wbit 4, xbit 4, "
        "signed_act False, both sigmas 0; act_enc is drive_bits, None for 1",
        "with": f"torch {torch.__version__}, CPU",
    }
    fixture.write(Path(__file__).with_name("asim.json"), provenance, operands, cases)


if __name__ == "__main__":
    main()
