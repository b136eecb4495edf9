"""What is calibrated on training images before a network is evaluated: clips and ranges, and batch statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from imctrain.data import Batches, Dataset, Split
from imctrain.errors import UserError
from imctrain.evaluation.evaluator import Evaluator
from imctrain.experiment.trained import Trained
from imctrain.formats.clips import clip_policy
from imctrain.intercept import on_imc
from imctrain.intercept.program import Chips
from imctrain.models import build
from imctrain.training.step import training_loss

PURPOSE = 2
"""The run's key is folded with it: noise of its own, neither a training step's nor an evaluation's."""


def training_batches(dataset: Dataset, images: int, size: int) -> Batches:
    """The first training images in batches of the same size, without augmentation; what fills no batch is left out."""
    count = min(images, len(dataset.train))
    size = min(size, count)
    split = Split(dataset.train.images[: count - count % size], dataset.train.labels[: count - count % size])
    return Batches.evaluation(split, size, mean=dataset.mean, std=dataset.std)


def sites_to_calibrate(evaluator: Evaluator) -> list[str]:
    """Sites whose ranges or learned clips the training did not give."""
    found = []
    for name, state in evaluator.sites.items():
        site = evaluator.function.site(name)  # type: ignore[union-attr]
        learns = clip_policy(site.spec.hardware.formats.activation_clip).learned
        if name in evaluator.fresh or (learns and not np.all(np.asarray(state.clips) > 0)):
            found.append(name)
    return found


def calibrate_sites(evaluator: Evaluator, names: list[str], chips: Chips, images: int) -> int:
    """Set ranges and learned clips of sites from training images; the number that was used.

    Each batch goes through the network as it is evaluated, and back: ranges follow what passes need, as in training. A
    learned clip is the mean over batches of what it would start from (`formats.activation_clip`).
    """
    function = evaluator.function
    assert function is not None
    batches = training_batches(evaluator.dataset, images, evaluator.config.data.batch_size)

    @jax.jit
    def step(params: PyTree, rest: PyTree, sites: PyTree, batch: PyTree, key: jax.Array, chips: PyTree) -> PyTree:
        def objective(sites: PyTree) -> jax.Array:
            logits = function(params, rest, batch[0], key=key, state=sites, chip=chips)
            return training_loss(logits, batch[1], 0.0)

        return function.update(sites, jax.grad(objective)(sites))[0]

    key = jax.random.fold_in(jax.random.key(evaluator.config.seed), PURPOSE)
    sites, clips = dict(evaluator.sites), []
    for index in range(batches.steps_per_epoch):
        batch = batches.batch(0, index)
        given = {name: _without_clips(state) if name in names else state for name, state in sites.items()}
        after = step(
            evaluator.params,
            evaluator.rest,
            given,
            (batch.images, batch.labels),
            jax.random.fold_in(key, index),
            dict(chips),
        )
        sites |= {name: after[name] for name in names}
        clips.append({name: after[name].clips for name in names})
    for name in names:
        mean = jnp.mean(jnp.stack([found[name] for found in clips]), axis=0)
        sites[name] = dataclasses.replace(sites[name], clips=mean)
    evaluator.sites = sites
    return len(batches.split)


def _without_clips(state: PyTree) -> PyTree:
    """Without a learned clip a site takes its statistic, and tells it as the next clip."""
    return dataclasses.replace(state, clips=jnp.zeros_like(state.clips))


class BatchStatistics:
    """Batch statistics of a network on a die, from training images: one compiled step for all dies.

    Each batch is normalised by its own statistics, as in training. Means and variances of all images are put together
    from those of the batches. Images have no augmentation, as when the network is evaluated.

    Attributes:
        images: training images that are used.

    Raises UserError for a network without batch normalisation.
    """

    def __init__(self, trained: Trained, evaluator: Evaluator, images: int):
        forward = _batch_statistics_of(trained, evaluator)
        self._evaluator = evaluator
        config = evaluator.config
        self._batches = training_batches(evaluator.dataset, images, config.data.batch_size)
        self.images = len(self._batches.split)
        function = None
        if evaluator.function is not None:
            function = on_imc(forward, evaluator.function.hardware, evaluator.rules)

        @jax.jit
        def step(
            params: PyTree, rest: PyTree, sites: PyTree, batch: jax.Array, key: jax.Array, chips: PyTree
        ) -> PyTree:
            if function is None:
                return forward(params, rest, batch)[1]
            return function(params, rest, batch, key=key, state=sites, chip=chips)[1]

        self._step = step

    @property
    def compilations(self) -> int:
        """How often the step was compiled."""
        return int(self._step._cache_size())  # type: ignore[attr-defined]

    def on(self, chips: Chips) -> PyTree:
        """The state that is not trained, with the statistics of a die."""
        evaluator = self._evaluator
        key = jax.random.fold_in(jax.random.key(evaluator.config.seed), PURPOSE)
        found = []
        for index in range(self._batches.steps_per_epoch):
            images = self._batches.batch(0, index).images
            seen = self._step(
                evaluator.params, evaluator.rest, evaluator.sites, images, jax.random.fold_in(key, index), dict(chips)
            )
            found.append(jax.device_get(seen))
        return jax.tree.map(jnp.asarray, pooled(found))


def pooled(batches: list[PyTree]) -> PyTree:
    """Statistics of all images from those of batches of equal size: the mean of the means; the mean of the variances
    and the variance of the means. Other leaves are those of the first batch."""
    leaves = [dict(jax.tree_util.tree_flatten_with_path(tree)[0]) for tree in batches]
    stacked = {path: np.stack([np.asarray(tree[path]) for tree in leaves]) for path in leaves[0]}
    names = {jax.tree_util.keystr(path, simple=True, separator="/"): path for path in stacked}
    out = {}
    for name, path in names.items():
        beside, _, last = name.removesuffix("/value").rpartition("/")
        suffix = "/value" if name.endswith("/value") else ""
        values = stacked[path]
        mean = names.get(f"{beside}/mean{suffix}")
        if last == "mean" and f"{beside}/var{suffix}" in names:
            out[path] = values.mean(axis=0)
        elif last == "var" and mean is not None:
            out[path] = values.mean(axis=0) + stacked[mean].var(axis=0)
        else:
            out[path] = values[0]
    return jax.tree.unflatten(jax.tree.structure(batches[0]), list(out.values()))


def _batch_statistics_of(trained: Trained, evaluator: Evaluator) -> Callable[..., tuple[jax.Array, PyTree]]:
    """(params, rest, images) -> (logits, rest of one batch alone): with the logits, all sites are in the program."""
    config, dataset = evaluator.config, evaluator.dataset
    classes = len(dataset.classes)

    def make() -> nnx.Module:
        return build(
            config.model.name, shape=dataset.shape, classes=classes, width=config.model.width, rngs=nnx.Rngs(0)
        )

    model = nnx.eval_shape(make)
    model.train()
    norms = [module for _, module in nnx.iter_modules(model) if isinstance(module, nnx.BatchNorm)]
    if not norms:
        raise UserError(f"--recalibrate batch-norm: {config.model.name} has no batch normalisation")
    for norm in norms:
        norm.momentum = 0.0
    graph = nnx.graphdef(model)

    def forward(params: PyTree, rest: PyTree, images: jax.Array) -> tuple[jax.Array, PyTree]:
        running = nnx.merge(graph, params, rest, copy=True)
        logits = running(images)
        return logits, nnx.state(running, nnx.Not(nnx.Param))

    return forward
