"""A trained network's compiled evaluation: one program for all chips of equal structure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from imctrain.calibration import Calibration
from imctrain.data import Batches, Dataset, Split
from imctrain.errors import UserError
from imctrain.evaluation.overrides import Point, overridden
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.experiment.trained import Trained
from imctrain.imc.forecast.advice import advise, find_problems
from imctrain.intercept import ImcFunction, Rule, on_imc
from imctrain.intercept.program import Chips
from imctrain.settings import Config
from imctrain.training.parallel import DataParallel
from imctrain.training.signals import Interrupted, StopRequest
from imctrain.training.step import Given, evaluation, with_readings_of


@dataclass(frozen=True)
class Measured:
    """accuracy: a fraction of the images. loss: mean cross entropy. seconds: without compilation."""

    accuracy: float
    loss: float
    seconds: float


class Evaluator:
    """See the module.

    Attributes:
        network, params, rest: what was trained. config: as evaluated. function: None in float.
        sites: states that every evaluation begins with. fresh: names of sites that took nothing from the training.
        warnings: what cannot work on this hardware, a line each.
    """

    def __init__(self, trained: Trained, config: Config, dataset: Dataset, images: int):
        self.config, self.dataset = config, dataset
        self.network = trained.network()
        self._parallel = DataParallel({"data.eval_batch_size": config.data.eval_batch_size})
        self.params, self.rest = self._parallel.replicate(trained.parameters(self.network))
        self._trained = trained
        size = config.data.eval_batch_size
        split = Split(dataset.test.images[:images], dataset.test.labels[:images])
        self._batches = Batches.evaluation(split, size, mean=dataset.mean, std=dataset.std)
        self._shape = jax.ShapeDtypeStruct((size, *dataset.shape), jnp.float32)
        self.function: ImcFunction[jax.Array] | None = None
        self.sites: dict[str, PyTree] = {}
        self.fresh: list[str] = []
        self.warnings: list[str] = []
        self.rules: tuple[Rule, ...] = ()
        if config.imc.path != "float":
            hardware = build_hardware(config.imc, self.calibration(config), trained.evaluation)
            self.rules = build_rules(config.imc)
            self.function = on_imc(self.network.eval_forward, hardware, self.rules)
            states = self.function.init(self.params, self.rest, self._shape)
            self.sites, self.fresh = trained.site_states(states, self.function.former_names)
            problems = find_problems({name: self.function.site(name) for name in states})
            # Gradients are nothing to an evaluation.
            self.warnings = advise([problem for problem in problems if problem.mvm == "forward"], "imc.")
        self._evaluate = jax.jit(evaluation(self.network, self.function))
        self._key = jax.random.key(config.seed)

    @property
    def compilations(self) -> int:
        """How often the evaluation was compiled."""
        return int(self._evaluate._cache_size())  # type: ignore[attr-defined]

    def calibration(self, config: Config) -> Calibration:
        """What a config means by its calibration: the training's own, unless the config names another one."""
        return calibration_for(self._trained, config)

    def chips(self, point: Point) -> Chips:
        """The chip of a point, by site; empty in float. Raises UserError for one of another structure."""
        if self.function is None:
            return {}
        config = overridden(self.config, point.overrides)
        # The conditions of the epoch that the network is of; offsets may have been read at the first ones.
        epoch, conditions = self._trained.evaluation, config.imc.conditions
        try:
            chips = self._chips(config, epoch)
            once = conditions.offset_readings == "once" and conditions.at(epoch) != conditions.at(0)
            return with_readings_of(chips, self._chips(config, 0)) if once else chips
        except UserError as error:
            raise UserError(f"{point.name}: {error}") from None

    def _chips(self, config: Config, epoch: int) -> Chips:
        assert self.function is not None
        hardware = build_hardware(config.imc, self.calibration(config), epoch)
        return self.function.chip(self.params, self.rest, self._shape, hardware=hardware)

    def compile(self, chips: Chips, rest: PyTree) -> float:
        """Compile the evaluation, by one batch; seconds that it took."""
        began = time.monotonic()
        for _ in self._run(chips, rest, 0, limit=1):
            pass
        return time.monotonic() - began

    def measure(self, chips: Chips, rest: PyTree, repeat: int, stop: StopRequest) -> Measured:
        """Every test image once. Evaluation `repeat` (from 0) has the noise of the training's own, later ones others.

        Raises Interrupted on a signal.
        """
        began = time.monotonic()
        correct = loss = 0.0
        number = (self._trained.evaluation + repeat) * self._batches.steps_per_epoch
        for c, l in self._run(chips, rest, number):
            correct, loss = correct + c, loss + l
            if stop.number is not None:
                raise Interrupted(stop.number)
        count = len(self._batches.split)
        return Measured(correct / count, loss / count, time.monotonic() - began)

    def _run(self, chips: Chips, rest: PyTree, number: int, limit: int | None = None) -> Iterator[tuple[float, float]]:
        given = Given(self._key, {}, self._parallel.replicate(dict(chips)))
        sites = self._parallel.replicate(self.sites)
        for index in range(limit or self._batches.steps_per_epoch):
            batch = self._batches.batch(0, index)
            images, labels, mask = self._parallel.batch(batch.images, batch.labels, batch.mask)
            call = np.int32(number + index)
            correct, loss = self._evaluate(self.params, rest, sites, images, labels, mask, call, given)
            yield float(correct), float(loss)


def calibration_for(trained: Trained, config: Config) -> Calibration:
    """See `Evaluator.calibration`. Raises UserError where it cannot be read."""
    own = trained.config
    same = own is not None and config.imc.calibration == own.imc.calibration
    if same and trained.calibration is not None:
        return trained.calibration
    return calibration_of(config, Path("."))


def alike(chips: list[Mapping[str, PyTree]]) -> bool:
    """Whether several chips are one: the same figures at every site."""
    first = jax.tree.leaves(chips[0])
    return all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for other in chips[1:]
        for a, b in zip(first, jax.tree.leaves(other), strict=True)
    )
