"""Runs from Python: train one, open one that is there, and all results below a folder as one table.

import imctrain

config = imctrain.load_config("experiments/quickstart.toml", ["training.epochs=3"])
run = imctrain.train(config)                   # as `imctrain run` does; runs/NAME-TIMESTAMP, or out=
run.result["test_accuracy"], run.metrics       # result.json, and metrics.jsonl as a polars frame
run = imctrain.load_run("runs/quickstart-20260101-120000")
imctrain.load_results("runs")                  # a row per run, of all runs and sweeps below the folder
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imctrain.errors import UserError
from imctrain.settings import Config, Hardware
from imctrain.settings import load_config as _load_config

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        folder: where it is. config: as resolved when it was trained.
        result: of result.json; empty where the run is not finished.
    """

    folder: Path
    config: Config
    result: dict[str, Any] = field(repr=False)

    @cached_property
    def metrics(self) -> polars.DataFrame:
        """metrics.jsonl, a row per line: training lines have loss, accuracy and images_per_second, the others
        test_accuracy; values that a line does not have are null. Raises UserError where there is none."""
        import polars

        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            raise UserError(f"{self.folder} has no metrics yet (no metrics.jsonl): train it first")
        # A run that was killed may have left half a line: it is not finished, and written again on resume.
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [row for line in lines if (row := _row(line)) is not None]
        return polars.DataFrame(rows, infer_schema_length=None)

    @cached_property
    def hardware(self) -> Hardware | None:
        """What its sites were simulated on, rules apart; None for a float run."""
        if self.config.imc.path == "float":
            return None
        from imctrain.experiment.hardware import build_hardware, calibration_of

        saved = self.folder / "calibration.json"
        imc = self.config.imc
        if saved.is_file():
            imc = imc.replace(calibration=str(saved.absolute()))
        return build_hardware(self.config.imc, calibration_of(self.config.replace(imc=imc), self.folder))


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """An experiment's TOML, validated.

    Args:
        overrides: as `--set` takes them, such as "training.epochs=5".

    Raises UserError naming the file, the key, what was found and what is allowed.
    """
    return _load_config(Path(path), overrides)


def train(
    config: Config | str | Path, *, out: str | Path | None = None, config_dir: str | Path = ".", quiet: bool = False
) -> Run:
    """Train an experiment into a new folder, as `imctrain run` does.

    Args:
        config: of `load_config`, or a TOML file.
        out: the run's folder; runs/NAME-TIMESTAMP by default.
        config_dir: what a calibration's path is relative to; of a TOML file its own folder.
        quiet: print nothing.

    Raises UserError for bad input, `training.divergence.Diverged` and `training.signals.Interrupted` as the command
    ends on them. Compiled steps are kept where the command keeps them.
    """
    from rich.console import Console

    from imctrain.experiment.jax_setup import prepare_jax
    from imctrain.experiment.run import Place, start

    settings = config if isinstance(config, Config) else load_config(config)
    if not isinstance(config, Config):
        config_dir = Path(config).parent
    prepare_jax()
    place = Place()
    start(settings, None if out is None else Path(out), Path(config_dir), Console(quiet=quiet), place)
    if place.folder is None:
        raise RuntimeError("a training that ended left no folder")
    return load_run(place.folder)


def load_run(folder: str | Path) -> Run:
    """A run that is there, finished or not. Raises UserError for a folder without a run, or a damaged one."""
    from imctrain.settings import load_kept_config

    folder = Path(folder)
    if not (folder / "config.toml").is_file():
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    path = folder / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise UserError(f"{path} is no JSON: restore it, or train the run again") from None
    return Run(folder, load_kept_config(folder / "config.toml"), result)


def load_results(folder: str | Path) -> polars.DataFrame:
    """Every run below a folder, a row each, sorted by sweep, variant and seed.

    Columns: folder, sweep, reference ("float", "digital" or null), variant, seed, error; a column per axis of a sweep,
    named by its key; and every number, text and flag of result.json. A trial that is in several sweeps has a row in
    each. Copies of a run are left out. Raises UserError where there is no run.
    """
    import polars

    from imctrain.report.results import copies_of, gather

    records = gather(Path(folder))
    copies = copies_of(records)
    rows = []
    for record in records:
        if record.folder in copies:
            continue
        plain = {key: value for key, value in record.result.items() if not isinstance(value, dict | list)}
        for sweep, label in (record.labels or {"": {}}).items():
            rows.append(
                {
                    "folder": str(record.folder),
                    "sweep": sweep or None,
                    "reference": label.get("reference"),
                    "variant": label.get("variant"),
                    "seed": label.get("seed", record.config.get("seed")),
                    "error": record.error or None,
                }
                | {key: value if not isinstance(value, list) else str(value) for key, value in _axes(label).items()}
                | {key: value for key, value in plain.items() if key != "seed"}
            )
    frame = polars.DataFrame(rows, infer_schema_length=None, strict=False)
    return frame.sort("sweep", "variant", "seed", "folder", nulls_last=True)


def _axes(label: dict[str, Any]) -> dict[str, Any]:
    return dict(label.get("axes") or {})


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
