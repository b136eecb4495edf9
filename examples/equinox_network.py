"""An equinox network, trained on the array and in float.

python examples/equinox_network.py [--quick]
"""

from __future__ import annotations

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from nnx_network import digits

import imctrain


def loss(model: eqx.Module, images: jax.Array, labels: jax.Array) -> jax.Array:
    logits = jax.vmap(model)(images.reshape(len(images), -1))
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def train(data, hardware: imctrain.Hardware | None, epochs: int, batch: int = 64) -> float:
    """Test accuracy after training; `hardware` None trains in float."""
    images, labels, test_images, test_labels = data
    model = eqx.nn.MLP(64, 10, width_size=48, depth=1, key=jax.random.key(0))
    optimizer = optax.adam(3e-3)
    moments = optimizer.init(eqx.filter(model, eqx.is_array))
    on_array = None if hardware is None else imctrain.on_imc(loss, hardware)
    state = {}
    if on_array is not None:
        state = on_array.init(model, images[:batch], labels[:batch])
        print("sites:", ", ".join(on_array.ledger(model, images[:batch], labels[:batch]).names))
        cost = on_array.cost(model, images[:batch], labels[:batch])
        print(f"a step takes {1e6 * cost.energy.total.value:.3g} uJ on the array's chip")

    @eqx.filter_jit
    def step(model, moments, state, images, labels, key):
        def run(model_and_state):
            model, state = model_and_state
            if on_array is None:
                return loss(model, images, labels)
            return on_array(model, images, labels, key=key, state=state)

        gradients, telemetry = eqx.filter_grad(run)((model, state))
        if on_array is not None:
            state, _ = on_array.update(state, telemetry)
        updates, moments = optimizer.update(gradients, moments)
        return eqx.apply_updates(model, updates), moments, state

    key = jax.random.key(1)
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), len(images))
        for number in range(len(images) // batch):
            chosen = order[number * batch : (number + 1) * batch]
            noise = jax.random.fold_in(key, epoch * len(images) + number)
            model, moments, state = step(model, moments, state, images[chosen], labels[chosen], noise)
    logits = jax.vmap(model)(test_images.reshape(len(test_images), -1))
    return float(jnp.mean(jnp.argmax(logits, -1) == test_labels))


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
