"""imctrain: train neural networks in JAX on a simulated in-memory-computing array."""

__version__ = "0.1.0"
