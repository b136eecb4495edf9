"""Draws the pictures of docs/concepts: `python website/drawings.py`. Their numbers are computed, not drawn by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from imctrain import Hardware, on_imc
from imctrain.imc.coding.gradient_mappings.balanced import balanced
from imctrain.imc.coding.gradient_mappings.grouped import grouped
from imctrain.settings import AdcSpec, ChipSpec

OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "concepts"
INK, DRIVE, CELL, READ = "#37474f", "#00897b", "#ffb300", "#5e35b1"
plt.rcParams |= {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "imctrain", "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False}


def mvm() -> None:
    """An array of 6 rows and 4 planes."""
    figure, axes = plt.subplots(figsize=(6.4, 3.9))
    stored = np.array([5, -3, 7, 0, -6, 2])
    driven = np.array([4, -9, 2, 16, -1, 7])
    weights = (1, 2, 4, -8)
    bits = (stored[:, None] & 15) >> np.arange(4) & 1
    sums = driven @ bits
    for row in range(6):
        y = 5 - row
        axes.add_patch(
            FancyArrowPatch((-1.1, y + 0.4), (-0.08, y + 0.4), arrowstyle="-|>", mutation_scale=11, color=DRIVE)
        )
        axes.text(-1.25, y + 0.4, f"{driven[row]:d}", ha="right", va="center", color=DRIVE)
        axes.text(4.3, y + 0.4, f"stored {stored[row]:d}", va="center", color="#8d6e00")
        for column in range(4):
            on = bits[row, column]
            axes.add_patch(Rectangle((column, y), 0.86, 0.8, facecolor=CELL if on else "white", edgecolor=INK, lw=0.8))
            axes.text(column + 0.43, y + 0.4, str(on), ha="center", va="center", color=INK)
    for column, weight in enumerate(weights):
        axes.text(column + 0.43, 6.15, f"plane {weight:d}", ha="center", color=INK, fontsize=9)
        axes.add_patch(
            FancyArrowPatch(
                (column + 0.43, -0.05), (column + 0.43, -0.55), arrowstyle="-|>", mutation_scale=11, color=READ
            )
        )
        axes.add_patch(Rectangle((column, -1.5), 0.86, 0.95, facecolor="#ede7f6", edgecolor=READ))
        axes.text(column + 0.43, -1.03, f"ADC\n{sums[column]:d}", ha="center", va="center", color=READ, fontsize=8)
    total = int(sums @ np.array(weights))
    assert total == int(driven @ stored)
    terms = " ".join(f"{'+' if w > 0 else '-'} {abs(w)} x ({s:d})" for w, s in zip(weights, sums, strict=True)).lstrip(
        "+ "
    )
    axes.text(1.95, -2.05, f"{terms} = {total}", ha="center", color=INK)
    axes.text(-2.6, 2.9, "driven\n(DAC codes)", ha="center", va="center", color=DRIVE, rotation=90)
    axes.set(xlim=(-3, 6.2), ylim=(-2.3, 6.7))
    axes.axis("off")
    save(figure, "mvm")


def passes() -> None:
    """The codes of each exponent in the balanced and the grouped mapping of a 5-bit DAC."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True)
    for axes, make in zip(panels, (grouped, balanced), strict=True):
        mapping = make(16)
        magnitudes = 4 ** np.arange(7)
        codes = np.asarray(mapping.drive(jnp.asarray(magnitudes, jnp.float32)))
        back = np.tensordot(np.asarray(mapping.coefficients), codes, 1)
        np.testing.assert_array_equal(back, magnitudes)
        for number, (coefficient, of_pass) in enumerate(zip(mapping.coefficients, codes, strict=True)):
            axes.bar(
                np.arange(7) + 0.26 * (number - 1), of_pass, 0.24, label=f"pass {number + 1}, times {coefficient:g}"
            )
        axes.set_xticks(range(7), [f"$4^{k}$" for k in range(7)])
        axes.set(title=make.__name__, xlabel="magnitude of the gradient")
        axes.axhline(0, color=INK, lw=0.6)
        axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=1)
        axes.set_ylim(-8, 27)
    panels[0].set_ylabel("code on the DAC")
    figure.tight_layout()
    save(figure, "passes")


def ranges() -> None:
    """Sums of 1152 products of random codes, in codes of an 8-bit ADC at R = 1 and R = 1/4."""
    rng = np.random.default_rng(0)
    rows, levels, count = 1152, 16, 20_000
    driven = np.clip(np.round(rng.normal(0, 5, (200, rows))), -levels, levels)
    cells = rng.integers(0, 2, (rows, count // 200))
    v = (driven @ cells).ravel() / (rows * levels)
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True)
    for axes, reference in zip(panels, (1.0, 0.25), strict=True):
        codes = np.clip(np.round(v * 128 / reference), -128, 127)
        axes.hist(codes, bins=np.arange(codes.min() - 0.5, codes.max() + 1.5), color=READ)
        axes.set(
            title=f"R = {reference:g}: {len(np.unique(codes))} codes in use", xlabel="code of the ADC", xlim=(-24, 24)
        )
        axes.set_yticks([])
    figure.tight_layout()
    save(figure, "ranges")


def paths() -> None:
    """The error of one output by both paths."""
    keys = jax.random.split(jax.random.key(0), 3)
    x, w = jax.random.normal(keys[0], (1, 1152)), jax.random.normal(keys[1], (1152, 1))
    figure, axes = plt.subplots(figsize=(5.4, 2.8))
    errors = {}
    for path in ("exact", "statistical"):
        hardware = Hardware(
            path=path,
            mvms=("forward",),
            adc=AdcSpec(polarity="bipolar"),
            chip=ChipSpec(sigma_array_lsb=0.8),
        )
        f = on_imc(lambda w, x: x @ w, hardware)
        out = jax.vmap(lambda key, f=f: f(w, x, key=key)[0, 0])(jax.random.split(keys[2], 20_000))
        errors[path] = np.asarray(out - out.mean())
    # Readings are whole codes: a bin holds a whole number of the steps between them.
    step = float(np.diff(np.unique(np.round(errors["exact"], 3))).min())
    width = step * max(1, round(errors["exact"].std() / 7 / step))
    edges = width * (np.arange(-28, 29) + 0.5) + errors["exact"].min() % step
    axes.hist(errors["exact"], edges, density=True, color=CELL, label="exact: 20,000 times all conversions")
    axes.hist(
        errors["statistical"],
        edges,
        density=True,
        histtype="step",
        color=INK,
        lw=1.5,
        label="statistical: 20,000 draws",
    )
    axes.set(xlabel="error of one output", yticks=[])
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)
    figure.tight_layout()
    save(figure, "paths")


def save(figure: Any, name: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    for draw in (mvm, passes, ranges, paths):
        draw()
