"""A run: train (and a float baseline where asked for), from the start or from where it stopped, into a folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from imctrain.data import Dataset, load
from imctrain.errors import UserError
from imctrain.experiment.advice import (
    hardware_warnings,
    refuse_nothing_on_the_array,
    refuse_zeros,
    training_warnings,
    warn,
)
from imctrain.experiment.continuing import about_run, finished_with
from imctrain.experiment.costing import Training
from imctrain.experiment.identity import calibration_hash, identity
from imctrain.experiment.initial import Initial, initial_from, kept_initial, tell
from imctrain.experiment.ledger_records import ledger_records
from imctrain.experiment.new_folder import new_folder, write_start
from imctrain.experiment.own_sources import hashes, keep_code
from imctrain.experiment.result_cost import counted, result_keys
from imctrain.experiment.setup import Setup, set_up
from imctrain.experiment.technology_copy import keep_technology, with_own_files
from imctrain.files import write_text
from imctrain.records.damaged import set_aside_damaged_result
from imctrain.records.identity import Identity
from imctrain.records.layout import RunFiles
from imctrain.records.ledger import write_ledger
from imctrain.records.lock import claim
from imctrain.records.result import VERSION, DataSource, Result, WorstSite
from imctrain.settings import Config, config_hash, load_kept_config
from imctrain.tracking import Callback, Callbacks, callbacks_of, check_installed
from imctrain.training.loop import Trainer, data_parts
from imctrain.training.parallel import DataParallel
from imctrain.training.position import Position
from imctrain.training.progress import TrainingProgress
from imctrain.training.signals import StopRequest


@dataclass
class Place:
    """Filled in with the run's folder as soon as there is one, so that an interrupted caller can name it."""

    folder: Path | None = None


