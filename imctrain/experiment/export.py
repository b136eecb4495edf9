"""A run's network as a file: floats, and the codes that the array holds."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from imctrain.data import Batches, Dataset, Split, load
from imctrain.experiment.from_config import build_hardware, build_rules
from imctrain.experiment.identity import calibration_hash
from imctrain.experiment.network_file import check_writable, write_network
from imctrain.experiment.own_sources import text_of
from imctrain.experiment.trained import Checkpoint, Trained, trained_by_run
from imctrain.files import JsonValue, refuse_overwrite
from imctrain.imc.chip.ranges import choose_range
from imctrain.imc.mvm.operand import integer_format, is_encoded
from imctrain.imc.site.site import Site
from imctrain.intercept import on_imc
from imctrain.records.manifest import VERSION, Manifest, SiteManifest
from imctrain.settings import config_hash
from imctrain.training.network import Network

CODES = "array"
"""Part of an export's names: array/SITE/codes."""
PACKAGES = ("imctrain", "jax", "flax", "numpy")


def export_run(folder: Path, out: Path, checkpoint: Checkpoint = "best", *, force: bool = False) -> Manifest:
    """Write the network of a run's checkpoint to `out`, .npz or .safetensors.

    Args:
        force: overwrite a file that is there.

    Raises UserError for a run without a good checkpoint, and for a file that is there.
    """
    check_writable(out)
    refuse_overwrite(out, "--out", force=force)
    trained = trained_by_run(folder, checkpoint)
    config = trained.known_config
    dataset = load(config.data.name, config.data.data_dir)
    network = trained.network()
    codes, sites, images = held_by_the_array(trained, network, dataset)
    calibration = None if config.imc.path == "float" else trained.calibration
    manifest = Manifest(
        schema_version=VERSION,
        name=config.name,
        source=str(folder),
        checkpoint=checkpoint,
        step=trained.step or 0,
        test_accuracy=trained.accuracy,
        evaluation=trained.evaluation,
        baseline_test_accuracy=trained.baseline_accuracy,
        config=config.model_dump(mode="json"),
        config_hash=config_hash(config),
        calibration=None if calibration is None else _json(calibration.model_dump(mode="json")),
        calibration_sha256=None if calibration is None else calibration_hash(calibration),
        dataset=config.data.name,
        dataset_content=dataset.content,
        classes=tuple(map(str, dataset.classes)),
        image_shape=dataset.shape,
        mean=tuple(map(float, dataset.mean)),
        std=tuple(map(float, dataset.std)),
        sites=tuple(sites),
        driven_images=images,
        sha256=trained.sha256,
        **_code(trained),
        versions={package: metadata.version(package) for package in PACKAGES},
    )
    write_network(out, {**trained.arrays, **codes}, manifest)
    return manifest


def _code(trained: Trained) -> dict[str, Any]:
    """Of a network of the user's own: the file can be opened where that is not."""
    source = trained.source()
    if source is None:
        return {}
    text = text_of(source)
    return {"code_sha256": source.sha256, **({} if text is None else {"code": text})}


def held_by_the_array(
    trained: Trained, network: Network, dataset: Dataset
) -> tuple[dict[str, np.ndarray], list[SiteManifest], int]:
    """(arrays by name, the sites that they are of, training images driven) of a trained network.

    Weights are encoded as the forward MVM encodes them. That may depend on what is driven (`formats.noise_aware`, and
    clips of activations that come from the batch): a batch of training images, without augmentation, is.
    """
    config, calibration = trained.known_config, trained.calibration
    if config.imc.path == "float" or calibration is None:
        return {}, [], 0
    split = dataset.train
    count = min(config.data.eval_batch_size, len(split))
    batches = Batches.evaluation(
        Split(split.images[:count], split.labels[:count]), count, mean=dataset.mean, std=dataset.std
    )
    images = jnp.asarray(batches.batch(0, 0).images)
    function = on_imc(network.eval_forward, build_hardware(config.imc, calibration), build_rules(config.imc))
    params, rest = trained.parameters(network)
    states, _ = trained.site_states(function.init(params, rest, images), function.former_names)
    ledger = function.ledger(params, rest, images)
    added = {entry.name: jnp.zeros(entry.out_shape, jnp.float32) for entry in ledger.sites}

    @jax.jit
    def operands(params: PyTree, rest: PyTree, states: PyTree, images: jax.Array) -> Any:
        key = jax.random.key(config.seed)
        return function.tapped(params, rest, images, key=key, added=added, state=states, pass_nested=True)[1]

    met = operands(params, rest, states, images)
    arrays: dict[str, np.ndarray] = {}
    sites = []
    for name in states:
        site = function.site(name)
        # What is in a loop (a recurrent cell) meets other operands every time: its floats are there, no codes.
        if name not in met or site.one_way or site.spec.stored_info.kind != "weight":
            continue
        found, told = _codes(site, met[name], states[name])
        arrays |= {f"{CODES}/{name}/{key}": value for key, value in found.items()}
        sites.append(told)
    return arrays, sites, count


def _codes(site: Site, operands: tuple[Any, Any], state: Any) -> tuple[dict[str, np.ndarray], SiteManifest]:
    spec, formats = site.spec, site.spec.hardware.formats
    lhs, rhs = (jnp.asarray(operand, jnp.float32) for operand in operands)
    encoded = site.encode(lhs, rhs, state)
    driven, stored = encoded if spec.driven == "lhs" else encoded[::-1]
    kept = is_encoded(spec.stored_info, formats)
    stored_format = integer_format(spec.stored_info, formats)
    arrays = {
        # Weights that are not quantised (a digital study) are no integers.
        "codes": np.asarray(stored.codes, stored_format.dtype if kept else np.float32),
        "scale": np.asarray(stored.scale, np.float32),
        "clip": np.asarray(stored.clip, np.float32),
        "driven_scale": np.asarray(driven.scale, np.float32),
        "driven_clip": np.asarray(driven.clip, np.float32),
        "ranges": np.asarray(choose_range(state.needed_range["forward"], spec.hardware.adc), np.float32),
    }
    sides = {"lhs": spec.lhs_shape, "rhs": spec.rhs_shape}
    held = "rhs" if spec.driven == "lhs" else "lhs"
    told = SiteManifest(
        site=spec.name,
        path=spec.hardware.path,
        stored=held,
        stored_format=stored_format.name if kept else "float32",
        driven_format=integer_format(spec.driven_info, formats).name
        if is_encoded(spec.driven_info, formats)
        else "float32",
        stored_shape=sides[held],
        driven_shape=sides[spec.driven],
    )
    return arrays, told


def _json(value: dict[str, Any]) -> dict[str, JsonValue]:
    return value
