"""Reference range of the converters: a policy for each name that `adc.range_policy` takes."""

from __future__ import annotations

import numpy as np
from jax import Array

from imctrain.families import member
from imctrain.imc.chip.ranges.base import RangePolicy
from imctrain.settings import AdcSpec


def range_policy(adc: AdcSpec) -> RangePolicy:
    """The policy of `adc.range_policy`: the file of that name beside this one."""
    policy: RangePolicy = member(__name__, adc.range_policy)
    return policy


def choose_range(needed: Array | np.ndarray, adc: AdcSpec) -> Array:
    """R of each pass, [P], see `RangePolicy.choose`."""
    return range_policy(adc).choose(needed, adc)
