"""The datasheet: one page that shows what was measured, how well the fit describes it, and the figures."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np

import imctrain
from imctrain.calibration.evidence import Evidence
from imctrain.calibration.schema import Calibration
from imctrain.calibration.summary import alive_columns, figures, geometry, origin

A4 = (8.27, 11.69)
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.45"
LEFT, RIGHT = 0.09, 0.965
COLUMNS_A_ROW = 32


def draw_datasheet(c: Calibration, e: Evidence, plt: Any) -> Any:
    """A figure of one A4 page.

    Args:
        plt: matplotlib.pyplot in the project's style.
    """
    figure = plt.figure(figsize=A4)
    figure.subplots_adjust(left=LEFT, right=RIGHT, top=0.895, bottom=0.05)
    rows = figure.add_gridspec(4, 1, height_ratios=(1.3, 0.95, 1.3, 1.2), hspace=0.4)
    _heading(figure, c)

    top = rows[0].subgridspec(1, 2, width_ratios=(1.25, 1), wspace=0.22)
    left = top[0].subgridspec(2, 1, height_ratios=(2.2, 1), hspace=0.09)
    transfer = figure.add_subplot(left[0])
    _transfer(transfer, e)
    _residuals(figure.add_subplot(left[1], sharex=transfer), e)
    _noise(figure.add_subplot(top[1]), c, e)

    middle = rows[1].subgridspec(1, 2, width_ratios=(1.25, 1), wspace=0.22)
    _inl(figure.add_subplot(middle[0]), c, e)
    beside = figure.add_subplot(middle[1])
    if c.ranges is not None and len(c.ranges) > 1:
        _ranges(beside, c)
    else:
        _column_noise(beside, c)

    maps = rows[2].subgridspec(1, 2, wspace=0.3)
    gain = [(column.column, 100.0 * (column.gain - 1.0)) for column in alive_columns(c)]
    offset = [(column.column, column.offset_lsb) for column in alive_columns(c)]
    _map(figure, maps[0], gain, "Gain of columns", "gain, deviation from nominal (%)")
    _map(figure, maps[1], offset, "Offset of columns", "offset (LSB)")

    _text(figure, rows[3], c)
    return figure


def _heading(figure: Any, c: Calibration) -> None:
    figure.text(LEFT - 0.02, 0.962, c.name, fontsize=16, fontweight="bold", va="center")
    measured = c.provenance == "measured"
    figure.text(
        RIGHT - 0.01,
        0.962,
        c.provenance if measured else f"{c.provenance}, not measured",
        ha="right",
        va="center",
        color="white",
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.4", "facecolor": GREEN if measured else RED, "edgecolor": "none"},
    )
    figure.text(
        LEFT - 0.02,
        0.938,
        f"{geometry(c)}.  LSB: step of the converter at reference range R = 1.",
        color=GREY,
        fontsize=8.5,
    )
    from matplotlib.lines import Line2D

    rule = Line2D([LEFT - 0.02, RIGHT], [0.924, 0.924], transform=figure.transFigure, color="black", linewidth=0.8)
    figure.add_artist(rule)
    figure.text(
        RIGHT,
        0.02,
        f"imctrain {imctrain.__version__}, calibration {c.schema_version}",
        ha="right",
        fontsize=7,
        color=GREY,
    )


def _title(axis: Any, words: str) -> None:
    axis.set_title(words, loc="left", fontweight="bold")


def _transfer(axis: Any, e: Evidence) -> None:
    """Counts of codes against the input, with the mean transfer of all columns."""
    from matplotlib.colors import LogNorm

    setup = e.fit.transfer.setup
    image = e.residuals.image.T
    reference = float(e.fit.transfer.histogram.range.max())
    extent = (setup.lowest_v, 1.0, setup.lowest - 0.5, setup.highest + 0.5)
    shown = np.ma.masked_equal(image, 0)
    axis.imshow(
        shown, origin="lower", extent=extent, aspect="auto", cmap="Blues", norm=LogNorm(vmin=0.1), rasterized=True
    )
    v = np.linspace(setup.lowest_v, 1.0, 400)
    good = e.fit.usable
    gain, offset = e.fit.parameters.gain[good].mean(), e.fit.parameters.offset[good].mean()
    knots = e.fit.transfer.knots
    inl = np.interp(v, knots, np.pad(e.fit.parameters.inl, 1)) if knots.size else 0.0
    code = (gain * (v * setup.codes_per_v + inl) + offset) / reference
    axis.plot(v, np.clip(code, setup.lowest, setup.highest), color=RED, lw=0.9, label="fit, mean of columns")
    axis.set(ylabel="code", ylim=(setup.lowest - 3, setup.highest + 3))
    axis.legend(loc="upper left")
    axis.tick_params(labelbottom=False)
    axis.text(0.99, 0.05, "shade: conversions, log", transform=axis.transAxes, ha="right", fontsize=7, color=GREY)
    _title(axis, f"Transfer curve{_at_range(e)}")


def _ranges_in(e: Evidence) -> int:
    return np.unique(e.fit.transfer.histogram.range).size


def _at_range(e: Evidence) -> str:
    """Named where it is not the only one, or not full scale."""
    ranges = np.unique(e.fit.transfer.histogram.range)
    return f" at R = {ranges[-1]:g}" if ranges.size > 1 or ranges[-1] < 1 else ""


def _residuals(axis: Any, e: Evidence) -> None:
    r = e.residuals
    if not r.v.size:
        _instead(axis, "", "")
        return
    # At the ends few conversions have a window that does not clip.
    shown = r.error < 3 * np.median(r.error)
    v, mean, deviation = r.v[shown], r.mean[shown], r.deviation[shown]
    axis.fill_between(v, mean - deviation, mean + deviation, color=BLUE, alpha=0.18, lw=0)
    axis.plot(v, mean, color=BLUE, lw=1.0)
    axis.axhline(0, color="black", lw=0.6)
    largest = 1.6 * float((np.abs(mean) + deviation).max(initial=0.1))
    axis.set(xlabel="ideal v (fraction of full scale)", ylabel="code - fit\n(LSB)", ylim=(-largest, largest))
    axis.set_xlim(e.fit.transfer.setup.lowest_v, 1.0)
    _aside(axis, r"mean and $\pm 1\,\sigma$" + (", all ranges, LSB at R = 1" if _ranges_in(e) > 1 else ""))


def _instead(axis: Any, words: str, title: str) -> None:
    """What is written where there is nothing to draw."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=GREY)
    axis.set_xticks([])
    axis.set_yticks([])
    _title(axis, title)


