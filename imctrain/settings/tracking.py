"""[tracking]: where a run's numbers go beside its folder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imctrain.settings.base import Section

Tracker = Literal["mlflow", "wandb"]


class TrackingConfig(Section):
    """[tracking]"""

    to: tuple[Tracker, ...] = ()
    """Experiment trackers that a run also reports to: mlflow, wandb. They change nothing of the training."""
    project: Annotated[str, Field(min_length=1, max_length=120)] = "imctrain"
    """The project of wandb, the experiment of mlflow."""
