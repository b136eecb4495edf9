"""A flax nnx network as pure functions of its parameters, ready for `on_imc` and `jax.grad`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jaxtyping import Float, PyTree

from imctrain.models import build
from imctrain.models.own import KEY, check_logits, check_network, mode_of
from imctrain.own_code import Source, told

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
        source, arguments: of a network that a user wrote: its code, and what it is called with beside.

    Raises UserError for a network that cannot be made, or does not fit the images.
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
        arguments: Mapping[str, Any] = MappingProxyType({}),
        source: Source | None = None,
    ):
        def make() -> nnx.Module:
            rngs = nnx.Rngs(seed)
            return build(name, shape=shape, classes=classes, width=width, rngs=rngs, arguments=arguments, source=source)

        model = nnx.eval_shape(make) if abstract else make()
        self._name, self._classes, self._source = name, classes, source
        self._modes = [{}, {}] if source is None else [mode_of(model, evaluate=mode) for mode in (False, True)]
        model.train()
        self.params: PyTree
        self.rest: PyTree
        self._train_graph, (self.params, self.rest) = _split(model)
        model.eval()
        self._eval_graph = nnx.graphdef(model)
        if source is not None:
            if not abstract:
                # A step gives its input's memory away, which variables that share some cannot do.
                self.params, self.rest = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), (self.params, self.rest))
            check_network(name, self.train_forward, self.params, self.rest, shape)

    def train_forward(self, params: PyTree, rest: PyTree, images: Images) -> tuple[Logits, PyTree]:
        """(logits [b, classes], the batch statistics after this batch)."""
        model = nnx.merge(self._train_graph, params, rest, copy=True)
        logits = self._call(model, images, evaluate=False)
        return logits, nnx.state(model, nnx.Not(nnx.Param))

    def eval_forward(self, params: PyTree, rest: PyTree, images: Images) -> Logits:
        """Logits with the running batch statistics."""
        return self._call(nnx.merge(self._eval_graph, params, rest, copy=True), images, evaluate=True)

    def _call(self, model: nnx.Module, images: Images, *, evaluate: bool) -> Logits:
        with told(self._source, f"{KEY} = {self._name!r}, given images {list(images.shape)}"):
            logits: Logits = model(images, **self._modes[evaluate])  # type: ignore[operator]
        if self._source is None:
            return logits
        check_logits(self._name, logits, images, self._classes)
        return logits.astype(jnp.float32)

    def module(self, params: PyTree, rest: PyTree) -> nnx.Module:
        """A module of its own with these values, set to evaluate."""
        return nnx.merge(self._eval_graph, params, rest, copy=True)

    @property
    def parameter_count(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def _split(model: nnx.Module) -> tuple[nnx.GraphDef[nnx.Module], tuple[PyTree, PyTree]]:
    graph, params, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return graph, (params, rest)
