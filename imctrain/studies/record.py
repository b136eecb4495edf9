"""Recording a run's gradient MVMs: what is driven and what is stored, at some of its checkpoints.

At each checkpoint the batch that training would take next goes forward and backward once, on the run's own path (float
products for a float run) with noise of its own. Every site's operands and the gradient at its output are read before
they are encoded; of the two gradient MVMs a sample is kept (`sampling`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from imctrain.data import Batches, load
from imctrain.errors import UserError
from imctrain.experiment.continuing import require_same
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.experiment.identity import identity
from imctrain.experiment.own_sources import hashes, with_own_code
from imctrain.experiment.setup import Setup, set_up
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.levels import encode_gradient, rounding, scale_of_gradient
from imctrain.imc.engines.kernels import digital
from imctrain.imc.mvm.operand import integer_format
from imctrain.imc.site.site import Site
from imctrain.imc.site.state import SiteState
from imctrain.intercept import ImcFunction, on_imc
from imctrain.intercept.program import Chips
from imctrain.records.layout import RunFiles
from imctrain.report.mapping_figure import RecordedRun
from imctrain.settings import MVMS, Config, config_hash, load_kept_config
from imctrain.studies.recording import MvmRecord, Recording
from imctrain.studies.sampling import BUDGET, Sampler
from imctrain.training.checkpoint import Checkpoints
from imctrain.training.loop import make_batches
from imctrain.training.position import Position
from imctrain.training.step import TrainState, training_loss

SEED = 2024
"""Of the samples: the same vectors and outputs at every moment and of every run of a network."""
_KEY = 0x5245434F
"""Sets the noise of a recording apart from that of training and evaluation, which count from 0."""


class Operands(NamedTuple):
    """What a site meets, float32: its two operands, and the gradient at its output before any rounding."""

    lhs: Array
    rhs: Array
    gradient: Array


def record_run(folder: Path, steps: Sequence[int], say: Callable[[str], None]) -> Recording:
    """Record a run's gradient MVMs at its checkpoints.

    Args:
        folder: of the run. steps: of the checkpoints, 0 for the untrained network; empty for the first, the middle
            and the last that there are.
        say: told what is done.

    Raises UserError for a folder without a run, a step without a checkpoint, a checkpoint that is damaged or was
    trained with other settings than the folder says, or a run that has one checkpoint only where no steps are given.
    """
    files = RunFiles(folder)
    if not files.is_run:
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    if not files.checkpoints.is_dir():
        raise UserError(f"{folder} has no checkpoints: train it first")
    config = load_kept_config(files.config)
    checkpoints = Checkpoints(files.checkpoints, config.checkpoint.keep)
    try:
        chosen = _choose(folder, checkpoints.steps, steps)
        say(f"loading data set {config.data.name} ...")
        dataset = load(config.data.name, config.data.data_dir)
        written = config
        config = with_own_code(_with_saved_calibration(config, folder), files)
        setup = set_up(config, dataset)
        now = identity(written, dataset, setup.calibration, code=hashes(setup.sources))
        function = array_function(config, setup)
        train, *_ = make_batches(config, dataset)
        read = reader(config, setup, function)
        records: list[MvmRecord] = []
        epochs = []
        for step in chosen:
            say(f"step {step}: one batch of {config.data.batch_size} images, forward and backward ...")
            state, position = setup.steps.initial, Position()
            if step > 0:
                stored = checkpoints.whole(step)
                require_same(folder, stored, now)
                restored = stored.fit(state, function.former_names)
                state, position = jax.tree.map(jnp.asarray, restored), Position(**stored.position)
            epochs.append(position.epoch + position.step / train.steps_per_epoch)
            operands = read(state, train, position)
            records += sample_all(function, state, operands, step)
    finally:
        checkpoints.close()
    about: RecordedRun = {
        "config_hash": config_hash(written),
        "config": written.model_dump(mode="json", exclude_none=True),
        "path": config.imc.path,
        "model": config.model.name,
        "dataset": config.data.name,
        "images": config.data.batch_size,
        "steps": chosen,
        "epochs": epochs,
        "sites": list(dict.fromkeys(record.site for record in records)),
    }
    return Recording(about, tuple(records))


def array_function(config: Config, setup: Setup) -> ImcFunction:
    """The training forward pass with its sites; of a float run as they would be on the array."""
    if setup.steps.function is not None:
        return setup.steps.function
    hardware = build_hardware(config.imc, calibration_of(config))
    return on_imc(setup.network.train_forward, hardware, build_rules(config.imc))


def reader(
    config: Config, setup: Setup, function: ImcFunction
) -> Callable[[TrainState, Batches, Position], dict[str, Operands]]:
    """A function that runs the next batch of a position and gives every site's operands.

    Raises (the function) UserError for a site whose operands cannot be seen, see `ImcFunction.tapped`.
    """
    smoothing, is_float = config.training.label_smoothing, config.imc.path == "float"

    @jax.jit
    def probe(
        params: PyTree,
        rest: PyTree,
        sites: PyTree,
        added: PyTree,
        images: Array,
        labels: Array,
        key: Array,
        chips: Chips | None,
    ) -> dict[str, Operands]:
        def objective(added: PyTree) -> tuple[Array, PyTree]:
            (logits, _), operands = function.tapped(
                params, rest, images, key=key, added=added, state=sites, chip=chips, digital=is_float
            )
            return training_loss(logits, labels, smoothing), operands

        gradients, operands = jax.grad(objective, has_aux=True)(added)
        return {
            name: Operands(_float(operands[name][0]), _float(operands[name][1]), _float(gradients[name]))
            for name in added
        }

    def run(state: TrainState, train: Batches, position: Position) -> dict[str, Operands]:
        epoch, step = position.epoch, position.step
        if step == train.steps_per_epoch:  # saved between an epoch's last step and its evaluation
            epoch, step = epoch + 1, 0
        batch = train.batch(epoch, step)
        ledger = function.ledger(state.params, state.rest, batch.images)
        added = {entry.name: jnp.zeros(entry.out_shape, jnp.float32) for entry in ledger.sites}
        sites = function.init(state.params, state.rest, batch.images) if is_float else state.sites
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), _KEY), state.step)
        # The chip of that epoch, where conditions change.
        chips = setup.steps.at(epoch).train.given.train if setup.steps.later else None
        return probe(state.params, state.rest, sites, added, batch.images, batch.labels, key, chips)

    return run


def sample_all(
    function: ImcFunction, state: TrainState, operands: dict[str, Operands], step: int, budget: int = BUDGET
) -> Iterator[MvmRecord]:
    """Samples of the gradient MVMs that training runs, site by site."""
    for site in sorted(map(function.site, operands), key=lambda site: site.spec.index):
        name = site.spec.name
        for plan in site.mvms:
            if plan.name != "forward":
                yield sample_mvm(site, plan.name, operands[name], state.sites.get(name), step, budget)


def sample_mvm(
    site: Site, mvm: str, met: Operands, state: SiteState | None, step: int, budget: int = BUDGET
) -> MvmRecord:
    """A sample of one gradient MVM.

    Args:
        met: of the site. state: of the site (learned clips, carried scale); None for a fresh one.
    """
    formats = site.spec.hardware.formats
    plan = next(plan for plan in site.mvms if plan.name == mvm)
    state = site.init_state() if state is None else state
    scale, _ = scale_of_gradient(met.gradient, formats, state.gradient_scale)
    side = site.gradient_side(mvm)
    stored, info = (met.lhs, site.spec.lhs) if side == "lhs" else (met.rhs, site.spec.rhs)
    encoded = site.encode(met.lhs, met.rhs, state)[0 if side == "lhs" else 1]
    seed = noise.seed_of(jax.random.key(SEED))
    none = jnp.zeros(plan.passes, jnp.float32)

    odd = mvm == "weight_grad" and rounding(formats).encodes_twice
    levels = encode_gradient(met.gradient, scale, formats, seed, odd=odd).mean
    whole = site.gradient_mvm(mvm, digital, levels, encoded.codes, none, seed).product
    sampler = Sampler((SEED, site.spec.index, MVMS.index(mvm)), budget)
    site.gradient_mvm(mvm, sampler, met.gradient / scale, stored / encoded.scale, none, seed)
    sample = sampler.sample
    return MvmRecord(
        step=step,
        site=site.spec.name,
        mvm=mvm,
        driven=sample.driven,
        stored=sample.stored,
        driven_scale=float(scale),
        stored_scale=float(encoded.scale),
        stored_signed=info.signed,
        stored_bits=integer_format(info, formats).bits,
        signal=float(jnp.mean(jnp.square(whole))),
        tile=sample.tile,
        of_tiles=sample.of_tiles,
        rows=site.spec.hardware.array.rows,
        groups=plan.groups,
        vectors=plan.vectors,
        contraction=plan.contraction,
        outputs=plan.outputs,
    )


def _choose(folder: Path, there: list[int], wanted: Sequence[int]) -> list[int]:
    """Steps to record, in order, without repeats."""
    if wanted:
        for step in wanted:
            if step not in (0, *there):
                known = ", ".join(map(str, (0, *there)))
                raise UserError(f"{folder} has no checkpoint of step {step}: --step takes {known}")
        return sorted(set(wanted))
    if not there:
        raise UserError(f"{folder} has no checkpoint yet: give --step 0 for the untrained network")
    if len(there) == 1:
        raise UserError(
            f"{folder} has one checkpoint only (step {there[0]}): give --step {there[0]} to record it alone, or train "
            "with checkpoint.keep = 100 to keep earlier ones"
        )
    middle = min(there[1:-1] or there[:1], key=lambda step: abs(2 * step - there[0] - there[-1]))
    return sorted({there[0], middle, there[-1]})


def _with_saved_calibration(config: Config, folder: Path) -> Config:
    """The config with the copy of the calibration that the run keeps; a baseline's lies one folder up."""
    for place in map(RunFiles, (folder, folder.parent)):
        if place.calibration.is_file() and place.is_run:
            imc = config.imc.model_copy(update={"calibration": str(place.calibration.absolute())})
            return config.model_copy(update={"imc": imc})
    return config


def _float(x: Array) -> Array:
    return x.astype(jnp.float32)
