"""The two bilinear primitives, `dot_general` and `conv_general_dilated`, in canonical layout.

Kernels (`products`) offer `matmul`, `convolve` and `kernel_gradient`. A contraction brings operands to canonical
layout, calls a kernel for one of three products, and brings the result back:

    product    out      from lhs and rhs, either of them driven
    lhs_grad   d lhs    from the output's gradient (driven) and rhs (stored)
    rhs_grad   d rhs    from the output's gradient (driven) and lhs (stored)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Kernels, Ranges, Reading

Side = Literal["lhs", "rhs"]


@dataclass(frozen=True)
class Sizes:
    """G products of M input vectors with N stored vectors of K elements, see `plan.plan_mvm`."""

    groups: int
    vectors: int
    contraction: int
    outputs: int
    unit: int
    shared_columns: bool


@dataclass(frozen=True)
class DotSpec:
    """Static parameters of `lax.dot_general`: ((lhs contracting, rhs contracting), (lhs batch, rhs batch))."""

    dimension_numbers: tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class ConvSpec:
    """Static parameters of `lax.conv_general_dilated`, padding explicit.

    `dimension_numbers` holds lhs_spec, rhs_spec and out_spec as `lax.ConvDimensionNumbers` has them: positions of
    (batch, feature, *spatial), (out feature, in feature, *spatial) and (batch, feature, *spatial).
    """

    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    feature_group_count: int = 1
    batch_group_count: int = 1


Product = Literal["product", "lhs_grad", "rhs_grad"]


class DotContraction:
    """`dot_general`: batch dimensions are groups whose operands use the same columns in turn."""

    def __init__(self, spec: DotSpec, lhs_shape: tuple[int, ...], rhs_shape: tuple[int, ...]):
        (lc, rc), (lb, rb) = spec.dimension_numbers
        self._lhs_free = tuple(i for i in range(len(lhs_shape)) if i not in lc and i not in lb)
        self._rhs_free = tuple(i for i in range(len(rhs_shape)) if i not in rc and i not in rb)
        self._lhs_order = (*lb, *self._lhs_free, *lc)
        self._rhs_order = (*rb, *rc, *self._rhs_free)
        self._lhs_shape, self._rhs_shape = lhs_shape, rhs_shape
        self.groups = math.prod(lhs_shape[i] for i in lb)
        self.m = math.prod(lhs_shape[i] for i in self._lhs_free)
        self.k = math.prod(lhs_shape[i] for i in lc)
        self.n = math.prod(rhs_shape[i] for i in self._rhs_free)
        free = [lhs_shape[i] for i in self._lhs_free] + [rhs_shape[i] for i in self._rhs_free]
        self.out_shape = (*(lhs_shape[i] for i in lb), *free)

    def sizes(self, product: Product, driven: Side = "lhs") -> Sizes:
        m, k, n = self.m, self.k, self.n
        if product == "product":
            dims = (m, k, n) if driven == "lhs" else (n, k, m)
        else:
            dims = (m, n, k) if product == "lhs_grad" else (n, m, k)
        return Sizes(self.groups, *dims, unit=1, shared_columns=True)

    def product(
        self, kernels: Kernels, plan: MvmPlan, lhs: Array, rhs: Array, driven: Side, ranges: Ranges, seed: Seed
    ) -> Reading:
        a, b = self._lhs(lhs), jnp.swapaxes(self._rhs(rhs), 1, 2)
        if driven == "lhs":
            reading = kernels.matmul(a, b, plan, ranges, seed)
            return reading._replace(product=reading.product.reshape(self.out_shape))
        reading = kernels.matmul(b, a, plan, ranges, seed)
        return reading._replace(product=jnp.swapaxes(reading.product, 1, 2).reshape(self.out_shape))

    def lhs_grad(self, kernels: Kernels, plan: MvmPlan, g: Array, rhs: Array, ranges: Ranges, seed: Seed) -> Reading:
        reading = kernels.matmul(self._out(g), self._rhs(rhs), plan, ranges, seed)
        return reading._replace(product=_from(reading.product, self._lhs_order, self._lhs_shape))

    def rhs_grad(self, kernels: Kernels, plan: MvmPlan, g: Array, lhs: Array, ranges: Ranges, seed: Seed) -> Reading:
        reading = kernels.matmul(
            jnp.swapaxes(self._out(g), 1, 2), jnp.swapaxes(self._lhs(lhs), 1, 2), plan, ranges, seed
        )
        return reading._replace(product=_from(jnp.swapaxes(reading.product, 1, 2), self._rhs_order, self._rhs_shape))

    def _lhs(self, x: Array) -> Array:
        return jnp.transpose(x, self._lhs_order).reshape(self.groups, self.m, self.k)

    def _rhs(self, x: Array) -> Array:
        return jnp.transpose(x, self._rhs_order).reshape(self.groups, self.k, self.n)

    def _out(self, g: Array) -> Array:
        return g.reshape(self.groups, self.m, self.n)


def _from(x: Array, order: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Undo `transpose(order).reshape(...)`."""
    return jnp.transpose(x.reshape([shape[i] for i in order]), [order.index(i) for i in range(len(order))])


