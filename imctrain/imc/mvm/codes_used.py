"""What is really driven and stored in an MVM: what the energy of row drivers and cells depends on."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.imc.mvm.plan import MvmPlan


def codes_used(plan: MvmPlan, driven: Array, stored: Array) -> Float[Array, " 3"]:
    """Passes of a driven element whose code is not 0, its mean |code| / L over passes, the share of cells that are on.

    Args:
        driven: integer codes or radix-4 levels. stored: integer codes; both in any shape.

    Rows that are driven around a centre are always driven: all passes count.
    """
    codes = jnp.abs(plan.mapping.drive(driven))
    swing = jnp.mean(codes) / plan.hardware.array.levels
    passes = jnp.mean(jnp.sum(codes > 0, axis=0, dtype=jnp.float32))
    if plan.mapping.centre:
        passes = jnp.full((), plan.passes, jnp.float32)
    on = sum(jnp.mean(cells > 0, dtype=jnp.float32) for cells in plan.coding.cells(stored)) / plan.planes
    return jnp.stack([passes, swing, on])