def _noise(axis: Any, c: Calibration, e: Evidence) -> None:
    """Residuals of codes against what the fitted Gaussian, rounded, should give."""
    r = e.residuals
    if not r.counts.any():
        _instead(axis, "the noise is so wide that every conversion may clip", "Noise")
        return
    width = r.edges[1] - r.edges[0]
    centres = 0.5 * (r.edges[1:] + r.edges[:-1])
    total = max(r.counts.sum(), 1.0)
    seen = r.counts > 0
    axis.bar(centres[seen], r.counts[seen] / total / width, width, color=BLUE, alpha=0.45, label="codes")
    axis.stairs(r.gaussian / total / width, r.edges, color=RED, lw=1.2, label="fit, rounded Gaussian")
    lowest = 0.3 / total / width
    axis.set(yscale="log", xlabel="code - fitted mean (LSB of the range)", ylabel="density (1/LSB)")
    peak = float((r.gaussian / total / width).max())
    axis.set_ylim(lowest, 60 * peak)
    reach = float(np.abs(centres[(r.counts > 0) | (r.gaussian > 0.3)]).max()) * 1.05
    axis.set_xlim(-reach, reach)
    axis.legend(loc="upper left")
    sigma = c.noise.sigma_lsb
    words = f"$\\sigma$ = {sigma.value:.3f} LSB\n{sigma.low:.3f} to {sigma.high:.3f}"
    words += f"\nkurtosis {c.fit.residual_kurtosis:.2f}"
    axis.text(0.97, 0.97, words, transform=axis.transAxes, ha="right", va="top", fontsize=8)
    _title(axis, f"Noise{_at_range(e)}")


