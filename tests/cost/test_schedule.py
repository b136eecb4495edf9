"""Time of an MVM on the macros of a chip against arithmetic by hand, and the order of a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from imctrain import Hardware, on_imc
from imctrain.cost.schedule import Job, Timing, needed_macros, occupancy, timeline
from imctrain.settings import ArraySpec, MappingSpec

TIMING = Timing(row_write_s=2.0, pass_s=5.0, columns_per_converter=1, writes_overlap=False)


def plan_of(m: int, k: int, n: int, mvm: str = "forward", **settings):
    hardware = Hardware(**({"array": ArraySpec(rows=100, columns=64)} | settings))
    # What is driven depends on a weight, so that a gradient flows into it.
    entry = on_imc(lambda x, w: (x * w[0, 0]) @ w, hardware, weights=1).ledger(
        jax.ShapeDtypeStruct((m, k), jnp.float32), jax.ShapeDtypeStruct((k, n), jnp.float32)
    )[0]
    return next(plan for plan in entry.mvms if plan.name == mvm)


def test_an_operand_of_several_macros_goes_in_rounds():
    plan = plan_of(30, 250, 40)  # 3 tiles of 84 or 83 rows; 160 columns on 3 macros of 64
    assert needed_macros(plan) == 9
    found = occupancy(plan, TIMING, macros=4)
    assert (found.macros, found.rounds, found.copies) == (4, 3, 1)
    assert found.write_s == 3 * 84 * 2.0
    assert found.compute_s == 3 * 30 * plan.passes * 5.0
    assert found.seconds == found.write_s + found.compute_s
    assert occupancy(plan, TIMING, macros=9).rounds == 1


def test_copies_of_rows_are_written_and_samples_are_read():
    plan = plan_of(30, 40, 10, "input_grad", mapping=MappingSpec(gradient="grouped", gradient_samples=3))
    # dX contracts 10 outputs: 10 copies fill 100 rows.
    found = occupancy(plan, TIMING, macros=16)
    assert found.write_s == 100 * 2.0
    assert found.compute_s == 3 * 3 * 30 * 5.0


def test_free_macros_share_the_vectors():
    plan = plan_of(30, 250, 40)
    found = occupancy(plan, TIMING, macros=40, split=True)
    assert (found.macros, found.copies) == (36, 4)
    assert found.compute_s == 8 * plan.passes * 5.0  # 30 vectors over 4 copies
    few = occupancy(plan_of(2, 250, 40), TIMING, macros=400, split=True)
    assert few.copies == 2


def test_writing_beside_computing_and_shared_converters():
    plan = plan_of(30, 90, 10)
    beside = occupancy(plan, Timing(2.0, 5.0, 1, True), macros=1)
    assert beside.seconds == max(beside.write_s, beside.compute_s)
    shared = occupancy(plan, Timing(2.0, 5.0, 4, False), macros=1)
    assert shared.compute_s == 4 * beside.compute_s


def test_groups_in_one_macro_take_turns():
    hardware = Hardware(array=ArraySpec(rows=100, columns=64))
    a, b = jax.ShapeDtypeStruct((6, 7, 20), jnp.float32), jax.ShapeDtypeStruct((6, 20, 5), jnp.float32)
    plan = on_imc(lambda x, w: x @ w, hardware, weights=1).ledger(a, b)[0].mvms[0]
    # 5 outputs of 4 planes take 20 columns: 3 operands of 6 lie in each of 2 macros.
    assert needed_macros(plan) == 2
    assert occupancy(plan, TIMING, macros=2).compute_s == 3 * 7 * plan.passes * 5.0
    assert occupancy(plan, TIMING, macros=1).compute_s == 2 * 3 * 7 * plan.passes * 5.0


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_timeline_has_no_gaps_and_ends_with_the_step(overlaps):
    jobs = [
        Job("a", "forward", 1.0, 3.0, 0.0, 3.0 if overlaps else 4.0, 2),
        Job("b", "forward", 0.0, 0.0, 2.0, 2.0, 0),
        Job("a", "weight_grad", 2.0, 1.0, 0.0, 2.0 if overlaps else 3.0, 5),
    ]
    spans = list(timeline(jobs))
    assert max(span.end for span in spans) == sum(job.seconds for job in jobs)
    for name, mvm, start, end in (("b", "forward", jobs[0].seconds, jobs[0].seconds + 2.0),):
        (span,) = [s for s in spans if (s.site, s.mvm) == (name, mvm)]
        assert (span.what, span.start, span.end, span.macros) == ("digital", start, end, 0)
    total = sum(span.end - span.start for span in spans)
    assert total == sum(job.write_s + job.compute_s + job.digital_s for job in jobs)
