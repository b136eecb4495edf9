"""The claims of the paper, and this project's own, judged by kept results.

    within_10   training at noise like the silicon's ends within 10 points of standard training's test accuracy
    within_2    at feasible (reduced) noise: within 2 points

The first two are the paper's (its abstract); which noise stands for silicon and for feasible is this project's
assumption (calibration/README.md). The noise tolerance ratio is this project's: the noise that costs 2 points against
float under the best pipeline, over that under the plain one; `OTHER_LINES` measure it elsewhere too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from imctrain.errors import UserError
from imctrain.records.runs import RunRecord
from imctrain.records.sweeps import Sweep, TrialRow, find_sweep, measured, place_of, rows_of, select
from imctrain.report.crossing import Estimate, EstimateRow, crossing, ratio, seed_std
from imctrain.report.mixture import mixture
from imctrain.report.sweep_results import WHAT_TO_DO, test_images
from imctrain.report.sweep_table import SIGMA, Curves, curves_of

CLAIMS = {"within_10": ("silicon", 10.0), "within_2": ("feasible", 2.0)}
"""Claim: (variant of the claims sweep, points below the float baseline that it allows)."""
LINE = ("float", 0.02)
OTHER_LINES = (("digital", 0.02), ("float", 0.10))
"""(reference, drop): 2 points below the same formats without an array are what noise itself costs; where formats alone
cost 2 points against float, the ratio against float has no value. 10 points below float is the line of claim 1."""
BEST, PLAIN = "best", "plain"
"""Names of the variants that are compared; several may begin with "best", such as those with more conversions."""
NORMAL_95 = 1.96


class Origin(TypedDict):
    """A sweep that was judged, and its folder."""

    name: str
    folder: str


class Claim(TypedDict):
    """A claim with its numbers; null, or missing, where there are no results."""

    id: str
    holds: bool | None
    sigma_lsb: float | None
    accuracy: float | None
    drop_points: float | None
    seeds: list[int]
    drop_interval: NotRequired[list[float]]
    accuracies: NotRequired[list[float]]


class Ratio(EstimateRow):
    """A noise tolerance ratio: which pipeline over the plain one, by which line. Without results there is no line."""

    best: NotRequired[str]
    below: NotRequired[str]
    points: NotRequired[float]


class Summary(TypedDict):
    """The content of summary.json."""

    sweeps: dict[str, Origin | None]
    baseline_accuracy: float | None
    baseline_seeds: int
    claims: list[Claim]
    noise_tolerance_ratio: Ratio
    other_noise_tolerance_ratios: list[Ratio]


def summarise(
    records: Sequence[RunRecord], claims: str = "claims", noise: str = "noise", root: Path | None = None
) -> Summary:
    """summary.json: baseline, each claim with its numbers, and the noise tolerance ratio; what has no results is null.

    Each claim is judged against the float references of its own sweep, and so is the ratio.

    Args:
        claims: name of the sweep whose variants carry the claims. noise: of the sweep of plain and best pipeline.
        root: folder that the records were gathered in; its own sweeps are taken where others have the same names.

    Raises UserError where several sweeps have the name and none is that of `root`, or trials of different experiments
    are called one sweep.
    """
    judged = find_sweep(records, claims, root)
    swept = find_sweep(records, noise, judged.folder if judged else None, root)
    for sweep in (judged, swept):
        _require_one(records, sweep)
    claim_trials, noise_trials = (select(records, sweep) if sweep else [] for sweep in (judged, swept))
    claim_rows = rows_of(records, judged) if judged else []
    noise_curves = curves_of(rows_of(records, swept)) if swept else Curves(None)
    baseline = [row["accuracy"] for row in claim_rows if row["reference"] == "float" and row["accuracy"] is not None]
    if not claim_rows:
        baseline = noise_curves.references.get("float", [])
    spread = seed_std(curves_of(claim_rows).groups, test_images(claim_trials)) if claim_rows else 0.0
    ratios = _ratios(noise_curves, test_images(noise_trials))
    sigma = {record.folder.name: record.result.sigma_lsb for record in claim_trials if record.result is not None}
    return {
        "sweeps": {"claims": _origin(judged, root), "noise": _origin(swept, root)},
        "baseline_accuracy": float(np.mean(baseline)) if baseline else None,
        "baseline_seeds": len(baseline),
        "claims": [
            _claim(name, claim_rows, variant, allowed, baseline, sigma, spread)
            for name, (variant, allowed) in CLAIMS.items()
        ],
        "noise_tolerance_ratio": ratios[0] if ratios else {**Estimate(None, None, None).as_dict()},
        "other_noise_tolerance_ratios": ratios[1:],
    }


def _require_one(records: Sequence[RunRecord], sweep: Sweep | None) -> None:
    mixed = mixture(records, sweep) if sweep else None
    if sweep is not None and mixed is not None:
        raise UserError(f"sweep {sweep.name!r} in {sweep.folder} cannot be judged: {mixed}. {WHAT_TO_DO}")
    if sweep is not None and measured(select(records, sweep)) != "test accuracy":
        raise UserError(
            f"sweep {sweep.name!r} in {sweep.folder} cannot be judged: claims are of test accuracy, and its trials did "
            "not measure the test images: train them with data.test_at_end = true, or without data.validation"
        )


def _origin(sweep: Sweep | None, root: Path | None) -> Origin | None:
    """Which sweep was judged; its folder as seen from `root`."""
    if sweep is None:
        return None
    return {"name": sweep.name, "folder": place_of(sweep.folder, root or sweep.folder or Path())}


def _claim(
    name: str,
    rows: Sequence[TrialRow],
    variant: str,
    allowed: float,
    baseline: list[float],
    sigma: dict[str, float | None],
    std: float,
) -> Claim:
    mine = [row for row in rows if row["variant"] == variant]
    accuracies = [row["accuracy"] for row in mine if row["accuracy"] is not None]
    mine = [row for row in mine if row["accuracy"] is not None]
    claim: Claim = {
        "id": name,
        "holds": None,
        "sigma_lsb": None,
        "accuracy": None,
        "drop_points": None,
        "seeds": [row["seed"] for row in mine],
    }
    if mine and baseline:
        drop = 100.0 * (float(np.mean(baseline)) - float(np.mean(accuracies)))
        margin = 100.0 * NORMAL_95 * std * float(np.sqrt(1 / len(accuracies) + 1 / len(baseline)))
        claim |= {
            "holds": drop <= allowed,
            "sigma_lsb": sigma[mine[0]["folder"]],
            "accuracy": float(np.mean(accuracies)),
            "drop_points": round(drop, 3),
            "drop_interval": [round(drop - margin, 3), round(drop + margin, 3)],
            "accuracies": accuracies,
        }
    return claim


def _ratios(curves: Curves, images: int | None) -> list[Ratio]:
    """By each line, of the pipeline that stays above it longest first."""
    plain = curves.by_curve.get(PLAIN, {})
    best = {name: points for name, points in curves.by_curve.items() if name.startswith(BEST) and len(points) > 1}
    if curves.axis != SIGMA or len(plain) < 2:
        return []
    std = seed_std(curves.groups, images)
    found: list[Ratio] = []
    for reference, drop in (LINE, *OTHER_LINES):
        baseline = curves.references.get(reference)
        if baseline:
            reach = {name: crossing(points, baseline, drop, std).order for name, points in best.items()}
            found += [
                Ratio(
                    best=name,
                    below=reference,
                    points=100 * drop,
                    **ratio(best[name], plain, baseline, drop, std).as_dict(),
                )
                for name in sorted(reach, key=lambda name: -reach[name])
            ]
    return found
