"""A flax nnx network of your own, trained on the array and in float.

python examples/nnx_network.py [--quick]
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import imctrain
from imctrain.data import load


class Net(nnx.Module):
    """8x8 images -> logits. It knows nothing of the array."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(64, 48, rngs=rngs)
        self.norm = nnx.BatchNorm(48, rngs=rngs)
        self.head = nnx.Linear(48, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        hidden = self.first(images.reshape(len(images), -1))
        return self.head(nnx.relu(self.norm(hidden)))


def loss(model: Net, images: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


def accuracy(model: Net, images: jax.Array, labels: jax.Array) -> float:
    """In float, with the weights as they were trained."""
    model.eval()
    return float(jnp.mean(jnp.argmax(model(images), -1) == labels))


def train(data, hardware: imctrain.Hardware | None, epochs: int, batch: int = 64) -> float:
    """Test accuracy after training; `hardware` None trains in float."""
    images, labels, test_images, test_labels = data
    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)
    if hardware is not None:
        on_array = imctrain.on_imc(loss, hardware)
        state = on_array.init(model, images[:batch], labels[:batch])
        print(on_array.ledger(model, images[:batch], labels[:batch]))
        cost = on_array.cost(model, images[:batch], labels[:batch])
        print(f"a step takes {1e6 * cost.energy.total.value:.3g} uJ on the array's chip")

    @nnx.jit
    def float_step(model, optimizer, images, labels):
        optimizer.update(model, nnx.grad(loss)(model, images, labels))

    @nnx.jit
    def array_step(model, optimizer, state, images, labels, key):
        run = nnx.grad(lambda m, s: on_array(m, images, labels, key=key, state=s), argnums=(0, 1))
        gradients, telemetry = run(model, state)
        optimizer.update(model, gradients)
        return on_array.update(state, telemetry)

    key = jax.random.key(1)
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), len(images))
        for step in range(len(images) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            if hardware is None:
                float_step(model, optimizer, images[chosen], labels[chosen])
            else:
                noise = jax.random.fold_in(key, epoch * len(images) + step)
                state, reports = array_step(model, optimizer, state, images[chosen], labels[chosen], noise)
                on_array.check(reports)
    return accuracy(model, test_images, test_labels)


def digits(count: int | None):
    """(images, labels, test images, test labels) of the handwritten digits that come with the package."""
    data = load("digits")
    parts = []
    for split in (data.train, data.test):
        parts += [jnp.asarray(split.images[:count] / 255.0 - 0.5, jnp.float32), jnp.asarray(split.labels[:count])]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and epochs")
    quick = parser.parse_args().quick
    data, epochs = digits(512 if quick else None), 3 if quick else 15
    hardware = imctrain.Hardware.from_calibration("feasible-assumed", preset="robust", path="auto")
    on_array = train(data, hardware, epochs)
    in_float = train(data, None, epochs)
    print(f"test accuracy {on_array:.1%} trained on the array, {in_float:.1%} trained in float; both tested in float")


if __name__ == "__main__":
    main()
