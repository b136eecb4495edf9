"""Made-up results of runs: what reports and sweeps read, without a training."""

from __future__ import annotations

import json
from pathlib import Path

from imctrain.records.result import Result

PLAIN = {
    "schema_version": "1.0",
    "name": "made up",
    "test_accuracy": 0.5,
    "best_test_accuracy": 0.5,
    "epochs": 1,
    "seconds": 60.0,
    "seconds_per_epoch": 60.0,
    "compile_seconds": 1.0,
    "path": "exact",
    "dataset": "digits",
    "dataset_source": {"lossy": False},
    "model": "mlp",
    "parameters": 10,
    "config_hash": "",
    "seed": 0,
    "clipped_fraction": None,
}
"""What every version has written."""


def result(**keys: object) -> Result:
    """A result with some keys given."""
    return Result.model_validate(PLAIN | keys)


def write_result(folder: Path, **keys: object) -> None:
    """result.json of a run's folder."""
    (folder / "result.json").write_text(json.dumps(PLAIN | keys))
