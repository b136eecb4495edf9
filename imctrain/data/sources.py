"""The list of data sets that imctrain knows by name; any other name is an image tree of the user's own.

An official data set is a file of this package and a place in `OFFICIAL`; everything else that knows the names takes
them from there.
"""

from __future__ import annotations

from types import MappingProxyType

from imctrain.data.cifar10 import CIFAR10
from imctrain.data.digits import NAME, load_digits
from imctrain.data.fashion_mnist import FASHION_MNIST

OFFICIAL = MappingProxyType({known.name: known for known in (CIFAR10, FASHION_MNIST)})
"""Data sets that are imported from the files that were published."""
EMBEDDED = MappingProxyType({NAME: load_digits})
"""Data sets that come with an installed package: what loads each."""
