"""A trained network, in a run's checkpoint or in a file: its arrays, and what is known of its training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from imctrain.calibration import Calibration, load_calibration
from imctrain.errors import UserError
from imctrain.experiment.costing import data_shape
from imctrain.experiment.own_sources import IDENTITIES, model_name_of_run
from imctrain.own_code import Source, find_source
from imctrain.records.layout import RunFiles
from imctrain.records.result import Result
from imctrain.settings import Config, load_kept_config
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.network import Network
from imctrain.training.stored import SITES as SITES
from imctrain.training.stored import Stored, as_leaf, plain_form, stored_leaf

Checkpoint = Literal["best", "last"]
PARAMS, REST = "params", "rest"
"""Parts of a checkpoint that make a network, beside what its sites carry: what was trained, its batch statistics."""
TELEMETRY = "/telemetry/"
"""In the names of leaves that are zero in every state."""

Arrays = Mapping[str, np.ndarray]
"""By path of the leaf, as checkpoints have it: params/stem/conv/kernel/value."""


@dataclass(frozen=True)
class Trained:
    """See the module.

    Attributes:
        where: folder or file, for messages. arrays: of the three parts.
        config: of the training; None for a file that holds none. calibration: that it was trained on, of a float
            baseline that of the run beside it; None where there is none, or it is not known.
        checkpoint: "best" or "last". step: steps taken.
        accuracy: at that step; None where it was not evaluated. evaluation: number of that evaluation, which gives its
            noise. baseline_accuracy: of the float baseline beside it.
        shape, classes: of the images that it was trained on; None where the config would tell.
        model_name: by which the code of a network of the user's own is found, in place of the config's.
    """

    where: str
    arrays: Arrays
    config: Config | None
    calibration: Calibration | None = None
    checkpoint: str = "last"
    step: int | None = None
    accuracy: float | None = None
    evaluation: int = 0
    baseline_accuracy: float | None = None
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    model_name: str | None = None

    @property
    def sha256(self) -> str:
        """Of the arrays: names, shapes and bits."""
        return arrays_hash(self.arrays)

    @property
    def known_config(self) -> Config:
        """The config. Raises UserError where the file holds none."""
        if self.config is None:
            raise UserError(f"{self.where} holds no config: give the experiment that it was trained with (--config)")
        return self.config

    def network(self, *, abstract: bool = True) -> Network:
        """The network of its config; abstract: nothing is drawn, and its parameters are shapes."""
        config = self.known_config
        shape, classes = self.shape, self.classes
        if shape is None or classes is None:
            data = data_shape(config)
            shape, classes = data.shape, data.classes
        return Network(
            config.model.name,
            shape=shape,
            classes=classes,
            width=config.model.width,
            seed=config.seed,
            abstract=abstract,
            arguments=config.model.arguments,
            source=self.source(),
        )

    def source(self) -> Source | None:
        """Code of a network of the user's own; None of one that is built in. Raises UserError where it is gone, or has
        changed."""
        return find_source(self.model_name or self.known_config.model.name, None, "model.name")

    def parameters(self, network: Network) -> tuple[PyTree, PyTree]:
        """(params, rest) in the structure of a network. Raises UserError naming the first one that does not fit."""
        return self._fit(PARAMS, network.params), self._fit(REST, network.rest)

    def module(self) -> nnx.Module:
        """The network with its parameters and batch statistics, as for evaluation."""
        network = self.network()
        return network.module(*self.parameters(network))

    def site_states(
        self, fresh: Mapping[str, PyTree], former_names: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[dict[str, PyTree], list[str]]:
        """States of sites, and the names of those that are fresh.

        Args:
            fresh: of `ImcFunction.init`. A site whose name and structure are those of the training takes what it had
                learned (ranges, clips, the scale of gradients); any other stays fresh.
            former_names: of the function, for a training from when its sites had these.
        """
        states, left = {}, []
        for name, state in fresh.items():
            leaves, missing = [], False
            for path, leaf in named_leaves(state, f"{SITES}/{name}"):
                found = leaf if TELEMETRY in path else stored_leaf(self.arrays, path, former_names)
                missing = missing or found is None or found.shape != leaf.shape
                # Every leaf is an array of its own: a training step gives its input's memory away.
                leaves.append(leaf if found is None else jnp.array(found, leaf.dtype, copy=True))
            states[name] = state if missing else jax.tree.unflatten(jax.tree.structure(state), leaves)
            left += [name] if missing else []
        return states, left

    def _fit(self, part: str, template: PyTree) -> PyTree:
        leaves, wanted = [], set()
        for path, expected in named_leaves(template, part):
            found = self.arrays.get(path)
            if found is None:
                raise UserError(f"{self.where} does not fit this network: {path} is not in it{self._near(path)}")
            plain = plain_form(expected)
            if found.shape != plain.shape or found.dtype != plain.dtype:
                raise UserError(
                    f"{self.where} does not fit this network: {path} is {found.dtype} {found.shape} in it, the network "
                    f"has {plain.dtype} {plain.shape}"
                )
            wanted.add(path)
            leaves.append(jnp.asarray(as_leaf(found, expected)))
        extra = next((name for name in self.arrays if name.startswith(f"{part}/") and name not in wanted), None)
        if extra is not None:
            raise UserError(f"{self.where} does not fit this network, which has no {extra}: take the model it was of")
        return jax.tree.unflatten(jax.tree.structure(template), leaves)

    def _near(self, path: str) -> str:
        others = [name for name in self.arrays if name.partition("/")[0] == path.partition("/")[0]]
        return f" (it has {others[0]} ...): take the model it was of" if others else ""


def named_leaves(tree: PyTree, prefix: str) -> Iterable[tuple[str, PyTree]]:
    """(path, leaf) of every leaf, in the tree's order; leaves may be `jax.ShapeDtypeStruct`s."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in leaves:
        yield f"{prefix}/{jax.tree_util.keystr(path, simple=True, separator='/')}", leaf