class ConvContraction:
    """`conv_general_dilated`: stays a convolution unless one channel's kernel positions exceed the array's rows."""

    def __init__(self, spec: ConvSpec, lhs_shape: tuple[int, ...], rhs_shape: tuple[int, ...], rows: int):
        if spec.batch_group_count != 1:
            raise UserError(
                f"a convolution with batch_group_count = {spec.batch_group_count} (found where a kernel gradient is "
                "computed inside the function) has no array mapping: differentiate outside on_imc, or leave the site "
                "to a rule with path = 'float'"
            )
        lhs, rhs, self._out_spec = spec.dimension_numbers
        self._lhs_order = (lhs[0], *lhs[2:], lhs[1])
        self._rhs_order = (*rhs[2:], rhs[1], rhs[0])
        self._lhs_shape, self._rhs_shape = lhs_shape, rhs_shape
        self.geometry = ConvGeometry(
            batch=lhs_shape[lhs[0]],
            image=tuple(lhs_shape[i] for i in lhs[2:]),
            kernel=tuple(rhs_shape[i] for i in rhs[2:]),
            channels=lhs_shape[lhs[1]],
            outputs=rhs_shape[rhs[0]],
            groups=spec.feature_group_count,
            strides=spec.window_strides,
            padding=spec.padding,
            image_dilation=spec.lhs_dilation,
            kernel_dilation=spec.rhs_dilation,
        )
        self._fits = self.geometry.taps <= rows
        canonical = (self.geometry.batch, *self.geometry.output, self.geometry.outputs)
        self._out_order = (self._out_spec[0], *self._out_spec[2:], self._out_spec[1])
        self.out_shape = tuple(canonical[self._out_order.index(i)] for i in range(len(canonical)))

    def sizes(self, product: Product, driven: Side = "lhs") -> Sizes:
        geometry = self.geometry if product != "lhs_grad" else self.geometry.transpose()
        groups, taps = geometry.groups, geometry.taps
        depth = taps * geometry.group_channels
        positions = geometry.batch * math.prod(geometry.output)
        if product == "rhs_grad":
            dims, unit = (geometry.group_outputs, positions, depth), 1
        elif driven == "rhs":
            dims, unit = (geometry.group_outputs, depth, positions), 1
        else:
            dims, unit = (positions, depth, geometry.group_outputs), taps if self._fits else 1
        return Sizes(groups, *dims, unit=unit, shared_columns=False)

    def product(
        self, kernels: Kernels, plan: MvmPlan, lhs: Array, rhs: Array, driven: Side, ranges: Ranges, seed: Seed
    ) -> Reading:
        x, w = jnp.transpose(lhs, self._lhs_order), jnp.transpose(rhs, self._rhs_order)
        if driven == "lhs":
            reading = self._convolve(kernels, self.geometry, plan, x, w, ranges, seed)
        else:
            patches = jnp.swapaxes(self.geometry.patches(x), 1, 2)
            reading = kernels.matmul(self._kernel_matrix(self.geometry, w), patches, plan, ranges, seed)
            reading = self._image(reading._replace(product=jnp.swapaxes(reading.product, 1, 2)), self.geometry)
        return reading._replace(product=_from(reading.product, self._out_order, self.out_shape))

    def lhs_grad(self, kernels: Kernels, plan: MvmPlan, g: Array, rhs: Array, ranges: Ranges, seed: Seed) -> Reading:
        kernel = self.geometry.transpose_kernel(jnp.transpose(rhs, self._rhs_order))
        gradient = jnp.transpose(g, self._out_order)
        reading = self._convolve(kernels, self.geometry.transpose(), plan, gradient, kernel, ranges, seed)
        return reading._replace(product=_from(reading.product, self._lhs_order, self._lhs_shape))

    def rhs_grad(self, kernels: Kernels, plan: MvmPlan, g: Array, lhs: Array, ranges: Ranges, seed: Seed) -> Reading:
        x, gradient = jnp.transpose(lhs, self._lhs_order), jnp.transpose(g, self._out_order)
        reading = kernels.kernel_gradient(gradient, x, self.geometry, plan, ranges, seed)
        return reading._replace(product=_from(reading.product, self._rhs_order, self._rhs_shape))

    def _convolve(
        self, kernels: Kernels, geometry: ConvGeometry, plan: MvmPlan, x: Array, w: Array, ranges: Ranges, seed: Seed
    ) -> Reading:
        if self._fits:
            return kernels.convolve(x, w, geometry, plan, ranges, seed)
        reading = kernels.matmul(
            jnp.swapaxes(geometry.patches(x), 1, 2), self._kernel_matrix(geometry, w), plan, ranges, seed
        )
        return self._image(reading, geometry)

    @staticmethod
    def _kernel_matrix(geometry: ConvGeometry, w: Array) -> Array:
        """[G, N, k*C/G] from [*k, C/G, G*N]."""
        return w.reshape(geometry.taps * geometry.group_channels, geometry.groups, -1).transpose(1, 2, 0)

    @staticmethod
    def _image(reading: Reading, geometry: ConvGeometry) -> Reading:
        """[B, *O, G*N] from [G, B*O, N]."""
        image = jnp.moveaxis(reading.product, 0, 1)
        return reading._replace(product=image.reshape(geometry.batch, *geometry.output, geometry.outputs))