def _inl(axis: Any, c: Calibration, e: Evidence) -> None:
    title = "INL shared by the columns, end points at zero"
    knots = e.fit.transfer.knots
    if not knots.size:
        _instead(axis, "too few different inputs", title)
        return
    from imctrain.calibration.bootstrap import half_width

    k = e.fit.parameters.inl.size
    value = np.pad(e.fit.parameters.inl, 1)
    half = np.pad(half_width(e.replicates.shared[:, :k]), 1)
    axis.axhline(0, color="black", lw=0.6)
    axis.fill_between(knots, value - half, value + half, color=BLUE, alpha=0.25, lw=0, label="95 % confidence")
    axis.plot(knots, value, color=BLUE, label="fit")
    r = e.residuals
    usual = 3 * np.median(r.error) if r.error.size else 0.0
    inside = (r.v > knots[0]) & (r.v < knots[-1]) & (r.error < usual)
    at = (np.interp(r.v, knots, value) + r.mean)[inside]
    points = {"fmt": ".", "ms": 3, "color": "black", "lw": 0.6, "zorder": 0}
    axis.errorbar(r.v[inside], at, r.error[inside], label="mean of conversions", **points)
    axis.legend(loc="best", ncols=3, columnspacing=1.0, handlelength=1.4)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.25 * (high - low))
    axis.set(xlabel="ideal v (fraction of full scale)", ylabel="INL (LSB)")
    axis.set_xlim(e.fit.transfer.setup.lowest_v, 1.0)
    _title(axis, title)


def _ranges(axis: Any, c: Calibration) -> None:
    """Noise in LSB of the range, against the range: where the two parts of the noise part."""
    assert c.ranges is not None
    r = np.array([x.range for x in c.ranges])
    value = np.array([x.sigma_lsb.value for x in c.ranges])
    bars = np.array([(x.sigma_lsb.value - x.sigma_lsb.low, x.sigma_lsb.high - x.sigma_lsb.value) for x in c.ranges]).T
    axis.errorbar(r, value, bars, fmt="o", ms=4, color="black", label="each range on its own")
    if c.noise.sigma_array_lsb is not None and c.noise.sigma_adc_lsb is not None:
        fine = np.geomspace(r.min() / 1.15, r.max() * 1.15, 100)
        array, adc = c.noise.sigma_array_lsb.value, c.noise.sigma_adc_lsb.value
        axis.plot(fine, np.hypot(array / fine, adc), color=RED, label="fit")
        axis.plot(fine, array / fine, color=BLUE, ls="--", lw=1, label=f"before the range, {array:.3f} LSB / R")
        axis.plot(fine, np.full_like(fine, adc), color=GREEN, ls=":", label=f"converter, {adc:.3f} LSB")
    axis.set(xscale="log", yscale="log", xlabel="reference range R", ylabel=r"$\sigma$ (LSB of the range)")
    axis.set_xticks(r, [f"{x:g}" for x in r])
    axis.minorticks_off()
    low, high = axis.get_ylim()
    axis.set_ylim(low / 1.1, high * (high / low) ** 0.45)
    ticks = [x for x in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 1.1 <= x <= high * 1.5]
    axis.set_yticks(ticks, [f"{x:g}" for x in ticks])
    axis.legend(loc="upper right", fontsize=7)
    _title(axis, "Noise against the reference range")


