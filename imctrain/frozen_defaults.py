"""What a config key stands for in kept results that do not name it: a table that never changes. Pure data, no jax.

A kept trial is a plan, a config.toml and a key, and all three leave out what was a default when they were written. The
defaults of this version may be others. So whatever is kept is read, and named, against this table:

    the value of a key that is here    what trials ran with that were kept before the default first changed
    of a key that came later           what reproduces the behaviour from before there was such a key

Rules for changing it: add a line for a new config key, whatever its default is; never change a line, since that would
rename every kept trial and read another training into it. A new default is a change of settings/ alone, and shipped
configs whose results are kept then name the old value.
"""

from __future__ import annotations

from typing import Any

VERSION = 1
"""Written into plans, which hold what a config sets apart from the table. Only a table with changed lines needs 2."""

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
    "data.validation": None,
    "data.test_at_end": False,
    "data.data_dir": None,
    "model.name": "mlp",
    "model.width": None,
    "model.arguments": {},
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
    "imc.preset": None,
    "imc.path": "exact",
    "imc.calibration": "feasible-assumed",
    "imc.mvms": ["forward", "input_grad", "weight_grad"],
    "imc.chip_seed": 0,
    "imc.memory_mib": 2,
    "imc.chip.die": None,
    "imc.chip.die_spread": "value",
    "imc.conditions.temperature_c": None,
    "imc.conditions.supply_v": None,
    "imc.conditions.extrapolate": False,
    "imc.conditions.offset_readings": "once",
    "imc.array.rows": None,
    "imc.array.columns": None,
    "imc.array.spare_columns": 0,
    "imc.array.input_bits": None,
    "imc.array.drive": "signed",
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
    "imc.adc.gain_conversions": 0,
    "imc.adc.gain_input": 0.5,
    "imc.adc.gain_range": 1.0,
    "imc.adc.round_to_integers": True,
    "imc.adc.full_scale_on_last_code": False,
    "imc.noise.sigma_lsb": None,
    "imc.noise.sigma_array_lsb": None,
    "imc.noise.sigma_adc_lsb": None,
    "imc.noise.sigma_slow_lsb": None,
    "imc.noise.sigma_common_lsb": None,
    "imc.noise.scale": 1.0,
    "imc.noise.mismatch": True,
    "imc.noise.dnl": True,
    "imc.formats.quantise": ["weights", "activations", "gradients"],
    "imc.formats.weight_bits": 4,
    "imc.formats.activation_bits": 4,
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
    "imc.mapping.activation": "balanced",
    "imc.mapping.gradient_samples": 1,
    "imc.mapping.planes": None,
    "imc.mapping.full_drive": False,
    "imc.statistical.bias_limit": 0.03,
    "imc.statistical.clip_limit": 0.002,
    "imc.statistical.inl_limit": 0.25,
    "checkpoint.every_epochs": 1,
    "checkpoint.every_steps": None,
    "checkpoint.every_seconds": 600.0,
    "checkpoint.keep": 2,
    "cost.technology": "laws-28nm",
    "cost.supply_v": None,
    "cost.split_vectors": False,
    "cost.value_aware": False,
    "tracking.to": [],
    "tracking.project": "imctrain",
    "imc.rules.match": None,  # always given
    "imc.rules.path": None,
    "imc.rules.overrides": {},
}
"""By dotted key, in JSON's types; keys of [[imc.rules]] are those of each rule."""

LISTS = {"imc.rules"}
"""Arrays of tables."""
SECTIONS = {key[:end] for key in FROZEN for end, letter in enumerate(key) if letter == "."}


def apart(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """What a resolved config (`model_dump(mode="json")`) sets apart from the table; tables without any are left out.

    Raises LookupError for a key without an entry.
    """
    found: dict[str, Any] = {}
    for name, value in content.items():
        key = prefix + name
        if key not in SECTIONS:
            if key not in FROZEN:
                raise LookupError(
                    f"config key {key} has no entry in imctrain/frozen_defaults.py: add the value that reproduces "
                    "trials from before there was such a key"
                )
            if value != FROZEN[key]:
                found[name] = value
        elif key in LISTS:
            if value:
                found[name] = [apart(item, f"{key}.") for item in value]
        elif inner := apart(value, f"{key}."):
            found[name] = inner
    return found


def filled(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A kept config with the keys that it leaves out; keys that are not in the table stay, for validation to find."""
    names = [key.removeprefix(prefix).partition(".")[0] for key in FROZEN if key.startswith(prefix)]
    full = dict(data)
    for name in dict.fromkeys(names):
        key = prefix + name
        if key not in SECTIONS:
            full.setdefault(name, FROZEN[key])
        elif key in LISTS:
            if isinstance(items := full.setdefault(name, []), list | tuple):
                full[name] = [filled(item, f"{key}.") if isinstance(item, dict) else item for item in items]
        elif isinstance(full.setdefault(name, {}), dict):
            full[name] = filled(full[name], f"{key}.")
    return full
