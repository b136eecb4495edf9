"""The array as one would write it first: a loop over passes and planes, `jax.random.normal` for each conversion.

It is what imctrain's exact path is compared with, forward pass of one convolution, and has its formulas in plain sight.
"""

from __future__ import annotations

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

ROWS, LEVELS, BITS, SIGMA = 1152, 16, 8, 0.5


def obvious_convolution(x: jax.Array, w: jax.Array, key: jax.Array) -> jax.Array:
    """int4 weights w [3, 3, C, N] and integer inputs x [B, H, W, C], one row tile, bipolar converter."""
    lsb = 2 / 2**BITS
    total = jnp.zeros((*x.shape[:-1], w.shape[-1]), jnp.float32)
    for j, beta in enumerate((1, 2, 4, -8)):
        plane = ((w.astype(jnp.int32) >> j) & 1).astype(jnp.float32)
        patches = jax.lax.conv_general_dilated_patches(
            x, (3, 3), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        kernel = jnp.transpose(plane, (2, 0, 1, 3)).reshape(-1, w.shape[-1])
        v = patches.reshape(-1, kernel.shape[0]) @ kernel / (ROWS * LEVELS)
        noise = SIGMA * jax.random.normal(jax.random.fold_in(key, j), v.shape)
        code = jnp.clip(jnp.round(v / lsb + noise), -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1)
        total = total + beta * ROWS * LEVELS * lsb * code.reshape(total.shape)
    return total


def main(repeats: int = 15) -> None:
    """Print medians of float, obvious and imctrain's exact forward pass, 64 to 64 channels on 16 x 16, batch 128."""
    from imctrain.imc.mvm.contraction import ConvSpec
    from imctrain.imc.mvm.operand import OperandInfo
    from imctrain.imc.site.site import make_site
    from imctrain.imc.site.spec import SiteSpec
    from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware, NoiseSpec

    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-7, 8, (128, 16, 16, 64)), jnp.float32)
    w = jnp.asarray(rng.integers(-7, 8, (3, 3, 64, 64)), jnp.float32)
    numbers = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    op = ConvSpec((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), numbers)
    kind = OperandInfo("activation"), OperandInfo("weight")
    hardware = Hardware(
        array=ArraySpec(replicate=False),
        adc=AdcSpec(bits=BITS, polarity="bipolar", range_policy="fixed"),
        noise=NoiseSpec(sigma_array_lsb=SIGMA),
        formats=FormatSpec(weight_clip="max", activation_clip="max"),
    )
    site = make_site(SiteSpec("conv", 0, op, x.shape, w.shape, jnp.float32, *kind, hardware))
    state = site.init_state()
    runs = {
        "float": jax.jit(
            lambda x, w, key: jax.lax.conv_general_dilated(
                x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        ),
        "obvious": jax.jit(obvious_convolution),
        "exact": jax.jit(lambda x, w, key: site.apply(x, w, state, key)),
    }
    key = jax.random.key(0)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run(x, w, key))
            taken[name].append(time.perf_counter() - start)
    median = {name: float(np.median(values[1:])) for name, values in taken.items()}
    print("| forward pass, 3x3, 64 to 64 channels, 16 x 16, batch 128 | time | ratio to float |")
    print("|---|---|---|")
    for name, seconds in median.items():
        print(f"| {name} | {1e3 * seconds:.1f} ms | {seconds / median['float']:.1f}x |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
