"""Operations that bring operands to codes, element by element: what the digital side does before an MVM.

The clip's statistic is counted from its own program (`operations`), whatever the policy. The rest is this project's
count of what hardware needs:

    integer code        a multiplication by 1 / scale, an addition to round and saturate
    gradient            a comparison for the scale; an addition for each sample (the exponent is read off the float),
                        and random bits where rounding is stochastic
    straight-through    a comparison for each activation whose gradient is masked; one more where a clip is learned
    preserved sums      two additions an element of the gradient and one of the operand, a multiply-add a weight
    chopping            a random bit for each vector

A radix-4 or integer code becomes the codes of its passes by a small table beside the row drivers: part of the driver.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from imctrain.cost.operations import Operations, count_operations
from imctrain.imc.coding.levels import rounding
from imctrain.imc.mvm.operand import OperandInfo, integer_format, is_encoded
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.site.encode import policy_of
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import FormatSpec

RANDOM_BITS = 8
"""Of a stochastic rounding (this project's decision; simulated draws are finer)."""


def encoding_of(spec: SiteSpec, plan: MvmPlan, gradient: int, gradient_mvms: Sequence[str]) -> Operations:
    """What is encoded for one execution of an MVM: its operands for a forward one, the gradient for the others.

    Args:
        gradient: elements of the output's gradient.
        gradient_mvms: those that run at the site. Both use one encoding, counted at the first, unless the rounding
            makes one for each.
    """
    formats = spec.hardware.formats
    total = Operations(random_bits=plan.groups * plan.vectors) if spec.hardware.array.chop else Operations()
    if plan.name == "forward":
        for shape, info in ((spec.lhs_shape, spec.lhs), (spec.rhs_shape, spec.rhs)):
            if info.kind == "gradient":
                total += _scale(math.prod(shape), formats) + _draws(math.prod(shape), plan.samples, formats)
            elif is_encoded(info, formats):
                total += _integer(shape, info, formats)
        return total
    if plan.name == gradient_mvms[0]:
        total += _scale(gradient, formats)
    if plan.name == gradient_mvms[0] or rounding(formats).encodes_twice:
        total += _draws(gradient, plan.samples, formats)
    if plan.name == "weight_grad" and formats.preserve_sums:
        driven, stored = math.prod(spec.lhs_shape), math.prod(spec.rhs_shape)
        if spec.driven == "rhs":
            driven, stored = stored, driven
        total += Operations(additions=2 * gradient + driven + stored, multiplications=stored)
    return total


def _scale(elements: int, formats: FormatSpec) -> Operations:
    """The largest magnitude."""
    return Operations(additions=elements) if "gradients" in formats.quantise else Operations()


def _draws(elements: int, samples: int, formats: FormatSpec) -> Operations:
    """Levels of one encoding; its samples share their random bits (systematic sampling)."""
    if "gradients" not in formats.quantise:
        return Operations()
    if not rounding(formats).unbiased:
        return Operations(additions=elements)
    return Operations(additions=samples * elements, random_bits=RANDOM_BITS * elements)


@functools.cache
def _integer(shape: tuple[int, ...], info: OperandInfo, formats: FormatSpec) -> Operations:
    elements = math.prod(shape)
    policy, fmt = policy_of(info, formats), integer_format(info, formats)
    statistic = jax.make_jaxpr(lambda x: policy.statistic(x, fmt))(jax.ShapeDtypeStruct(shape, jnp.float32))
    masked = info.kind != "weight" and info.differentiated
    extra = elements * (masked + (masked and policy.learned))
    return count_operations(statistic) + Operations(additions=elements + extra, multiplications=elements)
