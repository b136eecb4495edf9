"""Convolution geometry in one canonical layout: images [B, *S, C], kernels [*k, C/G, G*N], outputs [B, *O, G*N].

The three MVMs of a convolution (stride s, padding lo/hi, image dilation a, kernel dilation r, groups G):

    forward      out = conv(x, w)                           contracts k * C/G elements
    input_grad   dx  = conv(dy dilated by s, flipped w^T)   contracts k * N elements; a convolution again (`transpose`)
    weight_grad  dw  = patches(x)^T dy                      contracts B * O elements
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class ConvGeometry:
    """Static description of a convolution in canonical layout.

    Attributes:
        image: spatial sizes S. kernel: spatial sizes k. channels: C. outputs: G*N. groups: G. batch: B.
        strides, padding, image_dilation, kernel_dilation: as `jax.lax.conv_general_dilated` has them.
    """

    batch: int
    image: tuple[int, ...]
    kernel: tuple[int, ...]
    channels: int
    outputs: int
    groups: int
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    image_dilation: tuple[int, ...]
    kernel_dilation: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Kernel positions, prod(k)."""
        return math.prod(self.kernel)

    @property
    def group_channels(self) -> int:
        return self.channels // self.groups

    @property
    def group_outputs(self) -> int:
        return self.outputs // self.groups

    @property
    def dilated_image(self) -> tuple[int, ...]:
        return tuple((s - 1) * a + 1 for s, a in zip(self.image, self.image_dilation, strict=True))

    @property
    def dilated_kernel(self) -> tuple[int, ...]:
        return tuple((k - 1) * r + 1 for k, r in zip(self.kernel, self.kernel_dilation, strict=True))

    @property
    def output(self) -> tuple[int, ...]:
        """Spatial sizes O of the output."""
        sizes = zip(self.dilated_image, self.padding, self.dilated_kernel, self.strides, strict=True)
        return tuple((s + lo + hi - k) // stride + 1 for s, (lo, hi), k, stride in sizes)

    def transpose(self) -> ConvGeometry:
        """The convolution that maps the output's gradient to the image's (kernel flipped, its channels swapped)."""
        padding = []
        for s, o, (lo, _), k, stride in zip(
            self.dilated_image, self.output, self.padding, self.dilated_kernel, self.strides, strict=True
        ):
            before = k - 1 - lo
            padding.append((before, s + k - 1 - ((o - 1) * stride + 1) - before))
        return ConvGeometry(
            batch=self.batch,
            image=self.output,
            kernel=self.kernel,
            channels=self.outputs,
            outputs=self.channels,
            groups=self.groups,
            strides=self.image_dilation,
            padding=tuple(padding),
            image_dilation=self.strides,
            kernel_dilation=self.kernel_dilation,
        )

    def transpose_kernel(self, w: Array) -> Array:
        """The kernel of `transpose()`: [*k, N, G*(C/G)] from [*k, C/G, G*N]."""
        spatial = tuple(range(len(self.kernel)))
        split = jnp.flip(w, spatial).reshape(*self.kernel, self.group_channels, self.groups, self.group_outputs)
        swapped = jnp.moveaxis(split, -1, -3)  # [*k, N, C/G, G]
        return jnp.swapaxes(swapped, -1, -2).reshape(*self.kernel, self.group_outputs, self.channels)

    def convolve(self, x: Array, w: Array) -> Array:
        """The convolution itself, float32; `w` may have a multiple of `outputs` channels (planes side by side)."""
        n = len(self.image)
        axes = "DHW"[-n:] if n <= 3 else "".join(chr(ord("a") + i) for i in range(n))
        layout = ("N" + axes + "C", axes + "IO", "N" + axes + "C")
        return jax.lax.conv_general_dilated(
            x,
            w,
            self.strides,
            self.padding,
            lhs_dilation=self.image_dilation,
            rhs_dilation=self.kernel_dilation,
            dimension_numbers=layout,
            feature_group_count=self.groups,
            preferred_element_type=jnp.float32,
        )

    def kernel_gradient(self, x: Array, g: Array) -> Array:
        """dw [*k, C/G, G*N] of `convolve` from images x and the output's gradient g, float32.

        Without groups it is written as a convolution in canonical layout (images and channels trade places). XLA on a
        CPU brings other layouts to this one at the top level of a program only: inside a conditional or a loop, the
        transpose of `convolve` takes 60 times as long.
        """
        if self.groups > 1:
            kernel = jax.ShapeDtypeStruct((*self.kernel, self.group_channels, self.outputs), jnp.float32)
            return jax.linear_transpose(lambda w: self.convolve(x, w), kernel)(g)[0]
        spatial = range(1, len(self.image) + 1)
        padding = []
        for s, o, (lo, _), k, stride in zip(
            self.dilated_image, self.output, self.padding, self.dilated_kernel, self.strides, strict=True
        ):
            padding.append((lo, k + (o - 1) * stride - s - lo))
        swapped = ConvGeometry(
            batch=self.channels,
            image=self.image,
            kernel=self.output,
            channels=self.batch,
            outputs=self.outputs,
            groups=1,
            strides=self.kernel_dilation,
            padding=tuple(padding),
            image_dilation=self.image_dilation,
            kernel_dilation=self.strides,
        )
        out = swapped.convolve(jnp.transpose(x, (x.ndim - 1, *spatial, 0)), jnp.transpose(g, (*spatial, 0, g.ndim - 1)))
        return jnp.moveaxis(out, 0, -2)

    def patches(self, x: Array) -> Array:
        """What each output position sees: [G, k*C/G, B*O] (kernel positions slowest) from [B, *S, C].

        Positions are the last axis, so that a patch matrix is copied in runs of whole image rows and its contraction
        over positions is contiguous in memory.
        """
        spatial = tuple(range(2, 2 + len(self.image)))
        channel_major = jnp.transpose(x, (len(self.image) + 1, 0, *(i - 1 for i in spatial)))
        config = [(lo, hi, a - 1) for (lo, hi), a in zip(self.padding, self.image_dilation, strict=True)]
        padded = jax.lax.pad(channel_major, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *config])
        views = []
        for position in itertools.product(*(range(k) for k in self.kernel)):
            start = [i * r for i, r in zip(position, self.kernel_dilation, strict=True)]
            stop = [i + (o - 1) * s + 1 for i, o, s in zip(start, self.output, self.strides, strict=True)]
            view = jax.lax.slice(padded, [0, 0, *start], [*padded.shape[:2], *stop], [1, 1, *self.strides])
            views.append(view.reshape(self.groups, self.group_channels, -1))
        return jnp.stack(views, axis=1).reshape(self.groups, self.taps * self.group_channels, -1)
