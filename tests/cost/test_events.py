"""Counts of every site against a count that loops over conversions and row drives (helpers/slow_count)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from slow_count import Layer, Machine, count

from imctrain import Hardware, Rule, on_imc
from imctrain.cost.events import Drive, Traffic, drive_of, events_of, passes_are_shifts
from imctrain.cost.lines import backward_lines, forward_lines
from imctrain.models import build
from imctrain.settings import AdcSpec, ArraySpec, MappingSpec

HARDWARE = {
    "plain": Hardware(mapping=MappingSpec(gradient="grouped")),
    "best": Hardware(
        array=ArraySpec(cell="xnor"),
        mapping=MappingSpec(gradient="balanced", full_drive=True, planes=5, gradient_samples=2),
    ),
    "serial": Hardware(
        array=ArraySpec(rows=288, columns=100, input_bits=3, segment_rows=72, replicate=False),
        adc=AdcSpec(bits=6, gain_conversions=64),
        mapping=MappingSpec(gradient="bit_serial"),
    ),
}
EXACT = ("conversions", "cells", "plane_adds", "pass_multiplies", "sum_adds", "outputs", "row_sums", "written_bits")
EXACT += ("gain_multiplies",)


def layers_of(entries) -> dict[str, Layer]:
    """By name of site, from shapes in NHWC and HWIO."""
    found = {}
    for entry in entries:
        if entry.kind == "conv":
            batch, height, width, channels = entry.lhs_shape
            found[entry.name] = Layer(
                batch, (height, width), entry.out_shape[1:3], entry.rhs_shape[0], channels, entry.rhs_shape[-1]
            )
        else:
            batch, channels = entry.lhs_shape
            found[entry.name] = Layer(batch, (1, 1), (1, 1), 1, channels, entry.rhs_shape[-1])
    return found


def ledger(name: str, hardware: Hardware, **sizes):
    def make():
        return build(name, shape=(32, 32, 3), classes=10, rngs=nnx.Rngs(0), **sizes)

    graph, params, rest = nnx.split(nnx.eval_shape(make), nnx.Param, ...)

    def network(params, rest, images):
        return nnx.merge(graph, params, rest)(images)

    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return on_imc(network, hardware, [Rule("stem", path="float")]).ledger(params, rest, images)


def machine_of(plan) -> Machine:
    array = plan.hardware.array
    return Machine(
        rows=array.rows,
        columns=array.columns,
        planes=plan.coding.count,
        passes=len(plan.mapping.coefficients),
        samples=plan.hardware.mapping.gradient_samples if plan.name != "forward" else 1,
        replicate=array.replicate,
        segment=array.segment_rows,
        centred=plan.coding.centre != 0,
        gains=plan.hardware.adc.gain_conversions > 0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", HARDWARE)
def test_every_distinct_site_of_resnet20_is_counted_as_by_loops(name):
    entries = ledger("resnet20", HARDWARE[name], width=16)
    layers, seen = layers_of(entries), set()
    lines = [*forward_lines(list(entries), HARDWARE[name]), *backward_lines(list(entries), HARDWARE[name])]
    for line in lines:
        if line.plan is None or (layers[line.name], line.mvm) in seen:
            continue
        seen.add((layers[line.name], line.mvm))
        drive = Drive(passes=0.7 * line.plan.passes, swing=0.1)
        found = events_of(line.plan, line.traffic(), drive)
        expected = count(layers[line.name], line.mvm, machine_of(line.plan))
        for event in EXACT:
            assert getattr(found, event) == expected[event], (line.name, line.mvm, event)
        assert found.row_drives == pytest.approx(0.7 * expected["row_passes"], rel=1e-12)
    assert len(seen) > 15
    assert {mvm for _, mvm in seen} == {"forward", "input_grad", "weight_grad"}


def test_grouped_and_batched_products():
    # Two groups of a convolution lie side by side; operands of a batched product use the same columns in turn.
    def grouped(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
        )

    def batched(x, w):
        return jnp.einsum("bmk,bkn->bmn", x, w)

    image, kernel = jax.ShapeDtypeStruct((2, 4, 4, 8), jnp.float32), jax.ShapeDtypeStruct((3, 3, 4, 6), jnp.float32)
    a, b = jax.ShapeDtypeStruct((5, 7, 20), jnp.float32), jax.ShapeDtypeStruct((5, 20, 70), jnp.float32)
    for function, left, right, groups, vectors, contraction, outputs in (
        (grouped, image, kernel, 2, 32, 36, 3),
        (batched, a, b, 5, 7, 20, 70),
    ):
        entry = on_imc(function, Hardware(), weights=1).ledger(left, right)[0]
        plan = entry.mvms[0]
        found = events_of(plan, Traffic(1, 1, 1, 4, 4, False), Drive(1.0, 0.5))
        copies = 1152 // contraction
        blocks = -(-4 * outputs // 256)
        assert found.conversions == groups * vectors * outputs * 4
        assert found.row_drives == groups * vectors * contraction * copies * blocks
        assert found.written_bits == groups * outputs * 4 * contraction * copies


def test_traffic_counts_each_operand_once():
    entries = ledger("resnet20", HARDWARE["plain"], width=16)
    entry = entries["stage2/block1/conv1"]
    (forward,) = forward_lines([entry], HARDWARE["plain"])
    gradients = {line.mvm: line for line in backward_lines([entry], HARDWARE["plain"])}
    pixels, weights = 16 * 16 * 32, 3 * 3 * 32 * 32
    # Codes of 4 bits in, once more for dW to find them; weights; words of 16 bits out.
    assert forward.traffic().moved_bits() == 4 * pixels * 2 + 4 * weights + 16 * pixels
    assert gradients["input_grad"].traffic().moved_bits() == 4 * pixels + 4 * weights + 16 * pixels
    assert gradients["weight_grad"].traffic().moved_bits(tiles=3) == 4 * pixels + 4 * pixels + 16 * 3 * weights
    assert forward.traffic(bits=8).moved_bits() == 8 * pixels * 2 + 8 * weights + 16 * pixels


@pytest.mark.parametrize(("gradient", "shifts"), [("bit_serial", True), ("grouped", True), ("balanced", False)])
def test_drive_of_a_distribution_is_that_of_drawn_codes(gradient, shifts):
    hardware = Hardware(mapping=MappingSpec(gradient=gradient))
    entry = on_imc(lambda x, w: x @ w, hardware, weights=1).ledger(
        jax.ShapeDtypeStruct((4, 300), jnp.float32), jax.ShapeDtypeStruct((300, 8), jnp.float32)
    )[0]
    plan = next(plan for plan in entry.mvms if plan.name == "weight_grad")
    levels = np.array([0.0, 1, -1, 4, -4, 16, -16, 64, -64, 256, -256, 1024, -1024, 4096, -4096])
    shares = np.random.default_rng(3).dirichlet(np.ones(len(levels)))
    drawn = np.random.default_rng(4).choice(levels, 40_000, p=shares)
    codes = np.asarray(plan.mapping.drive(jnp.asarray(drawn, jnp.float32)))
    found = drive_of(plan, levels, shares)
    # 40,000 draws: five standard errors of a mean over elements.
    nonzero, swing = (codes != 0).sum(0), np.abs(codes).mean(0) / plan.hardware.array.levels
    assert abs(found.passes - nonzero.mean()) < 5 * nonzero.std() / 200 + 1e-9
    assert abs(found.swing - swing.mean()) < 5 * swing.std() / 200 + 1e-9
    assert passes_are_shifts(plan) is shifts


def test_rows_driven_around_a_centre_are_always_driven():
    hardware = Hardware(mapping=MappingSpec(full_drive=True))
    entry = on_imc(lambda x, w: jax.nn.relu(x) @ w, hardware, weights=1).ledger(
        jax.ShapeDtypeStruct((4, 300), jnp.float32), jax.ShapeDtypeStruct((300, 8), jnp.float32)
    )[0]
    plan = entry.mvms[0]
    assert plan.mapping.centre != 0
    assert drive_of(plan, np.array([7.0]), np.array([1.0])).passes == plan.passes
    events = events_of(plan, Traffic(1, 1, 1, 4, 4, False), Drive(1.0, 1.0))
    assert events.column_sums == 300 * 8


def test_a_digital_mvm_has_no_events_of_the_array():
    hardware = Hardware(mvms=("forward",))
    entry = on_imc(lambda x, w: x @ w, hardware, weights=1).ledger(
        jax.ShapeDtypeStruct((4, 300), jnp.float32), jax.ShapeDtypeStruct((300, 8), jnp.float32)
    )[0]
    plan = next(plan for plan in entry.mvms if plan.name == "weight_grad")
    found = events_of(plan, Traffic(10, 20, 30, 4, 4, False), Drive(1.0, 1.0))
    counted = {name: value for name, value in dataclasses.asdict(found).items() if value}
    assert counted == {"digital_macs": 4 * 300 * 8, "outputs": 8 * 300, "moved_bits": 4 * 10 + 4 * 20 + 16 * 30}
