"""The CIFAR-10 networks that Jia et al. ran on their 65 nm chip (arXiv 1811.04047, Fig. 11), as data.

The text prints layers, energy an image, images a second and accuracy of both networks, and the supply: 0.85 V, and
0.7 V for memories and the reshaping buffer. They are also spoken of as networks of ten layers: ten is the number of
classes.
"""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """A convolution (3 x 3, padded, stride 1) or a fully connected layer.

    Attributes:
        kind: "conv" or "dense". inputs, outputs: channels, or features. kernel: side. image: side of the output before
            any pooling; 1 for dense. pooled: by 2 x 2 afterwards.
    """

    kind: str
    inputs: int
    outputs: int
    kernel: int
    image: int
    pooled: bool = False

    @property
    def rows(self) -> int:
        """Products that are added up."""
        return self.inputs * self.kernel**2

    @property
    def vectors(self) -> int:
        """An image."""
        return self.image**2


class Published(NamedTuple):
    """One network. bits: of weights and of activations. energy_uj: an image. accuracy: on the chip, per cent."""

    bits: int
    energy_uj: float
    images_per_s: float
    accuracy: float


LAYERS = (
    Layer("conv", 3, 128, 3, 32),
    Layer("conv", 128, 128, 3, 32, pooled=True),
    Layer("conv", 128, 256, 3, 16),
    Layer("conv", 256, 256, 3, 16, pooled=True),
    Layer("conv", 256, 256, 3, 8),
    Layer("conv", 256, 256, 3, 8, pooled=True),
    Layer("dense", 4096, 1024, 1, 1),
    Layer("dense", 1024, 1024, 1, 1),
    Layer("dense", 1024, 10, 1, 1),
)
SUPPLY_V = 0.85
"""Of the array, its converters and the datapath."""
NETWORKS = (Published(4, 105.2, 23.0, 92.4), Published(1, 5.31, 176.0, 89.3))
UNCERTAIN = (
    "boundary: whether the CPU, DMA, memories and weight loading are in the energy is not said",
    "1-b network: its outputs are binarised by an analogue comparison with a batch-norm threshold (4.92 pJ a column), "
    "not by converter and datapath",
    "sparsity: rows whose input is 0 are masked on the chip; the share of zeros is not printed",
)
