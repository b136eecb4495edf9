"""evaluate.json: accuracies of trained networks on dies, conditions and hardware, added to by every evaluation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from imctrain.records.base import Kept

VERSION = "1.0"


class DieResult(Kept):
    """What a network does on one chip."""

    name: str
    own: bool
    """Whether it is the die that the network was trained on."""
    overrides: dict[str, JsonValue]
    """Keys of the config that make it, beside those of the evaluation."""
    accuracies: tuple[float, ...]
    """On the test images, a fraction; each with noise of its own, which is the same on every die."""
    losses: tuple[float, ...]
    """Mean cross entropy."""
    seconds: tuple[float, ...]
    """Of each, compilation left out."""
    conditions: dict[str, float] | None = None
    """temperature_c and supply_v, where they are others than the evaluation's."""
    die_spread: str | None = None
    """"low" or "high", where the die is drawn with that end of what is known of the spread of dies."""

    @property
    def accuracy(self) -> float:
        """Mean over the repeats."""
        return sum(self.accuracies) / len(self.accuracies)


class Yield(Kept):
    """Share of the test dies that are at most so far below a reference, or of an accuracy or more."""

    below: str | None
    """"training die" or "float baseline"; null where the accuracy was given as such."""
    points: float | None
    """Percentage points below it; null as above."""
    accuracy: float
    """What a die needs."""
    passed: int
    dies: int
    share: float
    low: float
    high: float
    """Wilson interval of 95 %: of the number of dies alone."""


class Summary(Kept):
    """Over dies and repeats. null where there is nothing to tell it from."""

    own_accuracy: float | None
    """Of the training die, mean over repeats."""
    test_dies: int
    mean: float | None
    """Over the test dies."""
    std: float | None
    """Over the test dies, n - 1."""
    lowest: float | None
    highest: float | None
    noise_std: float | None
    """Over the repeats on one die, n - 1."""
    belongs_to_die: float | None
    """Accuracy of the training die less the mean of the test dies."""
    belongs_to_die_error: float | None
    """Standard error of that, of the number of test dies."""
    yields: tuple[Yield, ...]


class AtCondition(Kept):
    """All chips at one temperature and supply. null where there is nothing to tell it from."""

    conditions: dict[str, float]
    own_accuracy: float | None
    """Of the training die."""
    test_dies: int
    mean: float | None
    """Over the test dies."""
    std: float | None
    lowest: float | None
    highest: float | None


class AtSpread(Kept):
    """Test dies that are drawn with one end of what is known of the spread of dies, or with its value.

    The same numbers of dies are drawn at each, so that a die is the same place in a wider or a narrower spread.
    """

    level: str
    """"low", "value" or "high" of the 95 % interval."""
    gain_std: float
    """Of the dies' means."""
    offset_std_lsb: float
    sigma_std_lsb: float
    measured_dies: int | None
    """Dies that the spread is of; null where the calibration gives the interval and not their number."""
    test_dies: int
    mean: float | None
    """Over the test dies."""
    std: float | None
    lowest: float | None
    highest: float | None
    yields: tuple[Yield, ...]


class Evaluation(Kept):
    """One network on one kind of hardware, on one or more chips of it."""

    key: str
    """Hash of all that decides the accuracies, dies and repeats apart."""
    name: str
    network: str
    """Folder or file."""
    network_sha256: str
    checkpoint: str
    step: int | None
    trained_accuracy: float | None
    """As its training measured it."""
    baseline_accuracy: float | None
    """Of the float baseline beside the run."""
    overrides: dict[str, JsonValue]
    """Keys of the config with other values than in training."""
    recalibrate: tuple[str, ...]
    calibration_images: int
    """Training images that were used: 0 where nothing was calibrated."""
    config: dict[str, JsonValue]
    """As evaluated, but for a die's own keys."""
    calibration: str | None
    """Name; null in float."""
    calibration_provenance: str | None
    calibration_sha256: str | None
    dataset: str
    dataset_content: str | None
    images: int
    notes: tuple[str, ...]
    dies: tuple[DieResult, ...]
    summary: Summary
    """Of the dies at the evaluation's own conditions."""
    at_conditions: tuple[AtCondition, ...] = ()
    """At others, in the order in which they were asked for."""
    at_spread: tuple[AtSpread, ...] = ()
    """Over what is not known of the spread of dies: its low, value and high."""


class Evaluations(Kept):
    """All of a folder."""

    WHAT: ClassVar[str] = "list of evaluations"
    REMEDY: ClassVar[str] = "restore it, or give another --out"

    schema_version: str = VERSION
    evaluations: tuple[Evaluation, ...] = ()

    def find(self, key: str) -> Evaluation | None:
        """The evaluation of a key."""
        return next((found for found in self.evaluations if found.key == key), None)

    def with_one(self, new: Evaluation) -> Evaluations:
        """With an evaluation added, or in the place of the one of its key."""
        keys = [found.key for found in self.evaluations]
        others = [new if found.key == new.key else found for found in self.evaluations]
        return Evaluations(
            schema_version=self.schema_version, evaluations=tuple(others if new.key in keys else [*others, new])
        )
