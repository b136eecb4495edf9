"""Results on disk: run folders below a folder, and what the sweeps there call them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imctrain.errors import UserError
from imctrain.frozen_defaults import filled


@dataclass(frozen=True)
class RunRecord:
    """A run folder.

    Attributes:
        folder: where it is. config: as resolved, None for what TOML leaves out.
        result: of result.json, empty if the run has none.
        labels: what each sweep calls it: {sweep: {"reference", "variant", "axes", "seed"}}.
        error: why it failed, if it did.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""

    @property
    def accuracy(self) -> float | None:
        """Test accuracy, a fraction; None without a result."""
        return self.result.get("test_accuracy")


def gather(root: Path) -> list[RunRecord]:
    """Every run below `root`, baselines within runs left out. Raises UserError where there is none."""
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give one that holds runs or sweeps")
    records = list(_find(root))
    if not records:
        raise UserError(f"no run below {root} (no config.toml with a result.json or failed.json): train one first")
    return records


def _find(root: Path) -> Iterator[RunRecord]:
    names = {"result.json", "failed.json"}
    folders = sorted({path.parent for name in names for path in root.rglob(name)})
    for folder in folders:
        if folder.name == "baseline" or "checkpoints" in folder.parts:
            continue
        plan = folder.parent.parent / "plan" / f"{folder.name}.json"
        labels = json.loads(plan.read_text(encoding="utf-8"))["labels"] if plan.is_file() else {}
        config_file = folder / "config.toml"
        config = filled(tomllib.loads(config_file.read_text(encoding="utf-8"))) if config_file.is_file() else {}
        result, failed = (
            json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for path in (folder / "result.json", folder / "failed.json")
        )
        if config or failed:
            yield RunRecord(folder, config, result, labels, "" if result else failed.get("error", ""))


def sweeps_of(records: list[RunRecord]) -> list[str]:
    """Names of the sweeps that the records belong to."""
    return sorted({name for record in records for name in record.labels})


TRIAL_ROW = "reference variant axes seed accuracy seconds clipped_fraction path folder error"


def rows_of(records: list[RunRecord], sweep: str) -> list[dict[str, Any]]:
    """A row a trial of a sweep (see TRIAL_ROW): references, then variants in the sweep's order, by axes and seed."""
    rows = []
    places: dict[str, int] = {}
    for record in records:
        label = record.labels.get(sweep)
        if label is None:
            continue
        place = label.get("place", 0)
        places[label["variant"]] = min(place, places.get(label["variant"], place))
        result = record.result
        values = (
            label["reference"],
            label["variant"],
            label["axes"],
            label["seed"],
            record.accuracy,
            result.get("seconds"),
            result.get("clipped_fraction"),
            record.config.get("imc", {}).get("path"),
            record.folder.name,
            record.error,
        )
        rows.append(dict(zip(TRIAL_ROW.split(), values, strict=True)))
    order = ("float", "digital", None)
    return sorted(
        rows,
        key=lambda row: (
            order.index(row["reference"]),
            places[row["variant"]],
            row["variant"],
            _order(row),
            row["seed"],
        ),
    )


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    # Numbers in order of size, words by themselves: one axis may hold both only by mistake.
    return tuple((isinstance(v, str), v if not isinstance(v, list) else str(v)) for v in row["axes"].values())
