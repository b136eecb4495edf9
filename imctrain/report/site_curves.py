"""SNR and clipping of every site over a run, from its metrics."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

from imctrain.records.layout import RunFiles
from imctrain.records.metrics import read_lines, train_lines
from imctrain.report.style import COLOURS, plain_ticks, pyplot, save_figure

MVMS = {"forward": "forward", "input_grad": "input gradient", "weight_grad": "weight gradient"}
MOST_NAMED = 14
"""With more sites than this, the legend would hide the curves: a colour map tells first from last."""
FLOOR = 1e-6
"""Clipped fractions below this are drawn at it: the axis is logarithmic."""


def site_series(folder: Path) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """{quantity: {site: (steps, values)}} of a run's metrics; quantities such as "snr_db_forward"."""
    series: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for line in train_lines(read_lines(RunFiles(folder).metrics)):
        for key, value in line.sites.items():
            site, _, quantity = key.rpartition(":")
            steps, values = series.setdefault(quantity, {}).setdefault(site, ([], []))
            steps.append(line.step)
            values.append(math.nan if value is None else value)
    return series


def draw_site_curves(folder: Path, target: Path) -> bool:
    """Draw SNR (above) and clipped fraction (below) of each MVM against steps; False where the run has no sites."""
    series = site_series(folder)
    if not any(key.startswith("snr_db_") for key in series):
        return False
    plt = pyplot()
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 3.6), sharex=True, sharey="row", layout="constrained")
    sites = list(dict.fromkeys(site for values in series.values() for site in values))
    colours = _colours(plt, len(sites))
    for column, (mvm, title) in enumerate(MVMS.items()):
        above, below = axes[0, column], axes[1, column]
        for site, colour in zip(sites, colours, strict=True):
            steps, values = series.get(f"snr_db_{mvm}", {}).get(site, ([], []))
            above.plot(steps, values, color=colour, lw=1.0, label=site if column == 0 else None)
            steps, values = series.get(f"clipped_{mvm}", {}).get(site, ([], []))
            below.plot(steps, [max(v, FLOOR) for v in values], color=colour, lw=1.0)
        above.set_title(title, loc="left")
        below.set_xlabel("step")
    axes[0, 0].set_ylabel("SNR (dB)")
    axes[1, 0].set(ylabel="clipped fraction", yscale="log")
    plain_ticks(axes[1, 0], "y")
    axes[1, 0].set_ylim(bottom=FLOOR / 1.5)
    if len(sites) <= MOST_NAMED:
        figure.legend(loc="outside right upper", fontsize=7)
    save_figure(figure, target, dpi=110)
    return True


def worst_sites(folder: Path, count: int = 3) -> list[tuple[str, str, float]]:
    """(site, MVM, SNR in dB) of the lowest SNRs at the end of a run."""
    found = [
        (values[-1], site, quantity.removeprefix("snr_db_"))
        for quantity, by_site in site_series(folder).items()
        if quantity.startswith("snr_db_")
        for site, (_, values) in by_site.items()
        if math.isfinite(values[-1])
    ]
    return [(site, mvm, snr) for snr, site, mvm in sorted(found)[:count]]


def _colours(plt: ModuleType, count: int) -> list[str | tuple[float, ...]]:
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [plt.get_cmap("viridis")(i / (count - 1)) for i in range(count)]
