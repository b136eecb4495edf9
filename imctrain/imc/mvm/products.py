"""What computes products in canonical layout (kernels), and what an MVM gives (a reading)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from jax import Array
from jaxtyping import Float

from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan


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
    """Three products; a module with these functions, or an object around one. ranges: R of each pass, [P]."""

    def matmul(self, x: Array, w: Array, plan: MvmPlan, ranges: Array, seed: Array) -> Reading:
        """[G, M, K] x [G, N, K] -> [G, M, N]."""
        ...

    def convolve(
        self, x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array
    ) -> Reading:
        """[B, *S, C] and [*k, C/G, G*N] -> [B, *O, G*N]."""
        ...

    def kernel_gradient(
        self, g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array
    ) -> Reading:
        """dw [*k, C/G, G*N] of the convolution x -> g."""
        ...
