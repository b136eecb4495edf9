"""SNR of every site and MVM at the end of training, pipelines beside each other: why a claim fails, where it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imctrain.files import write_text
from imctrain.report.site_curves import MVMS, site_series
from imctrain.report.style import COLOURS, drawing, legend_outside, save_figure, subplots

LAST = 3
"""Lines of metrics that are averaged: each holds the SNR of one step."""

Snr = dict[str, dict[str, float]]
"""{MVM: {site: dB}}."""


def final_snr(folders: Sequence[Path]) -> Snr:
    """Mean in dB over runs of the same config and over their last lines; MVMs without an SNR are left out."""
    found: dict[str, dict[str, list[float]]] = {}
    for folder in folders:
        series = site_series(folder)
        for mvm in MVMS:
            for site, (_, values) in series.get(f"snr_db_{mvm}", {}).items():
                found.setdefault(mvm, {}).setdefault(site, []).extend(values[-LAST:])
    return {mvm: {site: float(np.mean(values)) for site, values in sites.items()} for mvm, sites in found.items()}


def write_site_snr(groups: Mapping[str, Sequence[Path]], target: Path) -> bool:
    """Write `target`.md, .png and .svg; False where no run has an SNR.

    Args:
        groups: run folders by the name of their pipeline.
    """
    found = {name: snr for name, folders in groups.items() if (snr := final_snr(folders))}
    if not found:
        return False
    sites = list(dict.fromkeys(site for snr in found.values() for by_site in snr.values() for site in by_site))
    lines = ["| site | MVM | " + " | ".join(found) + " |", "|---" * (len(found) + 2) + "|"]
    for site in sites:
        for mvm, title in MVMS.items():
            cells = [snr.get(mvm, {}).get(site) for snr in found.values()]
            if any(cell is not None for cell in cells):
                shown = ["" if cell is None else f"{cell:.1f}" for cell in cells]
                lines.append(f"| {site} | {title} | " + " | ".join(shown) + " |")
    lines += ["", f"SNR in dB of an MVM's output, mean of the last {LAST} lines of metrics."]
    write_text(target.with_name(f"{target.name}.md"), "\n".join(lines) + "\n")
    for suffix in ("png", "svg"):
        _draw(found, sites, target.with_name(f"{target.name}.{suffix}"))
    return True


@drawing()
def _draw(found: Mapping[str, Snr], sites: Sequence[str], target: Path) -> None:
    size = (7.2, 1.2 + 0.24 * len(sites))
    figure, axes = subplots(1, 3, figsize=size, sharex=True, sharey=True, layout="constrained")
    for axis, (mvm, title) in zip(axes, MVMS.items(), strict=True):
        for i, (name, snr) in enumerate(found.items()):
            places = [y for y, site in enumerate(sites) if site in snr.get(mvm, {})]
            values = [snr[mvm][sites[y]] for y in places]
            label = name if axis is axes[0] else None
            axis.plot(values, places, "osD^v"[i % 5], color=COLOURS[i % len(COLOURS)], ms=5, label=label)
        axis.axvline(0.0, color="0.6", lw=0.8, zorder=0)
        axis.set_title(title, loc="left")
        axis.set_xlabel("SNR (dB)")
    axes[0].set_yticks(range(len(sites)), sites)
    axes[0].set_ylim(len(sites) - 0.5, -0.5)
    legend_outside(figure, "outside lower center", len(found), fontsize=8)
    save_figure(figure, target)
