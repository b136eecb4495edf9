"""result.json: what a training came to. It is written last, so that a folder with one is finished."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from imctrain.records.base import Amount, Count, Kept, Share

VERSION = "1.0"
OFF_THE_ARRAY = ("float", "digital")
"""Paths, of a run or a site, of which nothing is computed on the array."""


class DataSource(Kept):
    """Where the pixels of a data set came from (`data.dataset.Source`)."""

    kind: str = ""
    file: str = ""
    sha256: str = ""
    lossy: bool = False


class WorstSite(Kept):
    """The lowest SNR of an MVM in the newest line of metrics."""

    site: str
    mvm: str
    snr_db: float


class Change(Kept):
    """A key of config, calibration, data or environment that changed within a training."""

    key: str
    before: object = Field(validation_alias="from", serialization_alias="from")
    now: object = Field(validation_alias="to", serialization_alias="to")
    step: int | None
    """Steps taken before; null where a version wrote no number of steps."""


class InitialNetwork(Kept):
    """What a training started from in place of drawn weights (`--init`)."""

    source: str
    """Folder or file, as it was given."""
    sha256: str
    """Of its parameters, batch statistics and states of sites."""
    step: int | None
    """Steps that it was trained before; null where the file does not say."""
    fresh_sites: tuple[str, ...]
    """Sites that took no ranges and clips from it: of another name or structure, or it has none."""


class Result(Kept):
    """What a training came to.

    Keys with a default are missing where a version did not write them yet, or where the training has no such thing.
    """

    WHAT: ClassVar[str] = "result of a run"
    REMEDY: ClassVar[str] = "restore it, or train the run again"

    schema_version: str = VERSION
    name: str
    """Of the experiment."""
    test_accuracy: Share | None
    """At the end, a fraction of the test images; null where they were not measured."""
    test_images: Count | None = None
    """null as above."""
    best_test_accuracy: Share | None
    """null where epochs were judged by held-out images."""
    validation_accuracy: Share | None = None
    """At the end, a fraction of the held-out images; this key and the next two are missing where none were held out."""
    best_validation_accuracy: Share | None = None
    validation_images: Count | None = None
    epochs: Count
    """Finished ones."""
    steps: Count | None = None
    seconds: Amount
    """Of training and evaluation, compilation left out."""
    seconds_per_epoch: Amount
    compile_seconds: Amount
    path: str
    """Of the experiment: "float", "digital", "exact", "statistical" or "auto"."""
    dataset: str
    dataset_source: DataSource
    dataset_content: str | None = None
    """SHA-256 of its images and labels."""
    model: str
    parameters: Count
    config_hash: str
    """SHA-256 of the resolved config."""
    seed: int
    clipped_fraction: float | None
    """Of the conversions, in the last epoch with a line of metrics; null where nothing was converted."""
    calibration: str | None = None
    """Its name; this key and those down to `worst_site` are of trainings with sites. null on the digital path."""
    calibration_provenance: str | None = None
    calibration_sha256: str | None = None
    """Of its content, notes left out."""
    sigma_lsb: Amount | None = None
    """Total noise before rounding, LSB at R = 1 of the calibrated converter."""
    mvms_on_array: tuple[str, ...] | None = None
    sites: dict[str, str] | None = None
    """Path of every matmul, by its name."""
    statistical_share: dict[str, dict[str, float]] | None = None
    """{site: {MVM: share of its executions on the statistical path}} in the newest line of metrics."""
    worst_site: WorstSite | None = None
    cost_technology: str | None = None
    """What energy and time are counted with; this key and those down to `digital_int8_ratio` are of versions that count
    them."""
    cost_provenance: str | None = None
    """Of the weakest figure in its energy: measured, published, derived or assumed."""
    energy_step_j: Amount | None = None
    """Of a training step, J: forward, gradients, update, exempt layers and all."""
    energy_step_band_j: tuple[Amount, Amount] | None = None
    """Lowest and highest with the ranges of the technology's figures."""
    energy_training_j: Amount | None = None
    """Of all steps, J; evaluation is left out."""
    energy_components_j: dict[str, Amount] | None = None
    """Of a step, J: adc, array, dac, digital, write, move."""
    energy_value_aware_j: Amount | None = None
    """Of a step with the codes that were really driven, J (`cost.value_aware`)."""
    seconds_training_chip: Amount | None = None
    """Of all steps on the chip, s."""
    fj_per_mac: Amount | None = None
    """Energy of a step over its multiply-accumulates, fJ."""
    digital_int8_ratio: Amount | None = None
    """Energy of the same step in digital INT8 over that of this one; null where nothing is on the array."""
    warnings: tuple[str, ...] | None = None
    """What cannot work on the hardware, and what went wrong in the training, a line each."""
    config_toml_sha256: str | None = None
    """Of the file config.toml that was trained: it may be edited later."""
    code: dict[str, str] | None = None
    """SHA-256 of own code that the config names, by model.code and training.optimizer.code; missing without any."""
    init: InitialNetwork | None = None
    """What it started from; missing where its weights were drawn."""
    changed: tuple[Change, ...] | None = None
    """What was another before some step; missing where nothing was."""
    baseline_test_accuracy: Share | None = None
    """Of the float baseline beside it; this key and those that follow are missing without one. null as above."""
    baseline_validation_accuracy: Share | None = None
    """Missing where no images were held out."""
    baseline_seconds_per_epoch: Amount | None = None
    baseline_changed: tuple[Change, ...] | None = None

    @property
    def accuracy(self) -> float | None:
        """What the training is compared by: on the test images, or else on the held-out ones; a fraction."""
        return self.validation_accuracy if self.test_accuracy is None else self.test_accuracy

    @property
    def accuracy_images(self) -> int | None:
        """How many images that accuracy is of."""
        return self.validation_images if self.test_accuracy is None else self.test_images

    @property
    def accuracy_name(self) -> str:
        """Which of the two that is."""
        return "validation accuracy" if self.test_accuracy is None else "test accuracy"


class Failure(Kept):
    """failed.json: why a trial could not be trained."""

    WHAT: ClassVar[str] = "failure of a trial"
    REMEDY: ClassVar[str] = "delete it, and the trial is tried again"

    error: str = ""
    code: int | None = None
    """Exit code of its run."""


class Pruned(Kept):
    """pruned.json: why a search stopped a trial before its end. Its checkpoint is kept."""

    WHAT: ClassVar[str] = "mark of a trial that was stopped"
    REMEDY: ClassVar[str] = "delete it, and the trial goes on"

    epoch: Count
    """Finished ones."""
    accuracy: Share
    """On the held-out images, a fraction."""
    reason: str


CLOCK = ("seconds", "seconds_per_epoch", "compile_seconds", "baseline_seconds_per_epoch")
"""Of a result: what differs when the same training is done again."""
