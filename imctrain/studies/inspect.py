"""What `imctrain inspect` shows: the ledger of an experiment with the SNR that one real batch has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from imctrain.cost.step import StepCost
from imctrain.data import EXPECTED, Dataset, Source, Split, load
from imctrain.errors import UserError
from imctrain.experiment.advice import hardware_warnings
from imctrain.experiment.epochs import at_epoch
from imctrain.experiment.ledger_records import ledger_records
from imctrain.experiment.result_cost import counted
from imctrain.experiment.setup import Setup, set_up
from imctrain.imc.chip.spares import dead_columns_told
from imctrain.intercept.program import Chips
from imctrain.records.ledger import LedgerSite
from imctrain.settings import Config
from imctrain.training.loop import make_batches


@dataclass(frozen=True)
class Inspection:
    """records: of the ledger, each MVM with snr_db, clipped, range, statistical (the share of its executions on the
    statistical path) and energy_j. batch: what it was measured on. warnings: what cannot work (`imc.advice`).
    cost: of the step. notes: of the chip, a line each."""

    records: list[LedgerSite]
    batch: str
    warnings: list[str]
    cost: StepCost
    notes: list[str]


def inspect(config: Config, config_dir: Path, epoch: int | None = None) -> Inspection:
    """Run one batch forward and backward and read every site's report.

    Args:
        epoch: of a config whose conditions change over the training; the first by default.

    Raises UserError for a float experiment, and for an epoch that there is not.
    """
    if config.imc.path == "float":
        raise UserError("imc.path = 'float' has no sites: nothing is on the array")
    scheduled, (config, told) = config, at_epoch(config, epoch)
    dataset, batch = data_of(config)
    setup = set_up(config, dataset, config_dir)
    cost = counted(config, dataset, config_dir).cost()
    assert setup.ledger is not None
    # Offsets and gains may have been read in the first epoch.
    chips = set_up(scheduled, dataset, config_dir).steps.at(epoch or 0).train.given.train if told else None
    reports = _reports(config, dataset, setup, chips)
    records = ledger_records(setup.ledger)
    for record in records:
        report = reports.get(record["site"], {})
        for mvm in record["mvms"]:
            mvm["snr_db"], mvm["clipped"], mvm["range"], mvm["statistical"] = (
                _finite(report.get(f"{quantity}_{mvm['mvm']}"))
                for quantity in ("snr_db", "clipped", "range", "statistical")
            )
    _add_energy(records, cost)
    assert setup.hardware is not None
    notes = [*told, *filter(None, [dead_columns_told(setup.hardware)])]
    return Inspection(records, batch, [*setup.notes, *hardware_warnings(setup.problems)], cost, notes)


def _add_energy(records: list[LedgerSite], cost: StepCost) -> None:
    """Of every MVM; of a float site, which has none in the ledger, the sum."""
    energies: dict[str, dict[str, float]] = {}
    for mvm_cost in cost.mvms:
        by_mvm = energies.setdefault(mvm_cost.line.name, {})
        by_mvm[mvm_cost.line.mvm] = by_mvm.get(mvm_cost.line.mvm, 0.0) + mvm_cost.energy.total.value
    for record in records:
        own = energies.get(record["site"], {})
        record["energy_j"] = sum(own.values())
        for mvm in record["mvms"]:
            mvm["energy_j"] = own.get(mvm["mvm"])


def reports_of_batch(config: Config, config_dir: Path) -> dict[str, dict[str, float]]:
    """Every site's report of one batch with untrained weights. Raises UserError."""
    dataset, _ = data_of(config)
    found = _reports(config, dataset, set_up(config, dataset, config_dir))
    return {site: {key: float(value) for key, value in report.items()} for site, report in found.items()}


def _finite(value: jax.Array | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def data_of(config: Config) -> tuple[Dataset, str]:
    """The data of a config, or random images in the place of known ones that are not prepared; and which it is.

    Raises UserError for others that are not prepared.
    """
    name = config.data.name
    try:
        return load(name, config.data.data_dir), f"one batch of {name}, untrained weights"
    except UserError:
        if name not in EXPECTED:
            raise
    shape, classes = EXPECTED[name].shape, len(EXPECTED[name].classes)
    rng = np.random.default_rng(0)
    count = config.data.batch_size
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    split = Split(images, rng.integers(0, classes, count).astype(np.int32))
    names = tuple(str(number) for number in range(classes))
    mean, std = (0.5,) * shape[-1], (0.29,) * shape[-1]
    dataset = Dataset(name, split, split, names, shape, mean, std, Source("synthetic"))
    return dataset, f"random images in place of {name}, which is not prepared; untrained weights"


def _reports(
    config: Config, dataset: Dataset, setup: Setup, chips: Chips | None = None
) -> dict[str, dict[str, jax.Array]]:
    function = setup.steps.function
    assert function is not None
    train, *_ = make_batches(config, dataset)
    batch = train.batch(0, 0)
    start = setup.steps.initial

    @jax.jit
    def probe(params: PyTree, sites: PyTree, images: jax.Array, labels: jax.Array) -> tuple[PyTree, PyTree]:
        def objective(params: PyTree, sites: PyTree) -> jax.Array:
            key = jax.random.key(config.seed)
            logits, _ = function(params, start.rest, images, key=key, state=sites, chip=chips)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

        _, telemetry = jax.grad(objective, argnums=(0, 1))(params, sites)
        return function.update(sites, telemetry)

    # Range policies and the choice of path depend on what sites have seen: the second batch shows what they settle on.
    sites, _ = probe(start.params, start.sites, batch.images, batch.labels)
    _, reports = probe(start.params, sites, batch.images, batch.labels)
    return jax.device_get(reports)
