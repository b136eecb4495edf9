"""What every config key stood for when results were kept: the defaults of old, frozen.

A trial is known by what its config sets apart from this table, and a kept config that does not name a key means the
value here. So a default may change without renaming or reinterpreting what was trained before.

Never change an entry. A new key of the config gets one: the value that does what was done before the key existed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FROZEN: dict[str, Any] = {
    "name": "run",
    "seed": 0,
    "baseline": False,
    "tensorboard": True,
    "data.name": "digits",
    "data.batch_size": 128,
    "data.eval_batch_size": 500,
    "data.augment.flip": False,
    "data.augment.crop": 0,
    "data.augment.border": "black",
    "data.augment.cutout": 0,
    "data.train_limit": None,
    "data.test_limit": None,
    "data.data_dir": None,
    "model.name": "mlp",
    "model.width": None,
    "training.epochs": 10,
    "training.steps": None,
    "training.optimizer": "sgd",
    "training.learning_rate": 0.1,
    "training.momentum": 0.9,
    "training.nesterov": True,
    "training.weight_decay": 0.0005,
    "training.schedule": "cosine",
    "training.warmup_epochs": 0.0,
    "training.label_smoothing": 0.0,
    "training.clip_norm": None,
    "training.log_every": 20,
    "training.eval_every": 1,
    "imc.path": "exact",
    "imc.calibration": "feasible-assumed",
    "imc.mvms": ["forward", "input_grad", "weight_grad"],
    "imc.chip_seed": 0,
    "imc.memory_mib": 2,
    "imc.array.rows": None,
    "imc.array.columns": None,
    "imc.array.input_bits": None,
    "imc.array.cell": None,
    "imc.array.replicate": False,
    "imc.array.segment_rows": None,
    "imc.array.chop": False,
    "imc.array.macros": 16,
    "imc.adc.bits": None,
    "imc.adc.range_policy": "fixed",
    "imc.adc.range": 1.0,
    "imc.adc.low_range": 0.25,
    "imc.adc.min_range": 0.015625,
    "imc.adc.headroom": 4.0,
    "imc.adc.polarity": "auto",
    "imc.adc.offset_conversions": 0,
    "imc.adc.offset_range": 1.0,
    "imc.adc.full_scale_on_last_code": False,
    "imc.adc.round_to_integers": True,
    "imc.noise.sigma_lsb": None,
    "imc.noise.scale": 1.0,
    "imc.noise.mismatch": True,
    "imc.formats.quantise": ["weights", "activations", "gradients"],
    "imc.formats.weight_clip": "sawb",
    "imc.formats.activation_clip": "rms",
    "imc.formats.weight_clip_scale": 1.0,
    "imc.formats.activation_clip_scale": 1.0,
    "imc.formats.noise_aware": False,
    "imc.formats.pact_learning_rate": 0.01,
    "imc.formats.pact_decay": 0.0001,
    "imc.formats.gradient_rounding": "stochastic",
    "imc.formats.gradient_scale": "step",
    "imc.formats.gradient_clip": None,
    "imc.formats.gradient_scale_decay": 0.99,
    "imc.formats.preserve_sums": False,
    "imc.mapping.gradient": "balanced",
    "imc.mapping.passes": 3,
    "imc.mapping.gradient_samples": 1,
    "imc.mapping.planes": None,
    "imc.mapping.full_drive": False,
    "imc.statistical.bias_limit": 0.03,
    "imc.statistical.clip_limit": 0.002,
    "imc.statistical.inl_limit": 0.25,
    "imc.rules": [],
    "checkpoint.every_epochs": 1,
    "checkpoint.every_steps": None,
    "checkpoint.every_seconds": 600.0,
    "checkpoint.keep": 2,
}
"""By dotted key, JSON values. Lists of tables (`imc.rules`) are values; their own keys are in `FROZEN_RULE`."""

FROZEN_RULE: dict[str, Any] = {"path": None, "overrides": {}}
"""Keys of an entry of `imc.rules`."""


def apart_from_frozen(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a whole config, as nested JSON values, sets apart from the table; tables that are the same are left out."""
    return _apart(content, "")


def filled_up(content: Mapping[str, Any]) -> dict[str, Any]:
    """A kept config, as nested JSON or TOML values, with the table's value for every key that it does not name."""
    filled: dict[str, Any] = {}
    for key, value in FROZEN.items():
        if value is not None:
            *tables, last = key.split(".")
            place = filled
            for table in tables:
                place = place.setdefault(table, {})
            place[last] = value
    return _merged(filled, content)


def _apart(content: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    different: dict[str, Any] = {}
    for name, value in content.items():
        key = prefix + name
        if isinstance(value, Mapping):
            inner = _apart(value, f"{key}.")
            if inner:
                different[name] = inner
        elif key not in FROZEN or value != FROZEN[key]:
            different[name] = [_rule(item) for item in value] if key == "imc.rules" else value
    return different


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key not in FROZEN_RULE or value != FROZEN_RULE[key]}


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged
