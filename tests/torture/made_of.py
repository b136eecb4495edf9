"""What the campaign trains, sweeps and imports."""

from __future__ import annotations

from pathlib import Path

CONFIG = """
name = "tiny"
tensorboard = false
data = { name = "digits", batch_size = 32, eval_batch_size = 180, train_limit = 256 }
model = { name = "mlp", width = 16 }
training = { epochs = 4, log_every = 3 }
imc.array = { replicate = true }
imc.adc = { range_policy = "per_site" }
checkpoint = { every_steps = 3 }
"""
SWEEP = """
config = "tiny.toml"
references = []
[axes]
"imc.noise.sigma_lsb" = [0.5, 1.0, 2.0]
"""


def images_of(folder: Path, count: int = 240) -> Path:
    """Pictures in a folder for each of three classes."""
    import numpy as np
    from PIL import Image

    if not folder.exists():
        rng = np.random.default_rng(0)
        for number in range(count):
            place = folder / "abc"[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(place / f"{number}.png")
    return folder