def _column_noise(axis: Any, c: Calibration) -> None:
    sigma = np.array([column.sigma_lsb for column in alive_columns(c)])
    axis.hist(sigma, bins=min(40, max(5, sigma.size // 6)), color=BLUE, alpha=0.6)
    axis.axvline(c.noise.sigma_lsb.value, color=RED, label="all columns together")
    axis.set(xlabel=r"$\sigma$ of a column (LSB)", ylabel="columns")
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_ylim(0, 1.25 * axis.get_ylim()[1])
    axis.legend(loc="upper right")
    _title(axis, "Noise of single columns")


def _map(figure: Any, place: Any, values: list[tuple[int, float]], title: str, quantity: str) -> None:
    """Columns in rows of 32, and how their values are spread."""
    # The third column keeps the scale's labels on the page.
    inner = place.subgridspec(2, 3, height_ratios=(1.25, 1), width_ratios=(1, 0.025, 0.03), hspace=0.5, wspace=0.04)
    grid, scale, spread = (figure.add_subplot(inner[at]) for at in ((0, 0), (0, 1), (1, 0)))
    if not values:
        scale.axis("off")
        _instead(grid, "no column to show", title)
        _instead(spread, "", "")
        return
    last = max(number for number, _ in values)
    width = min(COLUMNS_A_ROW, last + 1)
    image = np.full((-(-(last + 1) // width), width), np.nan)
    for number, value in values:
        image[number // width, number % width] = value
    numbers = np.array([value for _, value in values])
    limit = float(np.quantile(np.abs(numbers), 0.99)) or 1.0
    picture = grid.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    figure.colorbar(picture, cax=scale, ticks=[-limit, 0, limit], format="{x:.2g}").ax.tick_params(labelsize=7)
    grid.grid(False)
    rows = range(0, image.shape[0], max(1, image.shape[0] // 4))
    grid.set_yticks(rows, [str(width * k) for k in rows])
    places = range(0, width, max(1, width // 8))
    grid.set_xticks(places, [f"+{k}" for k in places])
    grid.set_ylabel("column")
    _title(grid, title)
    spread.hist(numbers, bins=min(40, max(5, numbers.size // 6)), color=BLUE, alpha=0.6)
    spread.set(xlabel=quantity, ylabel="columns")
    spread.yaxis.get_major_locator().set_params(integer=True)
    if numbers.size > 1:
        _aside(spread, f"mean {numbers.mean():.3g}\nstd {numbers.std(ddof=1):.3g}")


def _aside(axis: Any, words: str) -> None:
    """A remark in the upper right corner."""
    axis.text(
        0.985,
        0.95,
        words,
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=7,
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
    )


def _text(figure: Any, place: Any, c: Calibration) -> None:
    inner = place.subgridspec(1, 2, width_ratios=(1, 1.02), wspace=0.08)
    left, right = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
    for axis in (left, right):
        axis.axis("off")
    rows = [(f.label, f.text, f.interval) for f in figures(c)]
    rows.append(("r² of codes", f"{c.fit.r2:.5f}", ""))
    rows.append(("clipped codes", f"{100 * c.fit.clipped_fraction:.2f} %", ""))
    step = min(0.072, 0.95 / (len(rows) + 1))
    left.text(0, 1.0, "Figures", fontweight="bold", va="top", transform=left.transAxes)
    confidence = c.fit.confidence
    if confidence is not None:
        left.text(
            0.99,
            1.0,
            f"{confidence.level:.0%} interval",
            va="top",
            ha="right",
            fontsize=7.5,
            color=GREY,
            transform=left.transAxes,
        )
    for number, (label, value, interval) in enumerate(rows, start=1):
        y = 1.0 - number * step - 0.01
        left.text(0, y, label, va="top", fontsize=7.5, transform=left.transAxes)
        left.text(0.7, y, value, va="top", ha="right", fontsize=7.5, transform=left.transAxes)
        left.text(0.99, y, interval, va="top", ha="right", fontsize=7.5, color=GREY, transform=left.transAxes)
    lines = [f"Origin. {origin(c)}."]
    if c.source is not None:
        lines.append(f"SHA-256 {c.source.sha256[:16]}…")
    if c.notes:
        # A digest is one long word: its beginning tells files apart.
        lines.append(re.sub(r"([0-9a-f]{16})[0-9a-f]{48}", r"\1…", c.notes))
    if confidence is not None:
        lines.append(f"Intervals: {confidence.method}, {confidence.replicates} replicates.")
    lines += [f"• {warning}." for warning in c.fit.warnings] or ["No warnings."]
    wrapped = [
        part for line in lines for part in textwrap.wrap(line, 66, subsequent_indent="  " if line[0] == "•" else "")
    ]
    most = 17
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], "… the calibration file has the rest."]
    right.text(0, 1.0, "Notes", fontweight="bold", va="top", transform=right.transAxes)
    right.text(0, 0.915, "\n".join(wrapped), va="top", fontsize=7, linespacing=1.35, transform=right.transAxes)
