"""What a run is: its config, calibration, data and environment, as every checkpoint carries it, and how two differ.

Whoever continues a run compares what its newest checkpoint carries with what the folder says now. Otherwise an edited
folder would credit all of a training to settings that only its last part had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from imctrain.calibration import Calibration
from imctrain.data import Dataset
from imctrain.files import JsonValue
from imctrain.frozen_defaults import FROZEN
from imctrain.records.identity import DATA, DataIdentity, Identity
from imctrain.records.kept_config import setting
from imctrain.records.result import InitialNetwork
from imctrain.settings import Config
from imctrain.training.loop import make_batches

FREE: tuple[str, ...] = ("name", "baseline", "tensorboard", "tracking", "checkpoint", "data.data_dir", "imc.memory_mib")
FREE += ("cost.technology", "cost.supply_v", "cost.split_vectors", "data.test_at_end")
"""Config keys that may change within a run: they change neither what is trained nor what it is measured on. Data and
calibration are compared by content, wherever they lie."""
FIXED = ("data.batch_size", "data.train_limit", "data.validation", "model", "cost.value_aware", "init")
"""Keys that cannot change within a run, not even on request: its steps and its network would be others."""
CALIBRATION, ENVIRONMENT, INIT = "calibration", "environment", "init"
"""With `DATA`, keys of what is no part of the config; `environment` is told and never refused."""
NOT_COMPARED = ("notes", "schema_version", "provenance_of")
"""Of a calibration: what people read, and no chip has."""
LONGEST = 16
"""Values of a list that are kept one by one; a longer one is kept as its length and hash."""
PACKAGES = ("jax", "jaxlib", "imctrain")
SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Difference:
    """A key with the values that it has in a checkpoint and now; None where there is none."""

    key: str
    before: JsonValue
    now: JsonValue

    def __str__(self) -> str:
        return f"{self.key} {_text(self.before)} -> {_text(self.now)}"


def identity(
    config: Config,
    dataset: Dataset,
    calibration: Calibration | None,
    init: InitialNetwork | None = None,
    code: Mapping[str, str] | None = None,
) -> Identity:
    """What a run is. The calibration is the one that is used, None on the float path; init: what it started from.

    Args:
        code: hashes of own code (`own_sources.hashes`).
    """
    import jax

    devices = [f"{device.platform}:{device.device_kind}" for device in jax.local_devices()]
    found = None if calibration is None else calibration.model_dump(mode="json", exclude=set(NOT_COMPARED))
    made = Identity(
        config=config.model_dump(mode="json"),
        calibration=None if found is None else dict(_leaves(found)),
        data=DataIdentity(
            sha256=dataset.content,
            train_images=len(dataset.train),
            test_images=len(dataset.test),
            steps_per_epoch=make_batches(config, dataset)[0].steps_per_epoch,
        ),
        environment={
            **{package: metadata.version(package) for package in PACKAGES},
            "devices": f"{len(devices)} x {devices[0]}",
        },
    )
    if code:
        made = made.replace(code=dict(code))
    return made if init is None else made.replace(init=init.plain())


def calibration_hash(calibration: Calibration) -> str:
    """SHA-256 of what a calibration says, notes left out."""
    content = calibration.model_dump(mode="json", exclude=set(NOT_COMPARED))
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def differences(before: Identity, now: Identity) -> list[Difference]:
    """Where what a checkpoint carries and what a folder says now differ in what is trained, key by key.

    A key that only one of two versions of imctrain knows is a difference if it is set to anything but what was done
    before it existed (`frozen_defaults`).
    """
    found = list(config_differences(before.config, now.config))
    if before.calibration is not None and now.calibration is not None:
        found += _compare(before.calibration, now.calibration, f"{CALIBRATION}.")
    if before.data.sha256 != now.data.sha256:
        found.append(Difference(DATA, _data(before.data), _data(now.data)))
    for difference in _compare(before.code, now.code, ""):
        shown = (f"SHA-256 {str(value)[:12]}" for value in (difference.before, difference.now))
        found.append(Difference(difference.key, *shown))
    started = [None if side.init is None else side.init.sha256 for side in (before, now)]
    if started[0] != started[1]:
        found.append(Difference(INIT, *started))
    return found


def config_differences(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Iterator[Difference]:
    """The same of two configs in JSON. Of two float trainings, what an array would have been is no difference."""
    both_float = setting(before, "imc.path") == setting(now, "imc.path") == "float"
    for difference in _compare(dict(_leaves(dict(before))), dict(_leaves(dict(now))), "", FROZEN):
        if not (within(difference.key, FREE) or (both_float and within(difference.key, ("imc",)))):
            yield difference


def environment_differences(before: Identity, now: Identity) -> list[Difference]:
    """Versions and devices that changed: the rest of a training may differ by them in its last bits."""
    return list(_compare(before.environment, now.environment, f"{ENVIRONMENT}."))


def within(key: str, tables: tuple[str, ...] | list[str]) -> bool:
    """Whether a dotted key is one of those given, or lies in a table that is."""
    return any(key == table or key.startswith(f"{table}.") for table in tables)


def _compare(
    before: Mapping[str, JsonValue],
    now: Mapping[str, JsonValue],
    prefix: str,
    defaults: Mapping[str, JsonValue] | None = None,
) -> Iterator[Difference]:
    for key in dict.fromkeys([*before, *now]):
        old, new = (side.get(key, (defaults or {}).get(key)) for side in (before, now))
        if old != new:
            yield Difference(prefix + key, old, new)


def _leaves(value: JsonValue, prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """(dotted key, value) of nested tables and lists of tables; long lists as their length and hash."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and len(value) > LONGEST:
        digest = hashlib.sha256(_canonical(value).encode()).hexdigest()[:12]
        yield prefix, f"{len(value)} values, SHA-256 {digest}"
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{prefix}.{number}")
    else:
        yield prefix, value


def _canonical(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _data(data: DataIdentity) -> str:
    return f"{data.train_images} + {data.test_images} images, SHA-256 {data.sha256[:12]}"


def _text(value: JsonValue) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
