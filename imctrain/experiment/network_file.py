"""Files of exported networks: npz or safetensors, arrays by path and a manifest."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from imctrain.calibration import Calibration
from imctrain.errors import UserError
from imctrain.experiment.own_sources import unfolded
from imctrain.experiment.trained import Arrays, Checkpoint, Trained, arrays_hash, network_arrays, trained_by_run
from imctrain.files import replacing
from imctrain.paths import is_file, is_folder
from imctrain.reading import Unreadable, parse_json
from imctrain.records.manifest import Manifest
from imctrain.settings import kept_config

MANIFEST = "manifest"
"""Key of the manifest: an array of text in npz, metadata in safetensors."""
RESULT = "result"
"""In the place of a manifest in the files of experiments/cifar10/results/networks: result.json of the run."""
SUFFIXES = (".npz", ".safetensors")


@dataclass(frozen=True)
class NetworkFile:
    """What a file holds. manifest: None in one of a version that wrote none. arrays: all of them."""

    path: Path
    arrays: Arrays
    manifest: Manifest | None
    result: dict[str, Any] | None = None

    def trained(self) -> Trained:
        """The network in it. Raises UserError for one that is not what was written."""
        arrays = network_arrays(self.arrays)
        if not arrays:
            raise UserError(f"{self.path} holds no network (no params/...): give a file of `imctrain export`")
        if self.manifest is None:
            told = self.result or {}
            return Trained(
                str(self.path), arrays, None, accuracy=told.get("test_accuracy"), evaluation=told.get("epochs", 1) - 1
            )
        found = self.manifest
        if arrays_hash(arrays) != found.sha256:
            raise UserError(f"{self.path} is damaged: its arrays are not what its manifest says: export it again")
        calibration = None if found.calibration is None else Calibration.model_validate(found.calibration)
        return Trained(
            where=str(self.path),
            arrays=arrays,
            config=kept_config(dict(found.config), f"manifest of {self.path}"),
            calibration=calibration,
            checkpoint=found.checkpoint,
            step=found.step,
            accuracy=found.test_accuracy,
            evaluation=found.evaluation,
            baseline_accuracy=found.baseline_test_accuracy,
            shape=found.image_shape,
            classes=len(found.classes),
            model_name=self._model_name(found),
        )

    @staticmethod
    def _model_name(found: Manifest) -> str | None:
        model = found.config["model"]
        if found.code is None or not isinstance(model, dict):
            return None
        return unfolded(found.code, str(model["name"]), found.code_sha256)


def trained_network(source: Path, checkpoint: Checkpoint = "best") -> Trained:
    """Of a run's folder, or of a file. Raises UserError where there is none."""
    if is_folder(source):
        return trained_by_run(source, checkpoint)
    if not is_file(source):
        raise UserError(f"{source} does not exist: give a run's folder, or a file of `imctrain export`")
    return read_network(source).trained()


def read_network(path: Path) -> NetworkFile:
    """Raises UserError for a file of another kind, or one that is damaged."""
    _check_suffix(path)
    if not is_file(path):
        raise UserError(f"{path} does not exist: give a file of `imctrain export`")
    arrays, text = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    result = arrays.pop(RESULT, None)
    if text is None:
        told = None if result is None else parse_json(str(result), f"result in {path}")
        return NetworkFile(path, arrays, None, told)
    try:
        return NetworkFile(path, arrays, Manifest.model_validate(parse_json(text, "manifest")))
    except (ValidationError, Unreadable):
        raise UserError(f"{path} has no readable manifest: export the run again") from None


def write_network(path: Path, arrays: Arrays, manifest: Manifest) -> None:
    """Write a file, whole or not at all, in the format of its suffix."""
    _check_suffix(path)
    text = json.dumps(manifest.plain())
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, **arrays, **{MANIFEST: np.asarray(text)})  # type: ignore[arg-type]
            return
        contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        _safetensors().save_file(contiguous, temporary, metadata={MANIFEST: text})


def check_writable(path: Path) -> None:
    """Raise UserError for a format that cannot be written here, before anything is computed."""
    _check_suffix(path)
    if path.suffix == ".safetensors":
        _safetensors()


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: give a file that ends in {' or '.join(SUFFIXES)}")


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no npz that can be read ({error}): export the run again") from None
    text = arrays.pop(MANIFEST, None)
    return arrays, None if text is None else str(text)


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    library = _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
        return library.load_file(path), metadata.get(MANIFEST)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} is no safetensors that can be read ({error}): export the run again") from None


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise UserError(
            "safetensors is not installed: pip install 'imctrain[export]', or give a file that ends in .npz"
        ) from None
    return safetensors.numpy
