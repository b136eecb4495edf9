"""A small GPT in plain JAX, a dict of parameters, on characters of a text: trained on the array and in float.

python examples/gpt.py [--quick] [--text FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import imctrain

TEXT = Path(__file__).parents[1] / "docs" / "simulation.md"


def parameters(key: jax.Array, letters: int, width: int, layers: int, context: int) -> dict:
    """Paths in this dict are what sites are called: layers/0/attention/query."""
    keys = iter(jax.random.split(key, 6 * layers + 3))

    def matrix(rows: int, columns: int) -> jax.Array:
        return jax.random.normal(next(keys), (rows, columns)) / jnp.sqrt(rows)

    def layer() -> dict:
        attention = {name: matrix(width, width) for name in ("query", "key", "value", "out")}
        return {"attention": attention, "up": matrix(width, 2 * width), "down": matrix(2 * width, width)}

    return {
        "embedding": 0.5 * matrix(letters, width) * jnp.sqrt(letters),
        "position": 0.1 * matrix(context, width) * jnp.sqrt(context),
        "layers": [layer() for _ in range(layers)],
        "head": matrix(width, letters),
    }


def normed(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-6)


def attention(params: dict, x: jax.Array) -> jax.Array:
    query, key, value = (x @ params[name] for name in ("query", "key", "value"))
    scores = jnp.einsum("bqd,bkd->bqk", query, key) / jnp.sqrt(x.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -1e9)
    return jnp.einsum("bqk,bkd->bqd", jax.nn.softmax(scores), value) @ params["out"]


def loss(params: dict, tokens: jax.Array) -> jax.Array:
    """Mean nats per character; tokens [batch, context + 1]."""
    x = params["embedding"][tokens[:, :-1]] + params["position"]
    for layer in params["layers"]:
        x = x + attention(layer["attention"], normed(x))
        x = x + jax.nn.relu(normed(x) @ layer["up"]) @ layer["down"]
    logits = normed(x) @ params["head"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def train(text: np.ndarray, params: dict, hardware: imctrain.Hardware | None, steps: int, context: int) -> float:
    """Loss on the last tenth of the text, in float, after training on the rest; `hardware` None trains in float."""
    split = 9 * len(text) // 10
    optimizer = optax.adam(3e-3)
    moments = optimizer.init(params)
    random = np.random.default_rng(0)

    def batch(part: np.ndarray, size: int) -> jax.Array:
        starts = random.integers(0, len(part) - context - 1, size)
        return jnp.asarray(np.stack([part[start : start + context + 1] for start in starts]))

    on_array = None if hardware is None else imctrain.on_imc(loss, hardware)
    state = {}
    if on_array is not None:
        tokens = batch(text[:split], 16)
        state = on_array.init(params, tokens)
        print("sites:", ", ".join(on_array.ledger(params, tokens).names))
        energy = on_array.cost(params, tokens).energy.total.value
        print(f"a step takes {1e6 * energy:.3g} uJ on the array's chip, the training {1e3 * steps * energy:.3g} mJ")

    @jax.jit
    def step(params, moments, state, tokens, key):
        def run(params, state):
            return loss(params, tokens) if on_array is None else on_array(params, tokens, key=key, state=state)

        gradients, telemetry = jax.grad(run, argnums=(0, 1))(params, state)
        if on_array is not None:
            state, _ = on_array.update(state, telemetry)
        updates, moments = optimizer.update(gradients, moments)
        return optax.apply_updates(params, updates), moments, state

    for number in range(steps):
        key = jax.random.fold_in(jax.random.key(1), number)
        params, moments, state = step(params, moments, state, batch(text[:split], 16), key)
    random = np.random.default_rng(1)
    return float(loss(params, batch(text[split:], 64)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller network and fewer steps")
    parser.add_argument("--text", type=Path, default=TEXT, help="any text file")
    options = parser.parse_args()
    width, layers, context, steps = (32, 1, 16, 20) if options.quick else (64, 2, 32, 600)
    letters, text = np.unique(list(options.text.read_text(encoding="utf-8")), return_inverse=True)
    params = parameters(jax.random.key(0), len(letters), width, layers, context)
    hardware = imctrain.Hardware.from_calibration("feasible-assumed", preset="robust", path="auto")
    on_array = train(text, params, hardware, steps, context)
    in_float = train(text, params, None, steps, context)
    print(f"loss {on_array:.3f} nats a character trained on the array, {in_float:.3f} in float, ", end="")
    print(f"{np.log(len(letters)):.3f} for a guess")


if __name__ == "__main__":
    main()
