"""SNR of the gradient mappings against noise, at equal conversions, from mapping_snr.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imctrain.report.style import COLOURS, pyplot

FILE = "mapping_snr.json"
MVMS = {"input_grad": "input gradient, dX", "weight_grad": "weight gradient, dW"}
POLICIES = {"fixed": "fixed range, R = 1", "per_site": "range per site and pass", "two_level": "two ranges"}
MAPPINGS = {
    "balanced": (COLOURS[0], "o"),
    "grouped": (COLOURS[1], "s"),
    "bit_serial": (COLOURS[2], "^"),
}
"""Colour and marker, from the highest curve down."""
MOMENTS = {1: ("",), 2: ("early", "late"), 3: ("early", "middle", "late")}
STYLES = ((0, (1, 1.2)), (0, (4, 1.5)), "-")
"""Line styles of moments, the last one solid."""


def draw_mapping_snr(source: Path, target: Path) -> None:
    """Draw `source` (mapping_snr.json) to `target` (format by its suffix): a column an MVM, a row a range policy.

    Lines are medians over sites, bands reach from the lowest to the highest site; crosses are the formula's prediction
    at the last moment.
    """
    plt = pyplot()
    results = json.loads(source.read_text(encoding="utf-8"))
    settings, recording = results["settings"], results["recording"]
    policies, sigmas = settings["policies"], sorted(settings["sigmas"])
    mappings = [mapping for mapping in MAPPINGS if mapping in settings["mappings"]]
    records = [record for record in results["records"] if record["snr_db"] is not None]
    figure, axes = plt.subplots(
        len(policies),
        len(MVMS),
        figsize=(6.6, 0.9 + 2.15 * len(policies)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, policy in enumerate(policies):
        for column, mvm in enumerate(MVMS):
            axis = axes[row, column]
            here = [r for r in records if r["range_policy"] == policy and r["mvm"] == mvm]
            for mapping in mappings:
                _draw_mapping(axis, [r for r in here if r["mapping"] == mapping], mapping, recording["steps"], sigmas)
            axis.set_title(f"({'abcdefgh'[row * len(MVMS) + column]}) {MVMS[mvm]}, {POLICIES[policy]}", loc="left")
            if row == len(policies) - 1:
                axis.set_xlabel(r"noise before rounding, $\sigma$ (LSB at R = 1)")
            if column == 0:
                axis.set_ylabel("SNR (dB)")
    _scale(axes[0, 0], sigmas)
    _legend(figure, plt, results, mappings)
    temporary = target.with_name(f".{target.name}")
    metadata = {"Date": None} if target.suffix == ".svg" else {}
    figure.savefig(temporary, format=target.suffix[1:], metadata=metadata, dpi=300)
    plt.close(figure)
    temporary.replace(target)


def _draw_mapping(
    axis: Any, records: list[dict[str, Any]], mapping: str, steps: Sequence[int], sigmas: Sequence[float]
) -> None:
    """One mapping in one panel: a band over sites and moments, a line a moment, the prediction of the last."""
    colour, marker = MAPPINGS[mapping]
    x, _ = _over_sites(records, sigmas, "snr_db", np.median)
    if not len(x):
        return
    low, high = (_over_sites(records, sigmas, "snr_db", f)[1] for f in (np.min, np.max))
    axis.fill_between(x, low, high, color=colour, alpha=0.13, lw=0, zorder=1)
    for step, style in zip(steps, _styles(steps), strict=True):
        here = [r for r in records if r["step"] == step]
        x, y = _over_sites(here, sigmas, "snr_db", np.median)
        last = step == steps[-1]
        axis.plot(
            x, y, color=colour, ls=style, marker=marker if last else None, ms=4.0, lw=1.5 if last else 1.1, zorder=3
        )
        if last:
            x, y = _over_sites(here, sigmas, "snr_db_predicted", np.median)
            axis.plot(x, y, "x", color="0.1", ms=4.0, mew=0.8, zorder=4)


def _over_sites(
    records: list[dict[str, Any]], sigmas: Sequence[float], key: str, f: Any
) -> tuple[np.ndarray, np.ndarray]:
    """(sigmas that there are values at, f of them)."""
    found = [(s, [r[key] for r in records if r["sigma_lsb"] == s and r[key] is not None]) for s in sigmas]
    kept = [(s, float(f(values))) for s, values in found if values]
    return np.asarray([s for s, _ in kept]), np.asarray([y for _, y in kept])


def _styles(steps: Sequence[int]) -> list[Any]:
    """A line style a step, the last one solid; more steps than styles share the dotted one."""
    missing = max(len(steps) - len(STYLES), 0)
    return [STYLES[0]] * missing + list(STYLES[len(STYLES) - min(len(steps), len(STYLES)) :])


def _scale(axis: Any, sigmas: Sequence[float]) -> None:
    positive = [s for s in sigmas if s > 0]
    if len(positive) == len(sigmas):
        axis.set_xscale("log", base=2)
    elif positive:
        axis.set_xscale("symlog", linthresh=min(positive), linscale=0.5, base=2)
    axis.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
    axis.minorticks_off()


def _legend(figure: Any, plt: Any, results: dict[str, Any], mappings: Sequence[str]) -> None:
    """What colours, styles and crosses mean, above the panels."""
    steps = results["recording"]["steps"]
    repeats = {r["mapping"]: (r["passes"], r["repeats"]) for r in results["records"]}
    handles = []
    for mapping in mappings:
        colour, marker = MAPPINGS[mapping]
        passes, count = repeats[mapping]
        label = f"{mapping.replace('_', '-')}: {passes} passes x {count}"
        handles.append(plt.Line2D([], [], color=colour, marker=marker, ms=4.0, label=label))
    names = MOMENTS.get(len(steps), ("",) * len(steps))
    for step, name, style in zip(steps, names, _styles(steps), strict=True):
        label = f"{name} (step {step:,})" if name else f"step {step:,}"
        handles.append(plt.Line2D([], [], color="0.3", ls=style, lw=1.3, label=label))
    handles.append(plt.Line2D([], [], color="0.1", marker="x", ls="", ms=4.0, mew=0.8, label="formula"))
    handles.append(plt.Rectangle((0, 0), 1, 1, color="0.3", alpha=0.18, lw=0, label="all sites"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.6, handlelength=2.4)
