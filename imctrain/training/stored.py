"""What a checkpoint holds, once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from imctrain.errors import UserError

JsonObject = dict[str, Any]
"""A JSON object as it is read: what is in it is for the reader to say."""


SITES = "sites"
"""Part of a checkpoint: what sites carry, by name."""


@dataclass(frozen=True)
class Stored:
    """The content of one checkpoint.

    Attributes:
        folder: of the run's checkpoints. step: steps taken. arrays: by path of the leaf. position: plain JSON values.
        about: as given to `Checkpoints.save`; None for a checkpoint of a version that stored none.
        damaged: {step: why} of newer checkpoints that cannot be read, newest first.
    """

    folder: Path
    step: int
    arrays: dict[str, np.ndarray]
    position: JsonObject
    about: JsonObject | None
    damaged: dict[int, str]

    def fit(self, template: PyTree, former_names: Mapping[str, str] = MappingProxyType({})) -> PyTree:
        """The arrays in the structure, shapes and dtypes of `template`.

        Args:
            former_names: of sites, for a checkpoint from when they had these.

        Raises UserError for a checkpoint that is not of such a state.
        """
        # Given the template, orbax would cut or pad arrays of other shapes.
        leaves = []
        originals = jax.tree.leaves(template)
        for (name, expected), original in zip(flat(template).items(), originals, strict=True):
            leaf = stored_leaf(self.arrays, name, former_names)
            if leaf is None or leaf.shape != expected.shape or leaf.dtype != expected.dtype:
                there = "nothing" if leaf is None else f"{leaf.dtype} {leaf.shape}"
                raise UserError(
                    f"checkpoint {self.step} in {self.folder} does not fit this run: {name} is {there}, expected "
                    f"{expected.dtype} {expected.shape}; start a new run"
                )
            leaves.append(as_leaf(leaf, original))
        return jax.tree.unflatten(jax.tree.structure(template), leaves)


def stored_leaf(arrays: Mapping[str, np.ndarray], path: str, former_names: Mapping[str, str]) -> np.ndarray | None:
    """The array at a path; that of a site also where it is stored under the site's former name."""
    if path in arrays:
        return arrays[path]
    for name, former in former_names.items():
        inside = path.removeprefix(f"{SITES}/{name}/")
        if inside != path and (found := arrays.get(f"{SITES}/{former}/{inside}")) is not None:
            return found
    return None


def flat(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): _plain(leaf) for path, leaf in leaves}


def is_key(leaf: PyTree) -> bool:
    """Whether a leaf holds random keys of jax, which numpy has no dtype for; it may be a `jax.ShapeDtypeStruct`."""
    return jnp.issubdtype(getattr(leaf, "dtype", np.dtype(np.float32)), jax.dtypes.prng_key)


def plain_form(leaf: PyTree) -> jax.ShapeDtypeStruct:
    """Shape and dtype that a leaf is stored with: keys as the integers that they are."""
    made = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(made.shape, made.dtype)


def as_leaf(stored: np.ndarray, leaf: PyTree) -> PyTree:
    """What is stored, as a leaf like `leaf`."""
    if not is_key(leaf):
        return stored
    implementation = []
    jax.eval_shape(lambda key: implementation.append(jax.random.key_impl(key)), leaf)
    return jax.random.wrap_key_data(jnp.asarray(stored), impl=implementation[0])


def _plain(leaf: PyTree) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
