"""When the macros write and compute: time multiplexing of an MVM over the macros of a chip, and a step as a timeline.

An MVM takes U = T ceil(G J N / columns) macros. Groups that lie side by side in one macro (g of them) use its rows in
turn. With fewer macros than U it goes in rounds:

    ceil(U / macros) (K_t C_t t_row + s P M g t_pass c)         c columns share a converter

Where macros are left over, `split` writes the operand into them too and gives each a share of the vectors: more writes,
less time. Writing goes on beside computing only where the technology says so. What the digital side does beside an MVM
(additions of codes, encoding) keeps up with it; float layers, elementwise work and the update take time of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imctrain.imc.mvm.plan import MvmPlan


@dataclass(frozen=True)
class Timing:
    """What the schedule needs of a technology: seconds to write a row and of a pass, columns on a converter."""

    row_write_s: float
    pass_s: float
    columns_per_converter: float
    writes_overlap: bool


@dataclass(frozen=True)
class Occupancy:
    """Of one execution of an MVM.

    Attributes:
        macros: that hold its operand at a time, copies for split vectors included. rounds: how often they are loaded.
        copies: of the whole operand, for split vectors.
        write_s, compute_s: over all rounds. seconds: of both, beside each other where that is possible.
    """

    macros: int
    rounds: int
    copies: int
    write_s: float
    compute_s: float
    seconds: float


def needed_macros(plan: MvmPlan) -> int:
    """U: macros that hold the whole operand at once."""
    return plan.tiles.count * -(-plan.groups * plan.planes * plan.outputs // plan.hardware.array.usable_columns)


def occupancy(plan: MvmPlan, timing: Timing, macros: int, split: bool = False) -> Occupancy:
    """How an MVM runs on so many macros."""
    needed = needed_macros(plan)
    rounds = -(-needed // macros)
    copies = min(max(macros // needed, 1), plan.vectors) if split else 1
    rows = max(used * n for used, n in zip(plan.tiles.rows_used, plan.copies, strict=True))
    side_by_side = min(plan.groups, max(plan.hardware.array.usable_columns // (plan.planes * plan.outputs), 1))
    vectors = -(-plan.vectors // copies)
    passes = plan.samples * plan.passes * vectors * side_by_side
    write = rounds * rows * timing.row_write_s
    compute = rounds * passes * timing.pass_s * timing.columns_per_converter
    return Occupancy(
        macros=min(needed, macros) * copies,
        rounds=rounds,
        copies=copies,
        write_s=write,
        compute_s=compute,
        seconds=max(write, compute) if timing.writes_overlap else write + compute,
    )


@dataclass(frozen=True)
class Span:
    """A stretch of a step's timeline, in seconds from its start.

    Attributes:
        what: "write", "compute" or "digital". site, mvm: of whom; the part's name for what is no site.
        macros: busy ones; 0 for digital work.
    """

    what: str
    site: str
    mvm: str
    start: float
    end: float
    macros: int


@dataclass(frozen=True)
class Job:
    """One MVM, or digital work, in the order in which a step does them. executions: how often."""

    site: str
    mvm: str
    write_s: float
    compute_s: float
    digital_s: float
    seconds: float
    macros: int


def timeline(jobs: Sequence[Job]) -> Iterator[Span]:
    """Spans of a step. A job starts when the one before it has ended: its operand or its input comes from there."""
    now = 0.0
    for job in jobs:
        overlapped = job.seconds < job.write_s + job.compute_s + job.digital_s - 1e-15
        start = now
        if job.write_s:
            yield Span("write", job.site, job.mvm, start, start + job.write_s, job.macros)
            start = start if overlapped else start + job.write_s
        if job.compute_s:
            yield Span("compute", job.site, job.mvm, start, start + job.compute_s, job.macros)
            start += job.compute_s
        now += job.seconds
        if job.digital_s:
            yield Span("digital", job.site, job.mvm, now - job.digital_s, now, 0)
