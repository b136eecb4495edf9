"""A flax nnx network as pure functions of its parameters, ready for `on_imc` and `jax.grad`."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, PyTree

from imctrain.models import build

Images: TypeAlias = Float[Array | np.ndarray, "batch height width channels"]
Logits: TypeAlias = Float[Array, "batch classes"]


@runtime_checkable
class Forward(Protocol):
    """Both forward passes of a network, and what they start from (see `Network`)."""

    params: PyTree
    rest: PyTree

    def train_forward(self, params: PyTree, rest: PyTree, images: Array, /) -> tuple[Array, PyTree]: ...

    def eval_forward(self, params: PyTree, rest: PyTree, images: Array, /) -> Array: ...


class Network:
    """A model split into static structure and state.

    Attributes:
        params, rest: initial trained parameters, and the state that is not trained (batch statistics).

    Args:
        abstract: nothing is drawn or computed; the leaves of params and rest are `jax.ShapeDtypeStruct`s.
    """

    def __init__(
        self,
        name: str,
        *,
        shape: tuple[int, int, int],
        classes: int,
        width: int | None,
        seed: int,
        abstract: bool = False,
    ):
        def make() -> nnx.Module:
            return build(name, shape=shape, classes=classes, width=width, rngs=nnx.Rngs(seed))

        model = nnx.eval_shape(make) if abstract else make()
        model.train()
        self.params: PyTree
        self.rest: PyTree
        self._train_graph, (self.params, self.rest) = _split(model)
        model.eval()
        self._eval_graph = nnx.graphdef(model)

    def train_forward(self, params: PyTree, rest: PyTree, images: Images) -> tuple[Logits, PyTree]:
        """(logits [b, classes], the batch statistics after this batch)."""
        model = nnx.merge(self._train_graph, params, rest, copy=True)
        logits = model(images)
        return logits, nnx.state(model, nnx.Not(nnx.Param))

    def eval_forward(self, params: PyTree, rest: PyTree, images: Images) -> Logits:
        """Logits with the running batch statistics."""
        return nnx.merge(self._eval_graph, params, rest, copy=True)(images)

    def module(self, params: PyTree, rest: PyTree) -> nnx.Module:
        """A module of its own with these values, set to evaluate."""
        return nnx.merge(self._eval_graph, params, rest, copy=True)

    @property
    def parameter_count(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def _split(model: nnx.Module) -> tuple[nnx.GraphDef[nnx.Module], tuple[PyTree, PyTree]]:
    graph, params, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return graph, (params, rest)
