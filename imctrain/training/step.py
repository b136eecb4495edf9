"""The jitted training and evaluation steps, float or on sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Int, PyTree

from imctrain.imc.chip.figures import Chip
from imctrain.intercept import ImcFunction, Rule, on_imc
from imctrain.settings import Hardware
from imctrain.training.divergence import health
from imctrain.training.network import Forward
from imctrain.training.optimizer import update

# What the training key is folded with, so that training and evaluation never share noise.
_TRAIN, _EVAL = 0, 1


class TrainState(NamedTuple):
    """Everything that changes from step to step, all arrays.

    Attributes:
        params, rest: of the network. optimizer: optax state. sites: {site: state}, empty in float training.
        step: int32, steps taken since the start.
    """

    params: PyTree
    rest: PyTree
    optimizer: PyTree
    sites: dict[str, PyTree]
    step: Array


class Given(NamedTuple):
    """What the compiled steps of a run are given beside their state and data: another one costs no compilation.

    Attributes:
        key: of the run's seed. train, evaluate: the chips of both forward passes; empty in float training.
    """

    key: Array
    train: PyTree
    evaluate: PyTree


class Step:
    """A compiled step with what it is always given."""

    def __init__(self, function: Any, given: Given):
        self._function, self.given = function, given

    def __call__(self, *operands: PyTree) -> PyTree:
        return self._function(*operands, self.given)

    def on(self, given: Given) -> Step:
        """The same program, given something else."""
        return Step(self._function, given)

    def lower(self, *operands: PyTree) -> Step:
        """As `jax.jit` has it."""
        return Step(self._function.lower(*operands, self.given), self.given)

    def compile(self) -> Step:
        """Of what `lower` made."""
        return Step(self._function.compile(), self.given)

    def memory_analysis(self) -> Any:
        """Of what `compile` made, as XLA tells it."""
        return self._function.memory_analysis()

    def _cache_size(self) -> int:
        return int(self._function._cache_size())


Metrics = dict[str, PyTree]
"""What a training step measures, see `Steps.train`."""


class Steps(NamedTuple):
    """Compiled steps.

    Attributes:
        train: (state, images, labels) -> (state, metrics); metrics are on the device: loss, correct,
            gradient_norm, health (see `divergence`), and each site's report under "sites".
        evaluate: (params, rest, sites, images, labels, mask, epoch) -> (correct, loss sum).
        initial: state before the first step.
        function: the intercepted training forward pass; None in float training.
        later: (first epoch, what steps are given from there on), in rising order, where the chip's conditions change.
    """

    train: Step
    evaluate: Step
    initial: TrainState
    function: ImcFunction[tuple[Array, PyTree]] | None
    later: tuple[tuple[int, Given], ...] = ()

    def at(self, epoch: int) -> Steps:
        """The steps of an epoch: the same programs on the chip as it then is."""
        given = next((given for start, given in reversed(self.later) if start <= epoch), None)
        return self if given is None else self._replace(train=self.train.on(given), evaluate=self.evaluate.on(given))


def make_steps(
    network: Forward,
    optimizer: optax.GradientTransformation,
    *,
    images: jax.ShapeDtypeStruct,
    seed: int,
    label_smoothing: float,
    hardware: Hardware | None,
    rules: tuple[Rule, ...] = (),
    eval_images: jax.ShapeDtypeStruct | None = None,
    later: Sequence[tuple[int, Hardware]] = (),
    read_offsets_again: bool = False,
) -> Steps:
    """Build the steps of a run; `hardware` None is standard float training, with no interception at all.

    Args:
        images, eval_images: batches of training and of evaluation; without the latter, whether evaluation is possible
            shows only when it is first done.
        later: (first epoch, the hardware from there on), of equal structure, in rising order.
        read_offsets_again: whether their columns' offsets are then read anew; else what was read first stays.

    Raises UserError for a network or rules that the hardware cannot serve.
    """
    on_array = None if hardware is None else on_imc(network.train_forward, hardware, rules)
    eval_on_array = None if hardware is None else on_imc(network.eval_forward, hardware, rules)
    sites = {} if on_array is None else on_array.init(network.params, network.rest, images)
    chips = {} if on_array is None else on_array.chip(network.params, network.rest, images)
    eval_chips = None
    if eval_on_array is not None and eval_images is not None:
        # An evaluation batch has plans of its own: what is wrong with them must not show after an epoch of training.
        eval_chips = eval_on_array.chip(network.params, network.rest, eval_images)
    # Steps give their input's memory away, which leaves that share memory cannot do.
    sites = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), sites)

    def forward(
        params: PyTree, rest: PyTree, batch: Array, sites: PyTree, key: Array, chip: PyTree
    ) -> tuple[Array, PyTree]:
        if on_array is None:
            return network.train_forward(params, rest, batch)
        return on_array(params, rest, batch, key=key, state=sites, chip=chip)

    def train(state: TrainState, batch: Array, labels: Array, given: Given) -> tuple[TrainState, Metrics]:
        key = _key(given.key, _TRAIN, state.step)

        def objective(params: PyTree, sites: PyTree) -> tuple[Array, tuple[Array, PyTree]]:
            logits, rest = forward(params, state.rest, batch, sites, key, given.train)
            return training_loss(logits, labels, label_smoothing), (logits, rest)

        (loss, (logits, rest)), (gradient, telemetry) = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)(
            state.params, state.sites
        )
        sites, reports = ({}, {}) if on_array is None else on_array.update(state.sites, telemetry)
        updates, optimizer_state = update(optimizer, gradient, state.optimizer, state.params, loss)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss,
            "correct": jnp.sum(jnp.argmax(logits, axis=-1) == labels, dtype=jnp.int32),
            "gradient_norm": optax.global_norm(gradient),
            "sites": reports,
            "health": health(state.params, gradient, telemetry, logits),
        }
        return TrainState(params, rest, optimizer_state, sites, state.step + 1), metrics

    initial = TrainState(network.params, network.rest, optimizer.init(network.params), sites, jnp.zeros((), jnp.int32))
    given = Given(jax.random.key(seed), chips, eval_chips)
    evaluate = evaluation(network, eval_on_array)
    steps = Step(jax.jit(train, donate_argnums=0), given), Step(jax.jit(evaluate), given)

    def then(hardware: Hardware) -> Given:
        assert on_array is not None
        assert eval_on_array is not None
        trained = on_array.chip(network.params, network.rest, images, hardware=hardware)
        tested: Mapping[str, Chip] | None = None
        if eval_images is not None and eval_chips is not None:
            tested = eval_on_array.chip(network.params, network.rest, eval_images, hardware=hardware)
            tested = tested if read_offsets_again else with_readings_of(tested, eval_chips)
        trained = trained if read_offsets_again else with_readings_of(trained, chips)
        return Given(given.key, trained, tested)

    changes = () if hardware is None else tuple((epoch, then(changed)) for epoch, changed in later)
    return Steps(*steps, initial, on_array, changes)


def with_readings_of(chips: Mapping[str, Chip], first: Mapping[str, Chip]) -> dict[str, Chip]:
    """Chips whose digital side subtracts, and divides by, what it learned of the first ones."""
    return {
        name: chip._replace(correction=first[name].correction, multiplier=first[name].multiplier)
        for name, chip in chips.items()
    }


def evaluation(network: Forward, on_array: ImcFunction[Array] | None) -> Callable[..., tuple[Array, Array]]:
    """The evaluation of a batch: (params, rest, sites, images, labels, mask, number, given) -> (correct, loss sum).

    Args:
        on_array: `network.eval_forward` on the array; None for float. number counts batches: each has noise of its own.
    """

    def evaluate(
        params: PyTree,
        rest: PyTree,
        sites: PyTree,
        batch: Array,
        labels: Array,
        mask: Array,
        number: Array,
        given: Given,
    ) -> tuple[Array, Array]:
        if on_array is None:
            logits = network.eval_forward(params, rest, batch)
        else:
            key = _key(given.key, _EVAL, number)
            logits = on_array(params, rest, batch, key=key, state=sites, chip=given.evaluate)
        correct = jnp.sum(jnp.where(jnp.argmax(logits, axis=-1) == labels, mask, 0.0))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return correct, jnp.sum(losses * mask)

    return evaluate


def training_loss(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"], label_smoothing: float
) -> Float[Array, ""]:
    """Mean cross entropy of a batch: logits float32 [b, classes], labels int32 [b]; a scalar."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return jnp.mean(optax.softmax_cross_entropy(logits, targets))


def _key(key: Array, purpose: int, number: Array) -> Array:
    return jax.random.fold_in(jax.random.fold_in(key, purpose), number)
