"""`imctrain schema`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class What(StrEnum):
    config = "config"
    calibration = "calibration"
    technology = "technology"
    result = "result"
    evaluation = "evaluation"


def schema(
    what: Annotated[
        What, typer.Argument(help="config (an experiment's TOML); calibration, technology, result, evaluation (JSON).")
    ] = What.config,
) -> None:
    """Print a JSON Schema, for completion and checks in an editor.

    Example: `imctrain schema > imctrain.schema.json`, then name it in the
    first line of an experiment: `#:schema ../imctrain.schema.json`
    """
    from pydantic import BaseModel

    model: type[BaseModel]
    if what is What.config:
        from imctrain.settings import Config

        model = Config
    elif what is What.result:
        from imctrain.records.result import Result

        model = Result
    elif what is What.evaluation:
        from imctrain.records.evaluation import Evaluations

        model = Evaluations
    elif what is What.technology:
        from imctrain.technology import Technology

        model = Technology
    else:
        from imctrain.calibration import Calibration

        model = Calibration
    typer.echo(json.dumps(model.model_json_schema(), indent=1))
