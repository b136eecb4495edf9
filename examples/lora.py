"""LoRA on a chip: a network that was trained in float is fine-tuned on the array, and only small matrices change.

Each layer computes x (W + A B). W stays as float training left it; A and B, of rank 4, learn on the chip what its noise
and mismatch took away.

python examples/lora.py [--quick]
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import optax
from nnx_network import digits

import imctrain

RANK = 4
LAYERS = ("first", "head")


def logits(base: dict, lora: dict, images: jax.Array) -> jax.Array:
    x = images.reshape(len(images), -1)
    for name in LAYERS:
        # In float: what is written into the array is the sum.
        weights = base[name] + jnp.sum(lora[name]["a"][:, :, None] * lora[name]["b"][None], axis=1)
        x = x @ weights
        x = jax.nn.relu(x) if name != LAYERS[-1] else x
    return x


def loss(base: dict, lora: dict, images: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits(base, lora, images), labels).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and epochs")
    quick = parser.parse_args().quick
    images, labels, test_images, test_labels = digits(512 if quick else None)
    epochs, batch = (4, 64) if quick else (20, 64)
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = {"first": (64, 48), "head": (48, 10)}
    base = {name: jax.random.normal(k, s) / jnp.sqrt(s[0]) for k, (name, s) in zip(keys, shapes.items(), strict=False)}
    lora = {
        name: {"a": jax.random.normal(k, (s[0], RANK)) / jnp.sqrt(s[0]), "b": jnp.zeros((RANK, s[1]))}
        for k, (name, s) in zip(keys[2:], shapes.items(), strict=True)
    }
    # One chip, with its own mismatch.
    hardware = imctrain.Hardware.from_calibration("feasible-assumed", preset="robust", path="exact", chip_seed=7)
    on_chip = imctrain.on_imc(loss, hardware, weights=(0, 1))
    logits_on_chip = imctrain.on_imc(logits, hardware, weights=(0, 1))

    def accuracy(name: str, scores: jax.Array) -> None:
        print(f"{name:40} {float(jnp.mean(jnp.argmax(scores, -1) == test_labels)):.1%}")

    def fit(step, value, moments):
        for number in range(epochs * (len(images) // batch)):
            chosen = jax.random.randint(jax.random.fold_in(keys[3], number), (batch,), 0, len(images))
            value, moments = step(value, moments, images[chosen], labels[chosen], jax.random.fold_in(keys[2], number))
        return value

    optimizer = optax.adam(3e-3)

    @jax.jit
    def float_step(base, moments, images, labels, key):
        updates, moments = optimizer.update(jax.grad(loss)(base, lora, images, labels), moments)
        return optax.apply_updates(base, updates), moments

    base = fit(float_step, base, optimizer.init(base))
    accuracy("trained in float, tested in float", logits(base, lora, test_images))

    @jax.jit
    def tested(lora, state, key):
        return logits_on_chip(base, lora, test_images, key=key, state=state)

    fresh = on_chip.init(base, lora, images[:batch], labels[:batch])
    accuracy("the same network on the chip", tested(lora, fresh, keys[0]))

    @jax.jit
    def chip_step(tuned, moments, images, labels, key):
        lora, state = tuned

        def run(lora, state):
            return on_chip(base, lora, images, labels, key=key, state=state)

        gradients, telemetry = jax.grad(run, argnums=(0, 1))(lora, state)
        state, _ = on_chip.update(state, telemetry)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(lora, updates), state), moments

    lora, state = fit(chip_step, (lora, fresh), optimizer.init(lora))
    accuracy("after LoRA on the chip", tested(lora, state, keys[0]))
    cost = on_chip.cost(base, lora, images[:batch], labels[:batch])
    print("sites:", ", ".join(on_chip.ledger(base, lora, images[:batch], labels[:batch]).names))
    print(f"a step takes {1e6 * cost.energy.total.value:.3g} uJ on the array's chip")


if __name__ == "__main__":
    main()
