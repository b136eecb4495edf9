"""A trial: one run of a sweep, and the key under which it is found again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from imctrain.files import JsonValue
from imctrain.frozen_defaults import apart
from imctrain.records.plans import Label
from imctrain.settings import Config

KEY_DIGITS = 12
NOT_IN_KEY: dict[str, bool | set[str]] = {
    "name": True,
    "tensorboard": True,
    "tracking": True,
    "checkpoint": True,
    "data": {"data_dir"},
    "cost": {"technology", "supply_v", "split_vectors"},
}
"""What changes neither the bits of a training nor its result. `training.log_every` does: clipping is judged by line."""


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        config: resolved; `config.imc.calibration` is a shipped name or a file of the sweep's own folder.
        reference: "float" or "digital" for a run that others are compared with, else None.
        variant: which curve or row of the sweep's results it belongs to.
        axes: what the sweep's axes are at this trial, by dotted key. own_chip: its chip is that of its seed.
    """

    config: Config
    reference: str | None = None
    variant: str = ""
    axes: dict[str, JsonValue] = field(default_factory=dict)
    own_chip: bool = False

    @property
    def key(self) -> str:
        return trial_key(self.config)

    @property
    def title(self) -> str:
        """A few words for tables."""
        axes = [f"{key.rpartition('.')[2]} {value}" for key, value in self.axes.items()]
        return ", ".join([self.reference or self.variant or "trial", *axes, f"seed {self.config.seed}"])

    @property
    def label(self) -> Label:
        """What its sweep calls it."""
        label: Label = {
            "reference": self.reference,
            "variant": self.variant,
            "axes": self.axes,
            "seed": self.config.seed,
        }
        return label | {"chips": "each seed"} if self.own_chip else label


def trial_key(config: Config) -> str:
    """Hash of what the config sets apart from the frozen table: neither a later key nor a later default changes it."""
    content = apart(config.model_dump(mode="json"))
    for name, left_out in NOT_IN_KEY.items():
        if not isinstance(left_out, set):
            content.pop(name, None)
        elif name in content:
            content[name] = {key: value for key, value in content[name].items() if key not in left_out}
            # Of `data` an empty table stays, as in the keys of trials that are kept.
            if not content[name] and name != "data":
                del content[name]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


def same_training(a: Config, b: Config) -> str | None:
    """The first dotted key in which two configs would train differently, or None."""
    first, second = (_leaves(config.model_dump(mode="json", exclude=dict(NOT_IN_KEY))) for config in (a, b))
    return next((key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)), None)


def _leaves(value: JsonValue, prefix: str = "") -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, item in value.items()
        for key, leaf in _leaves(item, f"{prefix}.{name}" if prefix else name).items()
    }