def network_arrays(arrays: Arrays) -> dict[str, np.ndarray]:
    """What makes a network, of a checkpoint's arrays: no optimizer, no telemetry."""
    kept = (name for name in arrays if name.partition("/")[0] in (PARAMS, REST, SITES) and TELEMETRY not in name)
    return {name: np.asarray(arrays[name]) for name in sorted(kept)}


def arrays_hash(arrays: Arrays) -> str:
    """SHA-256 of names, dtypes, shapes and bits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def trained_by_run(folder: Path, checkpoint: Checkpoint = "best") -> Trained:
    """Of a run's checkpoint.

    Args:
        checkpoint: "best", of the highest accuracy that was measured at a checkpoint (the newest of several; the newest
            of all where none was measured); or "last".

    Raises UserError for a folder without a run or without a checkpoint, and for a damaged one.
    """
    files = RunFiles(folder)
    if not files.is_run:
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    if not files.checkpoints.is_dir():
        raise UserError(_no_checkpoint(folder))
    config = load_kept_config(files.config)
    stored = _chosen(files, config, checkpoint)
    accuracy = _accuracy(stored, config)
    # A checkpoint that was evaluated stands at the start of the next epoch.
    evaluation = int(stored.position.get("epoch", 0)) - (accuracy is not None)
    code = (stored.about or {}).get("code", {})
    result = Result.read(files.result) if files.is_finished else None
    baseline = result.baseline_test_accuracy if result is not None else None
    if baseline is None and files.baseline.is_finished:
        baseline = Result.read(files.baseline.result).test_accuracy
    return Trained(
        where=str(folder),
        arrays=network_arrays(stored.arrays),
        config=config,
        calibration=_calibration(config, files),
        checkpoint=checkpoint,
        step=stored.step,
        accuracy=accuracy,
        evaluation=max(evaluation, 0),
        baseline_accuracy=baseline,
        model_name=model_name_of_run(config, files, code.get(IDENTITIES["model"])),
    )


def _chosen(files: RunFiles, config: Config, checkpoint: Checkpoint) -> Stored:
    checkpoints = Checkpoints(files.checkpoints)
    try:
        steps = checkpoints.steps
        if not steps:
            raise UserError(_no_checkpoint(files.folder))
        if checkpoint == "last":
            return checkpoints.whole(steps[-1])
        found = [checkpoints.whole(step) for step in steps]
    finally:
        checkpoints.close()
    return max(found, key=lambda stored: (_accuracy(stored, config) or 0.0, stored.step))


def _accuracy(stored: Stored, config: Config) -> float | None:
    """Of the very state in a checkpoint; None where it was not evaluated."""
    epoch, step = stored.position.get("epoch", 0), stored.position.get("step", 0)
    training = config.training
    last = epoch == training.epochs or (training.steps is not None and stored.step >= training.steps)
    evaluated = epoch > 0 and step == 0 and (epoch % training.eval_every == 0 or last)
    return float(stored.position["test_accuracy"]) if evaluated else None


def _calibration(config: Config, files: RunFiles) -> Calibration | None:
    if config.imc.path == "float":
        # A float baseline may be put on the chip of the run that it stands beside.
        beside = RunFiles(files.folder.parent)
        is_baseline = beside.calibration.is_file() and beside.baseline.folder == files.folder
        return load_calibration(str(beside.calibration.absolute())) if is_baseline else None
    kept = files.calibration
    return load_calibration(str(kept.absolute()) if kept.is_file() else config.imc.calibration)


def _no_checkpoint(folder: Path) -> str:
    return f"{folder} has no checkpoint: train it first (imctrain run --resume {folder})"
