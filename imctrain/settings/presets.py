"""Pipelines under one name: `[imc] preset`, and `Hardware.from_calibration(preset=...)`. Plain data.

A preset stands for the settings below; keys beside it override it, and the resolved config shows all of them.

    plain    the reference that remedies are measured against: gradients in grouped passes, AND cells, one level of the
             DAC per code, one range for all sites, clips from the operand alone.
    robust   what brought accuracy back at 1 LSB of noise (docs/reproduction.md): balanced passes, XNOR cells, the whole
             DAC, ranges that follow the signals, clips that weigh noise, gradients clipped at 6 rms, preserved sums;
             and, for columns that differ, offsets learned from 64 conversions and chopping. As many passes and
             conversions per MVM as plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from imctrain.errors import UserError

Preset = Literal["plain", "robust"]
PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "plain": {
        "array": {"cell": "and", "replicate": True, "chop": False},
        "adc": {"range_policy": "fixed", "range": 1.0, "polarity": "auto", "offset_conversions": 0},
        "formats": {
            "weight_clip": "least_error",
            "activation_clip": "least_error",
            "noise_aware": False,
            "gradient_rounding": "stochastic",
            "preserve_sums": False,
        },
        "mapping": {
            "gradient": "grouped",
            "passes": 3,
            "activation": "balanced",
            "gradient_samples": 1,
            "full_drive": False,
        },
    },
    "robust": {
        "array": {"cell": "xnor", "replicate": True, "chop": True},
        "adc": {"range_policy": "per_site", "range": 1.0, "polarity": "auto", "offset_conversions": 64},
        "formats": {
            "weight_clip": "least_error",
            "activation_clip": "least_error",
            "noise_aware": True,
            "gradient_rounding": "stochastic",
            "gradient_clip": 6.0,
            "preserve_sums": True,
        },
        "mapping": {
            "gradient": "balanced",
            "passes": 3,
            "activation": "balanced",
            "gradient_samples": 1,
            "full_drive": True,
        },
    },
}


def with_preset(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with a preset's where they say nothing. Raises UserError for a name that is no preset."""
    if name not in PRESETS:
        raise UserError(f"preset = {name!r} is not possible: allowed is {', '.join(get_args(Preset))}")
    merged = dict(settings)
    for section, values in PRESETS[name].items():
        given = merged.get(section, {})
        if isinstance(given, Mapping):
            merged[section] = {**values, **given}
    return merged
