"""A sample of a gradient MVM's operands, as matrices, small enough to keep.

A sample holds some input vectors, some outputs and some whole row tiles of the MVM, so that every conversion it leads
to is one that the MVM itself does, on the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Reading

BUDGET = 24_000
"""Elements of both operands that a sample holds, about."""
LEAST = 8
"""Vectors, and outputs, that a sample holds where there are so many, before it holds more tiles."""
MOST = 48
"""Vectors, and outputs, that a sample holds at most: more would only take longer to convert."""
IMAGES = 8
"""Images of a batch that the vectors of a convolution are taken from, at most."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Operands of a part of an MVM.

    Attributes:
        driven: [G', M', K'], one row an input vector. stored: [G', N', K'], one row an output. Their contraction is
            the sampled tiles one after the other.
        tile: rows of a tile, K' = tile * (sampled tiles). of_tiles: T, tiles of the whole MVM.
    """

    driven: Values
    stored: Values
    tile: int
    of_tiles: int


class Sampler:
    """An engine (interface of `contraction.Engine`) that computes nothing: it keeps a sample of what it is given.

    Operands may be any numbers, codes or not; products are zeros. `sample` is set by the one call it is made for.
    """

    def __init__(self, seed: tuple[int, ...], budget: int = BUDGET):
        self._rng = np.random.default_rng(seed)
        self._budget = budget
        self.sample: Sample

    def matmul(self, x: Array, w: Array, plan: MvmPlan, ranges: Array, seed: Array) -> Reading:
        """[G, M, K] x [G, N, K]."""
        size = plan.tiles.size
        rows = np.concatenate([np.arange(first, first + size) for first in self._tiles(plan, size)])
        self._keep(np.asarray(x[..., rows]), np.asarray(w[..., rows]), plan, size)
        return _nothing((*x.shape[:2], w.shape[1]), plan)

    def convolve(
        self, x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array
    ) -> Reading:
        """Images [B, *S, C] and a kernel [*k, C/G, G*N]: a vector is what one output position sees."""
        images = np.sort(self._rng.choice(geometry.batch, min(geometry.batch, IMAGES), replace=False))
        part = replace(geometry, batch=len(images))
        taps, channels = geometry.taps, geometry.group_channels
        patches = np.asarray(part.patches(x[images])).reshape(geometry.groups, taps, channels, -1)
        kernel = np.asarray(w).reshape(taps, channels, geometry.groups, -1)
        # Tiles cut channels and keep the kernel positions of each together.
        driven = patches.transpose(0, 3, 2, 1).reshape(geometry.groups, -1, channels * taps)
        stored = kernel.transpose(2, 3, 1, 0).reshape(geometry.groups, -1, channels * taps)
        size = plan.tiles.size * plan.tiles.unit
        rows = np.concatenate([np.arange(first, first + size) for first in self._tiles(plan, size)])
        self._keep(driven[..., rows], stored[..., rows], plan, size)
        return _nothing((geometry.batch, *geometry.output, geometry.outputs), plan)

    def kernel_gradient(
        self, g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array
    ) -> Reading:
        """Output gradients [B, *O, G*N] and images [B, *S, C]: the contraction runs over all output positions."""
        positions = plan.contraction // geometry.batch
        size = plan.tiles.size
        driven, stored = [], []
        for first in self._tiles(plan, size):
            # Patches of a whole batch would take gigabytes: only the images that a tile covers are laid out.
            begin, end = first // positions, -(-(first + size) // positions)
            part = replace(geometry, batch=end - begin)
            rows = slice(first - begin * positions, first - begin * positions + size)
            gradients = np.asarray(g[begin:end]).reshape(-1, geometry.groups, geometry.group_outputs)
            driven.append(np.moveaxis(gradients, 0, -1)[..., rows])
            stored.append(np.asarray(part.patches(x[begin:end]))[..., rows])
        self._keep(np.concatenate(driven, axis=-1), np.concatenate(stored, axis=-1), plan, size)
        return _nothing((*geometry.kernel, geometry.group_channels, geometry.outputs), plan)

    def _tiles(self, plan: MvmPlan, size: int) -> list[int]:
        """First rows of the tiles to keep, out of those that are full."""
        tiles = plan.tiles
        full = tiles.count - (tiles.count > 1 and tiles.padded > tiles.units)
        least = min(plan.vectors, LEAST) + min(plan.outputs, LEAST)
        count = min(full, max(1, self._budget // (least * size)))
        return [size * int(t) for t in np.sort(self._rng.choice(full, count, replace=False))]

    def _keep(self, driven: npt.NDArray, stored: npt.NDArray, plan: MvmPlan, tile: int) -> None:
        """Choose groups, vectors and outputs of operands [G, M, K'] and [G, N, K']."""
        (groups, vectors, rows), outputs = driven.shape, stored.shape[1]
        each = max(self._budget // rows, 2)
        m, n, kept_groups = min(vectors, MOST), min(outputs, MOST), 1
        if m + n <= each:
            kept_groups = min(groups, each // (m + n), max(1, MOST * MOST // (m * n)))
        else:
            m = min(m, max(each // 2, each - n))
            n = min(n, each - m)
        some_groups = np.sort(self._rng.choice(groups, kept_groups, replace=False))
        some_vectors = np.sort(self._rng.choice(vectors, m, replace=False))
        some_outputs = np.sort(self._rng.choice(outputs, n, replace=False))
        self.sample = Sample(
            np.asarray(driven[np.ix_(some_groups, some_vectors)], np.float32),
            np.asarray(stored[np.ix_(some_groups, some_outputs)], np.float32),
            tile,
            plan.tiles.count,
        )


def _nothing(shape: tuple[int, ...], plan: MvmPlan) -> Reading:
    zero = jnp.zeros(plan.passes, jnp.float32)
    return Reading(jnp.zeros(shape, jnp.float32), zero, zero, zero)
