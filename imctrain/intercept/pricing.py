"""What a call of a function on the array does, for its bill: its matmuls, and its elementwise work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import PyTree

from imctrain.cost.program import elementwise_work
from imctrain.cost.step import Part, Step
from imctrain.intercept.arguments import arguments_of, is_array

if TYPE_CHECKING:
    from imctrain.intercept.transform import ImcFunction


def step_of(
    function: ImcFunction[Any],
    args: Sequence[PyTree],
    kwargs: Mapping[str, PyTree],
    *,
    parts: Sequence[Part] = (),
    backward: bool = True,
    images: int | None = None,
) -> Step:
    """One call with its gradients.

    Args:
        args, kwargs: of the function; they may be `jax.ShapeDtypeStruct`s.
        parts: work of the step beside the function. backward: whether gradients of the weights are taken.
    """
    with arguments_of(function._fn, tuple(args), dict(kwargs), function.weights) as given:
        program = function._program(given)
        trained = [weight for leaf, weight in zip(given.leaves, given.trained, strict=True) if is_array(leaf)]
        work = elementwise_work(program.block.jaxpr, trained, backward=backward)
        all_parts = (Part("elementwise", work), *parts)
        return Step(tuple(program.ledger), function.hardware, all_parts, backward, images)
