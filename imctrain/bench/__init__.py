"""Benchmarks of a training step: float, formats, statistical and exact, interleaved in one process."""

from imctrain.bench.measure import MODELS as MODELS
from imctrain.bench.measure import Result as Result
from imctrain.bench.measure import measure as measure
