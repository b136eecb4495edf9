"""What a checkpoint holds, once it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from imctrain.errors import UserError

JsonObject = dict[str, Any]
"""A JSON object as it is read: what is in it is for the reader to say."""


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

    def fit(self, template: PyTree) -> PyTree:
        """The arrays in the structure, shapes and dtypes of `template`.

        Raises UserError for a checkpoint that is not of such a state.
        """
        # Given the template, orbax would cut or pad arrays of other shapes.
        leaves = []
        for name, expected in flat(template).items():
            leaf = self.arrays.get(name)
            if leaf is None or leaf.shape != expected.shape or leaf.dtype != expected.dtype:
                there = "nothing" if leaf is None else f"{leaf.dtype} {leaf.shape}"
                raise UserError(
                    f"checkpoint {self.step} in {self.folder} does not fit this run: {name} is {there}, expected "
                    f"{expected.dtype} {expected.shape}; start a new run"
                )
            leaves.append(leaf)
        return jax.tree.unflatten(jax.tree.structure(template), leaves)


def flat(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a tree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
