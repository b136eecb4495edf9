"""The list of data sets that imctrain knows by name; any other name is data of the user's own.

An official data set is a file of `published/` and a place in `OFFICIAL`; everything else that knows the names takes
them from there.
"""

from __future__ import annotations

from types import MappingProxyType

from imctrain.data.digits import DIGITS, NAME, load_digits
from imctrain.data.published.cifar10 import CIFAR10
from imctrain.data.published.cifar100 import CIFAR100
from imctrain.data.published.emnist import EMNIST
from imctrain.data.published.fashion_mnist import FASHION_MNIST
from imctrain.data.published.kmnist import KMNIST
from imctrain.data.published.mnist import MNIST
from imctrain.data.published.svhn import SVHN

_KNOWN = (CIFAR10, CIFAR100, MNIST, FASHION_MNIST, KMNIST, *EMNIST, SVHN)

OFFICIAL = MappingProxyType({known.name: known for known in _KNOWN})
"""Data sets that are imported from the files that were published."""
EMBEDDED = MappingProxyType({NAME: load_digits})
"""Data sets that come with an installed package: what loads each."""
EXPECTED = MappingProxyType({NAME: DIGITS} | {known.name: known.expected for known in _KNOWN})
"""What is known of a data set that was not read."""
