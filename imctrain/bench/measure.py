"""Time training steps of the paths against each other.

All variants of a model are compiled first, then run in turn, again and again: what slows the machine for a while slows
all of them, and the medians' ratios stay fair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from imctrain.bench.dense import INPUTS, OUTPUTS, DenseNetwork
from imctrain.errors import UserError
from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware, NoiseSpec
from imctrain.training.network import Network
from imctrain.training.step import Step, TrainState, make_steps

MODELS = ("cnn5", "resnet20", "dense")
SIGMA_LSB = 0.6
"""Noise of the noisy variants: total before rounding, in LSB at R = 1; it dithers the converter."""

HARDWARE = Hardware(
    array=ArraySpec(replicate=False),
    # A unipolar converter clips the noise of small inputs, and where conversions clip no path but the exact one holds.
    adc=AdcSpec(range_policy="fixed", polarity="bipolar"),
    noise=NoiseSpec(sigma_array_lsb=SIGMA_LSB),
    formats=FormatSpec(weight_clip="sawb", activation_clip="rms"),
)
"""Named in full, whatever the defaults are: ratios of different versions are of the same work."""
Runs = dict[str, tuple[Step, TrainState]]
"""Compiled step and first state of each variant."""
VARIANTS: dict[str, Hardware | None] = {
    "float": None,
    "digital": HARDWARE.replace(path="digital"),
    "statistical": HARDWARE.replace(path="statistical"),
    "exact": HARDWARE,
    "exact_noise_free": HARDWARE.replace(noise=NoiseSpec()),
}


@dataclass(frozen=True)
class Result:
    """One model. Ratios are medians over the float step's median; noise_fraction is the share of the exact step that
    noise costs (with and without); peak_bytes is what XLA reserves for the exact step, arguments included."""

    model: str
    batch: int
    repeats: int
    float_seconds: float
    digital_ratio: float
    statistical_ratio: float
    exact_ratio: float
    noise_fraction: float
    conversions: int
    conversions_per_second: float
    peak_bytes: int

    def as_dict(self) -> dict[str, str | int | float]:
        return asdict(self)


def measure(model: str, batch: int, repeats: int, say: Callable[[str], None]) -> Result:
    """Compile and time every variant of one model. Raises UserError for an unknown one."""
    if model not in MODELS:
        raise UserError(f"bench model {model!r} is not known: allowed is {', '.join(MODELS)}")
    shape, classes = ((1, 1, INPUTS), OUTPUTS) if model == "dense" else ((32, 32, 3), 10)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((batch, *shape)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, classes, batch), jnp.int32)
    runs: Runs = {}
    conversions = peak = 0
    for name, hardware in VARIANTS.items():
        say(f"{model}: compiling the {name.replace('_', ' ')} step ...")
        network: Network | DenseNetwork = (
            DenseNetwork() if model == "dense" else Network(model, shape=shape, classes=classes, width=None, seed=0)
        )
        steps = make_steps(
            network,
            optax.sgd(1e-3, momentum=0.9),
            images=jax.ShapeDtypeStruct(images.shape, images.dtype),
            seed=0,
            label_smoothing=0.0,
            hardware=hardware,
        )
        compiled = steps.train.lower(steps.initial, images, labels).compile()
        runs[name] = (compiled, steps.initial)
        if name == "exact" and steps.function is not None:
            ledger = steps.function.ledger(network.params, network.rest, images)
            conversions = sum(plan.conversions for entry in ledger for plan in entry.mvms)
            memory = compiled.memory_analysis()
            peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
    say(f"{model}: timing {repeats} rounds of {len(runs)} steps ...")
    seconds = _interleaved(runs, images, labels, repeats)
    return Result(
        model=model,
        batch=batch,
        repeats=repeats,
        float_seconds=seconds["float"],
        digital_ratio=seconds["digital"] / seconds["float"],
        statistical_ratio=seconds["statistical"] / seconds["float"],
        exact_ratio=seconds["exact"] / seconds["float"],
        noise_fraction=max(1.0 - seconds["exact_noise_free"] / seconds["exact"], 0.0),
        conversions=conversions,
        conversions_per_second=conversions / seconds["exact"],
        peak_bytes=int(peak),
    )


def _interleaved(runs: Runs, images: jax.Array, labels: jax.Array, repeats: int) -> dict[str, float]:
    """Median seconds of one step of each variant; the first round warms up and is left out."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    states = {name: state for name, (_, state) in runs.items()}
    for _ in range(repeats + 1):
        for name, (step, _) in runs.items():
            start = time.perf_counter()
            states[name], _metrics = step(states[name], images, labels)
            jax.block_until_ready(states[name])
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in taken.items()}


def table(results: Sequence[Result]) -> str:
    """Markdown."""
    lines = [
        "| model | float step | formats, digital | statistical | exact, noisy | noise share | conversions/s | peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.model} | {1e3 * r.float_seconds:.1f} ms | {r.digital_ratio:.2f}x | {r.statistical_ratio:.2f}x | "
        f"{r.exact_ratio:.2f}x | {100 * r.noise_fraction:.0f}% | {r.conversions_per_second / 1e6:.0f} M | "
        f"{r.peak_bytes / 2**20:.0f} MiB |"
        for r in results
    ]
    return "\n".join(lines) + "\n"
