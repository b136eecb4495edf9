"""What a run was when a checkpoint was written: every checkpoint carries it, and whoever continues compares."""

from __future__ import annotations

from pydantic import Field, JsonValue

from imctrain.records.base import Kept
from imctrain.records.result import Change, InitialNetwork

DATA = "data.content"


class DataIdentity(Kept):
    """Content of a data set, and what the config makes of it."""

    sha256: str
    train_images: int
    test_images: int
    steps_per_epoch: int


class Identity(Kept):
    """What a run is."""

    config: dict[str, JsonValue]
    """As resolved."""
    calibration: dict[str, JsonValue] | None
    """What it says, by dotted key; null on the float path."""
    data: DataIdentity = Field(validation_alias=DATA, serialization_alias=DATA)
    environment: dict[str, str]
    """Versions and devices."""
    init: InitialNetwork | None = None
    """What it started from; missing where its weights were drawn."""
    code: dict[str, JsonValue] = Field(default={})
    """SHA-256 of own code that the config names, by model.code and training.optimizer.code; missing without any."""
    changed: tuple[Change, ...] = ()
    """What was another before some step."""
