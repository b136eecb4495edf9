"""The settings of JAX that the simulator's own code is written for, whatever the program around it has chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def promotes_ranks(fn: Callable[P, R]) -> Callable[P, R]:
    """`fn`, in which shapes of different rank broadcast even under jax_numpy_rank_promotion = "raise" or "warn".

    It is for code that JAX runs later too, such as a backward rule: a setting around the call would be over by then.
    """

    @functools.wraps(fn)
    def allowed(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.numpy_rank_promotion("allow"):
            return fn(*args, **kwargs)

    return allowed
