"""`make bench`: measure, and write RESULTS.md with the machine described and results.jsonl beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import obvious

from imctrain.bench import MODELS, measure
from imctrain.bench.measure import SIGMA_LSB, table
from imctrain.experiment.jax_setup import prepare_jax

HERE = Path(__file__).parent


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    prepare_jax()
    results = [measure(model, 128, 9, lambda text: print(text, file=sys.stderr)) for model in MODELS]
    forward = io.StringIO()
    with contextlib.redirect_stdout(forward):
        obvious.main()
    (HERE / "results.jsonl").write_text("".join(json.dumps(r.as_dict()) + "\n" for r in results), encoding="utf-8")
    first = results[0]
    text = f"""# Benchmark

Written by `make bench`; the numbers of the first table are in results.jsonl. Medians of {first.repeats} interleaved
rounds at batch {first.batch}, as ratios to the float step of the same process. All sites on the array, 1152 rows,
8-bit converters, {SIGMA_LSB} LSB of noise, balanced mapping. "noise share" is what noise costs of the exact step;
"peak" is the memory that XLA reserves for the exact step.

Machine: {cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, jax {metadata.version("jax")}.
Load average at the end of the measurement: {os.getloadavg()[0]:.1f}.

{table(results)}
Against the obvious implementation (`benchmarks/obvious.py`: a loop over planes, `jax.random.normal` for each
conversion):

{forward.getvalue()}"""
    (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
