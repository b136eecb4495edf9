"""Conversions of a virtual chip, written to a file that says what drew them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.calibration.progress import Progress, untold
from imctrain.calibration.reading.table import SIMULATED_KEY
from imctrain.calibration.virtual_chip.chip import VirtualChip
from imctrain.calibration.virtual_chip.plan import SamplePlan
from imctrain.errors import UserError
from imctrain.files import replacing

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".csv.gz", ".parquet")


def write_samples(chip: VirtualChip, plan: SamplePlan, path: Path, progress: Progress | None = None) -> None:
    """Write conversions to a CSV, gzipped CSV or parquet file, by its name; complete or not at all.

    Raises:
        UserError: a name with another ending, or what `VirtualChip.check` raises.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"output {path}: give a name that ends in {', '.join(SUFFIXES)}")
    chip.check(plan)
    tell = progress or untold
    c = chip.calibration
    mark = f"calibration {c.name} ({c.provenance}), seed {chip.seed}"

    def told() -> Iterator[pl.DataFrame]:
        done = 0
        for frame in chip.frames(plan):
            yield frame
            done += frame.height
            tell(done / plan.conversions)

    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(temporary, told(), mark)
            return
        with temporary.open("wb") as raw, gzip.open(raw, "wb", 4) if path.suffix == ".gz" else nullcontext(raw) as out:
            out.write(f"# {SIMULATED_KEY}: {mark}\n".encode())
            for number, frame in enumerate(told()):
                out.write(frame.write_csv(include_header=number == 0).encode())


def _write_parquet(path: Path, frames: Iterator[pl.DataFrame], mark: str) -> None:
    """In a stream: polars takes the frames one by one."""
    from polars.io.plugins import register_io_source

    first = next(frames)

    def source(*_: object) -> Iterator[pl.DataFrame]:
        yield first
        yield from frames

    register_io_source(source, schema=dict(first.schema)).sink_parquet(path, metadata={SIMULATED_KEY: mark})