def start(
    config: Config,
    out: Path | None,
    config_dir: Path,
    console: Console,
    place: Place,
    init: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Train a new run. Everything that can be wrong with the input is found before the folder is made.

    Args:
        init: a run's folder or an exported file, whose network it starts from.
        callbacks: told how it goes, beside those that the config names.

    Raises UserError, Diverged or Interrupted.
    """
    check_installed(config)
    console.print(f"loading data set {config.data.name} ...", markup=False, highlight=False, soft_wrap=True)
    dataset = load(config.data.name, config.data.data_dir)
    parallel = _parallel(config)
    setup = set_up(config, dataset, config_dir, None if init is None else initial_from(init))
    refuse_nothing_on_the_array(config, setup.ledger)
    refuse_zeros(setup.problems)
    costed = counted(config, dataset, config_dir)
    folder = place.folder = new_folder(config, out)
    with claim(folder):
        if RunFiles(folder).is_run:
            raise UserError(f"run folder {folder} was taken by another run meanwhile: choose another --out")
        if setup.calibration is not None:
            # The run keeps its own copy: it can be resumed and read when the calibration has moved on.
            write_text(RunFiles(folder).calibration, setup.calibration.model_dump_json(indent=1) + "\n")
        keep_technology(config, config_dir, RunFiles(folder))
        keep_code(setup.sources, RunFiles(folder))
        if setup.initial is not None and setup.init is not None:
            setup.initial.keep(folder)
            tell(setup.init, console)
        write_start(folder, config)
        return _train(config, dataset, setup, costed, folder, parallel, console, given=callbacks)


def resume(
    folder: Path, console: Console, place: Place, accept: Sequence[str] = (), callbacks: Sequence[Callback] = ()
) -> Result:
    """Continue a run from its newest good checkpoint, to the same bits as if it had not stopped.

    What the folder says now must be what the checkpoint was trained with, but for the keys in `accept` (dotted, or
    tables of them); result.json lists what changed. Raises UserError for any other difference.
    """
    files = RunFiles(folder)
    if not files.is_run:
        raise UserError(f"{folder} holds no run (no config.toml): give the folder that `imctrain run` made")
    note = set_aside_damaged_result(files)
    if note:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if files.is_finished:
        raise UserError(f"{folder} is finished already: its result is in {files.result}")
    place.folder = folder
    with claim(folder):
        config = load_kept_config(files.config)
        check_installed(config)
        console.print(f"loading data set {config.data.name} ...", markup=False, highlight=False, soft_wrap=True)
        dataset = load(config.data.name, config.data.data_dir)
        parallel = _parallel(config)
        own = with_own_files(config, files)
        setup = set_up(own, dataset, initial=kept_initial(folder))
        costed = counted(own, dataset)
        return _train(config, dataset, setup, costed, folder, parallel, console, accept, callbacks)


def _parallel(config: Config) -> DataParallel:
    sizes = {"data.batch_size": config.data.batch_size, "data.eval_batch_size": config.data.eval_batch_size}
    return DataParallel(sizes)


def _train(
    config: Config,
    dataset: Dataset,
    setup: Setup,
    costed: Training,
    folder: Path,
    parallel: DataParallel,
    console: Console,
    accept: Sequence[str] = (),
    given: Sequence[Callback] = (),
) -> Result:
    from imctrain.report.learning_curve import plot_learning_curve

    # Before anything is written: an edited folder stays as it is.
    about = _about(folder, config, dataset, setup, accept, console)
    files = RunFiles(folder)
    if setup.ledger is not None:
        write_ledger(files, ledger_records(setup.ledger))
    warn(console, [*setup.notes, *hardware_warnings(setup.problems)])
    with _told(callbacks_of(config, files, given, _say(console))) as callbacks:
        with StopRequest() as stop:
            baseline = None
            if config.baseline and config.imc.path != "float":
                baseline = _baseline(config, dataset, files.baseline, parallel, console, stop, accept, setup.initial)
            title = f"{config.model.name} ({config.imc.path})"
            result = _one(config, dataset, setup, costed, folder, parallel, console, stop, title, about, callbacks)
        if baseline is not None:
            result = _beside(result, baseline)
        plot_learning_curve(folder, *files.learning_curves)
        result.write(files.result)
        callbacks.end(result)
    return result


def _beside(result: Result, baseline: Result) -> Result:
    """A result with what is told of its float baseline."""
    held_out = baseline.validation_accuracy
    return result.replace(
        baseline_test_accuracy=baseline.test_accuracy,
        **({} if held_out is None else {"baseline_validation_accuracy": held_out}),
        baseline_seconds_per_epoch=baseline.seconds_per_epoch,
        **({"baseline_changed": baseline.changed} if baseline.changed else {}),
    )


@contextlib.contextmanager
def _told(callbacks: Callbacks) -> Iterator[Callbacks]:
    """Callbacks that hear of whatever ends a training early."""
    try:
        yield callbacks
    except BaseException as error:
        callbacks.stop(error)
        raise


def _baseline(
    config: Config,
    dataset: Dataset,
    files: RunFiles,
    parallel: DataParallel,
    console: Console,
    stop: StopRequest,
    accept: Sequence[str],
    initial: Initial | None,
) -> Result:
    """The same network, start, data and recipe in float, in baseline/; trained once, kept on resume if it fits."""
    where = files.folder
    float_config = config.model_copy(
        update={"imc": config.imc.model_copy(update={"path": "float", "rules": ()}), "baseline": False}
    )
    if files.is_finished:
        kept = Result.read(files.result)
        differs = finished_with(where, kept, float_config, dataset, accept)
        return kept.replace(changed=(*(kept.changed or ()), *differs)) if differs else kept
    own = with_own_files(float_config, RunFiles(where.parent))
    setup = set_up(own, dataset, initial=initial)
    about = _about(where, float_config, dataset, setup, accept, console)
    where.mkdir(exist_ok=True)
    if initial is not None:
        initial.keep(where)
    keep_code(setup.sources, files)
    write_start(where, float_config)
    title = f"{config.model.name} (float baseline)"
    costed = counted(own, dataset)
    with _told(callbacks_of(float_config, files, (), _say(console), trackers=False)) as callbacks:
        result = _one(float_config, dataset, setup, costed, where, parallel, console, stop, title, about, callbacks)
        result.write(files.result)
        callbacks.end(result)
    return result


def _about(
    folder: Path, config: Config, dataset: Dataset, setup: Setup, accept: Sequence[str], console: Console
) -> Identity:
    now = identity(config, dataset, setup.calibration, setup.init, hashes(setup.sources))
    return about_run(folder, config, now, accept, _say(console))


def _say(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)


def _one(
    config: Config,
    dataset: Dataset,
    setup: Setup,
    costed: Training,
    folder: Path,
    parallel: DataParallel,
    console: Console,
    stop: StopRequest,
    title: str,
    about: Identity,
    callbacks: Callbacks,
) -> Result:
    # What the result is of: a reader can tell that config.toml was edited later.
    trained = hashlib.sha256(RunFiles(folder).config.read_bytes()).hexdigest()
    trainer = Trainer(config, dataset, setup.steps, setup.ledger, folder, parallel, about.plain(), callbacks)
    steps = trainer.steps_per_epoch
    with TrainingProgress(console, title, trainer.total_steps, steps) as progress:
        progress.say(f"{title}: {setup.network.parameter_count:,} parameters, {steps} steps an epoch; compiling ...")
        state, position = trainer.run(progress, stop)
        tested = trainer.test(state, position, stop) if config.data.test_at_end else None
    after = training_warnings(config, dataset, folder, setup.problems)
    warn(console, after)
    result = _result(config, dataset, setup, position, trainer.total_steps, tested)
    result = result.replace(
        warnings=[*setup.notes, *hardware_warnings(setup.problems), *position.warnings, *after],
        config_toml_sha256=trained,
    ).replace(**result_keys(costed, trainer.total_steps, RunFiles(folder)))
    if setup.sources:
        result = result.replace(code=hashes(setup.sources))
    if setup.init is not None:
        result = result.replace(init=setup.init.plain())
    return result.replace(changed=about.changed) if about.changed else result


def _validated(result: Result, config: Config, dataset: Dataset, position: Position, tested: float | None) -> Result:
    """A result where images were held out: epochs were judged by them. `tested`: accuracy on the test images, if it was
    asked for."""
    _, judged, test = data_parts(config, dataset)
    return result.replace(
        test_accuracy=tested,
        test_images=None if tested is None else len(test),
        best_test_accuracy=None,
        validation_accuracy=position.test_accuracy,
        best_validation_accuracy=position.best_accuracy,
        validation_images=len(judged),
    )


def _result(
    config: Config, dataset: Dataset, setup: Setup, position: Position, steps: int, tested: float | None
) -> Result:
    """Of one trained network."""
    epochs = position.epoch_seconds
    result = Result(
        schema_version=VERSION,
        name=config.name,
        test_accuracy=position.test_accuracy,
        test_images=min(len(dataset.test), config.data.test_limit or len(dataset.test)),
        best_test_accuracy=position.best_accuracy,
        epochs=len(epochs),
        steps=steps,
        seconds=round(position.seconds, 3),
        seconds_per_epoch=round(sum(epochs) / len(epochs), 3),
        compile_seconds=round(position.compile_seconds, 3),
        path=config.imc.path,
        dataset=config.data.name,
        dataset_source=DataSource.model_validate(dataset.source.as_dict()),
        dataset_content=dataset.content,
        model=config.model.name,
        parameters=setup.network.parameter_count,
        config_hash=config_hash(config),
        seed=config.seed,
        clipped_fraction=position.last_clipped,
    )
    if config.data.validation is not None:
        result = _validated(result, config, dataset, position, tested)
    if setup.hardware is None or setup.ledger is None or setup.calibration is None:
        return result
    exact = config.imc.path != "digital"
    worst = position.worst
    return result.replace(
        calibration=setup.calibration.name if exact else None,
        calibration_provenance=setup.calibration.provenance if exact else None,
        calibration_sha256=calibration_hash(setup.calibration) if exact else None,
        sigma_lsb=setup.hardware.total_lsb if exact else None,
        mvms_on_array=list(config.imc.mvms) if exact else [],
        sites={entry.name: entry.path for entry in setup.ledger},
        statistical_share=position.statistical or None,
        worst_site=WorstSite(site=worst[0], mvm=worst[1], snr_db=worst[2]).plain() if worst else None,
    )
