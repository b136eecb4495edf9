"""The 65 nm chip's own networks by the technology file's figures: no figure was fitted to them.

Plain arithmetic, without the counts of a step.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from technology_tools import near

from imctrain.technology import load_technology, own_design, rates

SPEC = importlib.util.spec_from_file_location("ten_layers", Path(__file__).with_name("ten_layers.py"))
data = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(data)
JIA = load_technology("jia2020-65nm")
ROWS, COLUMNS = 2304, 256


def energy_j(bits, supply):
    """bits x bits conversions of a sum; with several, each is shifted and added, and outputs use the datapath."""
    r = rates(JIA, own_design(JIA, supply))
    total = 0.0
    for layer in data.LAYERS:
        tiles = -(-layer.rows // ROWS)
        sums = layer.vectors * layer.outputs
        total += bits**2 * sums * (layer.rows * r.array_cell.value + tiles * r.converter.value)
        if bits > 1:
            total += sums * (bits**2 * tiles * r.plane_add.value + r.output.value)
    return total


def seconds(bits, supply):
    """One macro: the rows of every block of columns are written for each image, then used for all vectors."""
    r = rates(JIA, own_design(JIA, supply))
    total = 0.0
    for layer in data.LAYERS:
        blocks = -(-layer.outputs * bits // COLUMNS)
        tiles = -(-layer.rows // ROWS)
        total += blocks * (layer.rows * r.row_write_s.value + tiles * layer.vectors * bits * r.pass_s.value)
    return total


@pytest.mark.parametrize("network", data.NETWORKS, ids=lambda network: f"{network.bits} b")
def test_energy_and_throughput_of_an_image(network):
    """Array, converters and datapath alone are half of what is printed, for both networks alike; whether memories, the
    buffer, DMA and CPU are in the print is not said. Throughput: one image after the other, nothing overlaps."""
    assert energy_j(network.bits, data.SUPPLY_V) / (network.energy_uj * 1e-6) == near(0.52, rel=0.05)
    assert 0.6 < 1 / seconds(network.bits, data.SUPPLY_V) / network.images_per_s < 0.85


def test_the_layers_fit_together():
    side, channels = 32, 3
    for layer in data.LAYERS:
        assert layer.inputs == (channels if layer.kind == "conv" else channels * side**2)
        assert layer.image == side or layer.kind == "dense"
        channels = layer.outputs
        side = side // 2 if layer.pooled else (1 if layer.kind == "dense" else side)
    assert channels == 10
