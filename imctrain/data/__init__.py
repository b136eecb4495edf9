"""Data sets: import, memory-mapped loading, batches and augmentation."""

from imctrain.data.augment import Augment as Augment
from imctrain.data.batches import Batch as Batch
from imctrain.data.batches import Batches as Batches
from imctrain.data.dataset import Dataset as Dataset
from imctrain.data.dataset import Source as Source
from imctrain.data.dataset import Split as Split
from imctrain.data.holdout import Parts as Parts
from imctrain.data.holdout import held_images as held_images
from imctrain.data.holdout import in_words as in_words
from imctrain.data.holdout import limit as limit
from imctrain.data.holdout import parts_of as parts_of
from imctrain.data.loading import load as load
from imctrain.data.sources import EMBEDDED as EMBEDDED
from imctrain.data.sources import EXPECTED as EXPECTED
from imctrain.data.sources import OFFICIAL as OFFICIAL
