"""Data parallelism over all local devices: the batch is sharded, everything else replicated."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from imctrain.errors import UserError


class DataParallel:
    """Places batches and state on the local devices."""

    def __init__(self, batch_sizes: dict[str, int]):
        self.devices = jax.local_devices()
        for key, size in batch_sizes.items():
            if size % len(self.devices):
                raise UserError(
                    f"{key} = {size} does not divide over {len(self.devices)} devices: choose a multiple of "
                    f"{len(self.devices)}"
                )
        mesh = Mesh(np.asarray(self.devices), ("data",))
        self._batch = NamedSharding(mesh, PartitionSpec("data"))
        self._replicated = NamedSharding(mesh, PartitionSpec())

    def batch(self, *arrays: PyTree) -> PyTree:
        """Arrays with the batch first, each device holding its share."""
        if len(self.devices) == 1:
            return arrays
        return jax.device_put(arrays, self._batch)

    def replicate(self, tree: PyTree) -> PyTree:
        """The same on every device."""
        if len(self.devices) == 1:
            return tree
        return jax.device_put(tree, self._replicated)
