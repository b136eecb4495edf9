"""SNR of the gradient mappings against noise, at equal conversions, from mapping_snr.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np

from imctrain.files import JsonValue
from imctrain.reading import read_json
from imctrain.report.style import COLOURS, drawing, save_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE = "mapping_snr.json"
MADE_BY = "imctrain mapping-snr"
MVMS = {"input_grad": "input gradient, dX", "weight_grad": "weight gradient, dW"}
POLICIES = {
    "fixed": ("fixed range, R = 1", (0, (4, 1.5))),
    "per_site": ("range per site and pass", "-"),
    "two_level": ("two ranges", (0, (1, 1.2))),
}
"""Name, and line style of the gains."""
MAPPINGS = {"balanced": (COLOURS[0], "o"), "grouped": (COLOURS[1], "s"), "bit_serial": (COLOURS[2], "^")}
"""Colour and marker, from the highest curve down."""
REFERENCE = "bit_serial"
"""What gains are counted from."""
LineStyle = str | tuple[float, tuple[float, float]]
MOMENTS = {1: ("",), 2: ("early", "late"), 3: ("early", "middle", "late")}
STYLES: tuple[LineStyle, ...] = ((0, (1, 1.2)), (0, (4, 1.5)), "-")
"""Line styles of moments, the last one solid."""
APART = 0.014
"""Shift of the mappings' bars from one another, as a share of the axis."""
WIDTH, ROW, LEGEND = 6.6, 1.95, 0.95
"""Inches."""


class SnrRecord(TypedDict):
    """SNR of one recorded MVM with one mapping, range policy and noise; null where signal or noise is zero."""

    step: int
    site: str
    mvm: str
    mapping: str
    range_policy: str
    sigma_lsb: float
    passes: int
    repeats: int
    conversions: int
    snr_db: float | None
    snr_db_predicted: float | None
    snr_db_once: float | None
    ranges: list[float]
    clipped: float


class SnrSettings(TypedDict):
    """What was measured (`studies.mapping_snr.Settings`)."""

    calibration: str
    sigmas: Sequence[float]
    policies: Sequence[str]
    mappings: Sequence[str]
    conversions: int
    trials: int


class RecordedRun(TypedDict):
    """What a recording says of its run. config: as in its TOML, left out where SNRs are kept.

    steps: of the checkpoints; epochs: of each. images: of the batch.
    """

    config_hash: str
    config: NotRequired[dict[str, JsonValue]]
    path: str
    model: str
    dataset: str
    images: int
    steps: list[int]
    epochs: list[float]
    sites: list[str]


class MappingSnr(TypedDict):
    """The content of mapping_snr.json."""

    schema_version: str
    made_by: NotRequired[str]
    recording: RecordedRun
    settings: SnrSettings
    records: list[SnrRecord]


Records = list[SnrRecord]


@drawing()
def draw_mapping_snr(source: Path, target: Path) -> None:
    """Draw `source` (mapping_snr.json) to `target` (format by its suffix): a column an MVM.

    The upper rows, one a range policy, show SNR: lines are medians over sites at one moment, bars reach from the lowest
    to the highest site at the last moment, crosses are the formula's prediction there. The lowest row shows gains over
    bit-serial, each site and moment with itself: median, lowest and highest.
    """
    results: MappingSnr = read_json(source)
    settings, steps = results["settings"], results["recording"]["steps"]
    policies, sigmas = settings["policies"], sorted(settings["sigmas"])
    mappings = [mapping for mapping in MAPPINGS if mapping in settings["mappings"]]
    records = [record for record in results["records"] if record["snr_db"] is not None]
    rows = len(policies) + 1
    figure, axes = subplots(
        rows, len(MVMS), figsize=(WIDTH, LEGEND + ROW * rows), sharex=True, sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, policy in enumerate(policies):
        axes[row, 0].set_ylabel("SNR (dB)")
        if row:
            axes[row, 0].sharey(axes[0, 0])
        for axis, mvm in zip(axes[row], MVMS, strict=True):
            here = [r for r in records if r["range_policy"] == policy and r["mvm"] == mvm]
            for place, mapping in enumerate(mappings):
                own = [r for r in here if r["mapping"] == mapping]
                _draw_snr(axis, own, mapping, steps, sigmas, APART * (place - 1))
            _name(axis, POLICIES[policy][0])
    axes[-1, 0].set_ylabel("gain over bit-serial (dB)")
    for axis, mvm in zip(axes[-1], MVMS, strict=True):
        _draw_gains(axis, [r for r in records if r["mvm"] == mvm], mappings, policies, sigmas)
        _name(axis, "dashed: fixed, solid: per site" if set(policies) == {"fixed", "per_site"} else "")
        axis.set_xlabel("noise before rounding, \u03c3 (LSB at R = 1)")
    for number, axis in enumerate(axes.flat):
        title = f" {list(MVMS.values())[number]}" if number < len(MVMS) else ""
        axis.set_title(f"({'abcdefghij'[number]}){title}", loc="left")
    _scale(axes[0, 0], sigmas)
    _legend(figure, results, mappings)
    save_figure(figure, target, dpi=300, made_by=MADE_BY)


def _draw_snr(
    axis: Axes, records: Records, mapping: str, steps: Sequence[int], sigmas: Sequence[float], shift: float
) -> None:
    """One mapping in one panel."""
    colour, marker = MAPPINGS[mapping]
    for step, style in zip(steps, _styles(steps), strict=True):
        here = [r for r in records if r["step"] == step]
        by_sigma = _by_sigma(here, sigmas, lambda r: r["snr_db"])
        last = step == steps[-1]
        _line(axis, by_sigma, color=colour, ls=style, marker=marker if last else "", lw=1.5 if last else 1.1)
        if last:
            _bars(axis, by_sigma, colour, shift)
            predicted = _by_sigma(here, sigmas, lambda r: r["snr_db_predicted"])
            _line(axis, predicted, color="0.1", ls="", marker="x", mew=0.8, zorder=4)


def _draw_gains(
    axis: Axes, records: Records, mappings: Sequence[str], policies: Sequence[str], sigmas: Sequence[float]
) -> None:
    def same(r: SnrRecord) -> tuple[str, float, str, int]:
        return r["range_policy"], r["sigma_lsb"], r["site"], r["step"]

    def gain(r: SnrRecord) -> float | None:
        return None if r["snr_db"] is None else r["snr_db"] - reference[same(r)]

    reference = {same(r): r["snr_db"] for r in records if r["mapping"] == REFERENCE and r["snr_db"] is not None}
    axis.axhline(0.0, color=MAPPINGS[REFERENCE][0], lw=1.1, zorder=1)
    for place, mapping in enumerate(m for m in mappings if m != REFERENCE):
        colour, marker = MAPPINGS[mapping]
        for policy in policies:
            here = [
                r for r in records if (r["mapping"], r["range_policy"]) == (mapping, policy) and same(r) in reference
            ]
            gains = _by_sigma(here, sigmas, gain)
            _line(axis, gains, color=colour, ls=POLICIES[policy][1], marker=marker)
            _bars(axis, gains, colour, APART * (place - 0.5))
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]), top=axis.get_ylim()[1] + 1.5)


