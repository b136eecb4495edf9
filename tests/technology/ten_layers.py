"""The CIFAR-10 networks that Jia et al. (JSSC 55(9) 2020; arXiv 1811.04047) ran on their 65 nm chip, as data.

What is sure: energy an image, images a second and accuracies of both networks, and that they are VGG-like with 9 layers
(public notes on the paper, which quote its Fig. 11; the paper itself could not be opened). They are also spoken of as
networks of ten layers: ten is the number of classes.

What is not: no source with LAYERS or SUPPLY_V could be opened. Both agree with all four published numbers
(`test_ten_layers.py`); at 0.85 V neither energy would. Least certain are the 256 channels of the last two convolutions,
which could be 512.
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
SUPPLY_V = 1.2
"""The higher of the two at which the chip was measured."""
NETWORKS = (Published(4, 105.2, 23.0, 92.4), Published(1, 5.31, 176.0, 89.3))
UNCERTAIN = (
    "layers: not confirmed, except that there are 9 and that they are VGG-like",
    "supply: 1.2 V fits, 0.85 V does not",
    "boundary: whether the CPU, DMA and weight loading are in the energy is not known",
    "1-b network: its outputs are binarised by an analogue comparison with a batch-norm threshold, not by converter "
    "and datapath; the energy of that is not known, the converter's is an upper bound",
    "sparsity: rows whose input is 0 are masked on the chip; the share of zeros is not known",
)
