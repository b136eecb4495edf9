"""What computes products in canonical layout (kernels), and what an MVM gives (a reading)."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from jax import Array
from jaxtyping import Float, Shaped

from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan

Ranges: TypeAlias = Float[Array, " passes"]
"""R of each pass."""
Driven: TypeAlias = Shaped[Array, "G M K"]
Stored: TypeAlias = Shaped[Array, "G N K"]
"""Operands of a product: groups, vectors or columns, contraction."""


class Reading(NamedTuple):
    """What an MVM on the array gives.

    Attributes:
        product: the estimate of the integer product, float32.
        clipped: fraction of conversions that fell outside the converter's codes, [P].
        v_mean, v_power: mean of v and of v^2 over all conversions, as the codes tell them, [P].
    """

    product: Float[Array, ...]
    clipped: Float[Array, " passes"]
    v_mean: Float[Array, " passes"]
    v_power: Float[Array, " passes"]


class Kernels(Protocol):
    """Three products; a module with these functions, or an object around one."""

    def matmul(self, x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
        """[G, M, K] x [G, N, K] -> [G, M, N]."""
        ...

    def convolve(
        self, x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        """[B, *S, C] and [*k, C/G, G*N] -> [B, *O, G*N]."""
        ...

    def kernel_gradient(
        self, g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed
    ) -> Reading:
        """dw [*k, C/G, G*N] of the convolution x -> g."""
        ...