def _by_sigma(
    records: Records, sigmas: Sequence[float], value: Callable[[SnrRecord], float | None]
) -> dict[float, list[float]]:
    found = {sigma: [x for r in records if r["sigma_lsb"] == sigma and (x := value(r)) is not None] for sigma in sigmas}
    return {sigma: values for sigma, values in found.items() if values}


def _line(axis: Axes, by_sigma: dict[float, list[float]], **style: Any) -> None:
    """Medians against sigma."""
    medians = [float(np.median(values)) for values in by_sigma.values()]
    axis.plot(list(by_sigma), medians, **({"ms": 4.0, "zorder": 3} | style))


def _bars(axis: Axes, by_sigma: dict[float, list[float]], colour: str, shift: float) -> None:
    """From lowest to highest, moved by a share of the axis so that bars of several mappings stand side by side."""
    from matplotlib.transforms import ScaledTranslation

    inches = shift * WIDTH / 2
    moved = axis.transData + ScaledTranslation(inches, 0.0, axis.figure.dpi_scale_trans)
    low, high = ([f(values) for values in by_sigma.values()] for f in (min, max))
    axis.vlines(list(by_sigma), low, high, color=colour, lw=2.2, alpha=0.35, transform=moved, zorder=2)
    # What is drawn under a transform of its own does not count for the limits.
    axis.update_datalim([(sigma, y) for ys in (low, high) for sigma, y in zip(by_sigma, ys, strict=True)])
    axis.autoscale_view()


def _styles(steps: Sequence[int]) -> list[LineStyle]:
    """A line style a step, the last one solid; more steps than styles share the dotted one."""
    missing = max(len(steps) - len(STYLES), 0)
    return [STYLES[0]] * missing + list(STYLES[len(STYLES) - min(len(steps), len(STYLES)) :])


def _name(axis: Axes, text: str) -> None:
    axis.text(0.98, 0.96, text, transform=axis.transAxes, ha="right", va="top", fontsize=8, color="0.25")


def _scale(axis: Axes, sigmas: Sequence[float]) -> None:
    positive = [s for s in sigmas if s > 0]
    if len(positive) == len(sigmas):
        axis.set_xscale("log", base=2)
    elif positive:
        axis.set_xscale("symlog", linthresh=min(positive), linscale=0.5, base=2)
    axis.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
    axis.minorticks_off()
    axis.margins(x=0.06)


def _legend(figure: Figure, results: MappingSnr, mappings: Sequence[str]) -> None:
    """What colours, styles and crosses mean, above the panels."""
    from matplotlib.lines import Line2D

    steps = results["recording"]["steps"]
    repeats = {r["mapping"]: (r["passes"], r["repeats"]) for r in results["records"]}
    handles = []
    for mapping in mappings:
        colour, marker = MAPPINGS[mapping]
        passes, count = repeats[mapping]
        label = f"{mapping.replace('_', '-')}: {passes} passes, {count} times"
        handles.append(Line2D([], [], color=colour, marker=marker, ms=4.0, label=label))
    names = MOMENTS.get(len(steps), ("",) * len(steps))
    for step, name, style in zip(steps, names, _styles(steps), strict=True):
        label = f"{name} (step {step:,})" if name else f"step {step:,}"
        handles.append(Line2D([], [], color="0.3", ls=style, lw=1.3, label=label))
    handles.append(Line2D([], [], color="0.1", marker="x", ls="", ms=4.0, mew=0.8, label="predicted"))
    handles.append(Line2D([], [], color="0.3", alpha=0.4, lw=2.2, label="lowest to highest site"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.6, handlelength=2.4)
