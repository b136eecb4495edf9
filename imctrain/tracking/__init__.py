"""Who is told how a training goes: callbacks of the user, TensorBoard, and experiment trackers (no jax)."""

from imctrain.tracking.callback import Callback as Callback
from imctrain.tracking.callbacks import Callbacks as Callbacks
from imctrain.tracking.chosen import callbacks_of as callbacks_of
from imctrain.tracking.chosen import check_installed as check_installed
