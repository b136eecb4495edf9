"""Time two checkouts of imctrain against each other: `python benchmarks/compare.py OLD NEW [--models resnet20,cnn5]`.

Each checkout runs in a process of its own, which compiles every path once and then waits. Rounds alternate between the
two, so that what slows the machine for a while slows both; the table gives medians and the spread of the ratio new over
old over rounds. The hardware is the same for both, whatever their defaults are. `--compile` times tracing and compiling
in place of steps, in CPU seconds, each round in new processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from checkouts import environment, require

ROUNDS = 7
BATCH = 128


def worker(model: str) -> None:
    """Compile, say how many CPU seconds each path took, then time one step of every path for each line of input."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from imctrain.bench.dense import INPUTS, OUTPUTS, DenseNetwork

    try:
        from imctrain.settings import AdcSpec, ArraySpec, FormatSpec, Hardware, NoiseSpec
    except ImportError:  # a revision from before there was one settings tree
        from imctrain.imc.hardware import AdcSpec, ArraySpec, FormatSpec, Hardware, NoiseSpec  # type: ignore
    from imctrain.training.network import Network
    from imctrain.training.step import make_steps

    noisy = Hardware(
        noise=NoiseSpec(sigma_array_lsb=0.6),
        adc=AdcSpec(polarity="bipolar", range_policy="fixed"),
        array=ArraySpec(replicate=False),
        formats=FormatSpec(weight_clip="sawb", activation_clip="rms"),
    )
    paths: dict[str, Hardware | None] = {"float": None}
    paths |= {path: noisy.replace(path=path) for path in ("digital", "statistical", "auto", "exact")}
    paths["exact_noise_free"] = noisy.replace(noise=NoiseSpec())
    shape, classes = ((1, 1, INPUTS), OUTPUTS) if model == "dense" else ((32, 32, 3), 10)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((BATCH, *shape)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, classes, BATCH), jnp.int32)
    compiled, states, compile_seconds = {}, {}, {}
    for name, hardware in paths.items():
        network: Any = (
            DenseNetwork() if model == "dense" else Network(model, shape=shape, classes=classes, width=None, seed=0)
        )
        started = time.process_time()
        steps = make_steps(
            network,
            optax.sgd(1e-3, momentum=0.9),
            images=jax.ShapeDtypeStruct(images.shape, images.dtype),
            seed=0,
            label_smoothing=0.0,
            hardware=hardware,
        )
        compiled[name] = steps.train.lower(steps.initial, images, labels).compile()
        compile_seconds[name] = time.process_time() - started
        states[name] = steps.initial
    print(json.dumps(compile_seconds), flush=True)
    for _ in sys.stdin:
        taken = {}
        for name, step in compiled.items():
            start = time.perf_counter()
            states[name], _ = step(states[name], images, labels)
            jax.block_until_ready(states[name])
            taken[name] = time.perf_counter() - start
        print(json.dumps(taken), flush=True)


def _start(checkout: Path, model: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--worker", model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout,
        env=environment(checkout),
    )


def compare_compilation(old: Path, new: Path, model: str, rounds: int) -> None:
    """Print what tracing and compiling a step takes of each path, in both checkouts."""
    taken: list[list[dict[str, float]]] = [[], []]
    for _ in range(rounds):
        for values, checkout in zip(taken, (old, new), strict=True):
            process = _start(checkout, model)
            values.append(_answer(process))
            process.communicate()
    print(f"\n{model}: tracing and compiling a step, CPU seconds, medians of {rounds} interleaved rounds\n")
    print("| path | old | new | new / old, least to most of a round |")
    print("|---|---|---|---|")
    for path in taken[0][0]:
        a, b = (statistics.median(one[path] for one in values) for values in taken)
        both = sorted(n[path] / o[path] for o, n in zip(*taken, strict=True))
        print(f"| {path} | {a:.1f} s | {b:.1f} s | {statistics.median(both):.2f}, {both[0]:.2f} to {both[-1]:.2f} |")


def compare(old: Path, new: Path, model: str, rounds: int) -> None:
    """Print the table of one model."""
    processes = [_start(checkout, model) for checkout in (old, new)]
    for process in processes:
        _answer(process)
    taken: list[list[dict[str, float]]] = [[], []]
    for number in range(rounds + 1):
        for values, process in zip(taken, processes, strict=True):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            answer = _answer(process)
            if number:  # the first round warms up
                values.append(answer)
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    print(f"\n{model}: ratios to the float step of the same checkout, medians of {rounds} interleaved rounds\n")
    print("| path | old | new | new / old, least to most of a round |")
    print("|---|---|---|---|")
    for path in taken[0][0]:
        ratios = [sorted(one[path] / one["float"] for one in values) for values in taken]
        both = sorted((n[path] / n["float"]) / (o[path] / o["float"]) for o, n in zip(taken[0], taken[1], strict=True))
        a, b = (values[len(values) // 2] for values in ratios)
        print(f"| {path} | {a:.2f} | {b:.2f} | {b / a:.2f}, {both[0]:.2f} to {both[-1]:.2f} |")


def _answer(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a checkout's process ended with code {process.wait()}: see its message above")
    return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("checkouts", nargs="*", type=Path)
    parser.add_argument("--models", default="resnet20,cnn5,dense")
    parser.add_argument("--compile", action="store_true", help="time tracing and compiling instead")
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker)
        return
    if len(arguments.checkouts) != 2:
        parser.error("give two checkouts: OLD NEW")
    old, new = map(require, arguments.checkouts)
    for model in arguments.models.split(","):
        (compare_compilation if arguments.compile else compare)(old, new, model, arguments.rounds)


if __name__ == "__main__":
    main()
