"""An experiment's TOML: data, model, training, the array, checkpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.settings.base import NotPossible, Section, within
from imctrain.settings.imc import ImcConfig
from imctrain.settings.tracking import TrackingConfig

# Every number has bounds on both sides: what lies far outside is no number any more where it is used (float32, sizes).
PositiveInt = Annotated[int, Field(ge=1, le=10**9)]
BatchSize = Annotated[int, Field(ge=1, le=2**16)]
LearningRate = Annotated[float, Field(ge=1e-9, le=1e3)]

_MOST_HELD = 10**9
"""Images held out."""


class AugmentConfig(Section):
    """[data.augment]"""

    flip: bool = False
    """Mirror half of the training images."""
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    """Random shift by up to this many pixels."""
    border: Literal["black", "reflect"] = "black"
    """What shifted images are filled up with."""
    cutout: Annotated[int, Field(ge=0, le=64)] = 0
    """Side of a square left out, pixels."""


class DataConfig(Section):
    """[data]"""

    name: str = "digits"
    """digits; cifar10, cifar100, mnist, fashion_mnist, kmnist, svhn, emnist_balanced, emnist_byclass, emnist_bymerge,
    emnist_digits, emnist_letters, emnist_mnist; or any other data set that is prepared."""
    batch_size: BatchSize = 128
    """Images per training step."""
    eval_batch_size: BatchSize = 500
    """Images per evaluation step."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training images."""
    train_limit: PositiveInt | None = None
    """Use the first N training images only."""
    test_limit: PositiveInt | None = None
    """Use the first N test images only."""
    validation: Annotated[float, Field(gt=0, le=_MOST_HELD)] | Literal["given"] | None = None
    """Training images held out, a share or how many, that epochs are judged by; the same ones for every seed. "given":
    those that the data set keeps for it."""
    test_at_end: bool = False
    """With validation: measure the test images too, once, after the last step."""
    data_dir: str | None = None
    """Folder of prepared data sets."""

    @model_validator(mode="before")
    @classmethod
    def _number_or_given(cls, found: Any) -> Any:
        """Told here, in one line: of a union, pydantic tells every part."""
        value = found.get("validation") if isinstance(found, dict) else None
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_HELD
        if value is None or value == "given" or (number and (value < 1 or not value % 1)):
            return found
        raise NotPossible(
            "validation", value, "above 0: a share below 1, or a whole number of images up to 1e+09; or 'given'"
        )

    @model_validator(mode="after")
    def _test_at_end(self) -> DataConfig:
        if self.test_at_end and self.validation is None:
            raise NotPossible(
                "test_at_end", True, "false without data.validation: every epoch measures the test images"
            )
        return self


class ModelConfig(Section):
    """[model]"""

    name: str = "mlp"
    """mlp, cnn5, resnet6, resnet8, vgg9, resnet20, resnet18 or vit. Or a network of your own, FILE.py:NAME (relative to
    the config) or PACKAGE.MODULE:NAME."""
    width: Annotated[int, within(limits.MODEL_WIDTH)] | None = None
    """Base width; the model's own by default."""
    arguments: dict[str, Any] = Field(default={})
    """What a network of your own is called with beside shape, classes and rngs."""

    def __hash__(self) -> int:
        # A table has no hash of its own.
        return hash(self.model_dump_json())


Optimizer = Literal["sgd", "adam", "adamw"]


class TrainingConfig(Section):
    """[training]"""

    epochs: Annotated[int, Field(ge=1, le=10**6)] = 10
    """Passes over the training images."""
    steps: PositiveInt | None = None
    """End after this many steps where that is before the last epoch's end."""
    optimizer: str = "sgd"
    """How weights follow gradients: sgd, adam or adamw. Or any optax transformation, FILE.py:NAME (relative to the
    config) or PACKAGE.MODULE:NAME of what makes it."""
    learning_rate: LearningRate = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd."""
    nesterov: bool = True
    """Of sgd: momentum looks ahead."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 5e-4
    """On weights of two or more dimensions."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    """How the learning rate falls."""
    warmup_epochs: Annotated[float, Field(ge=0, le=10**6)] = 0.0
    """Epochs of linear rise to the peak learning rate."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target that is spread over all classes."""
    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    """Largest global norm of the gradient."""
    log_every: PositiveInt = 20
    """Steps between two lines of metrics."""
    eval_every: PositiveInt = 1
    """Epochs between two evaluations; the last epoch always is."""

    @model_validator(mode="after")
    def _known_optimizer(self) -> TrainingConfig:
        known = get_args(Optimizer)
        if self.optimizer not in known and ":" not in self.optimizer:
            raise NotPossible("optimizer", self.optimizer, f"{', '.join(known)}, or FILE.py:NAME of your own")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainingConfig:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs} is more than epochs = {self.epochs}: lower it")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        whole = self.epochs * steps_per_epoch
        return whole if self.steps is None else min(self.steps, whole)


class CheckpointConfig(Section):
    """[checkpoint]"""

    every_epochs: PositiveInt = 1
    """Epochs between two checkpoints."""
    every_steps: PositiveInt | None = None
    """Also within an epoch."""
    every_seconds: Annotated[float, Field(ge=1e-9, le=1e9)] | None = 600.0
    """Also within an epoch that takes longer."""
    keep: PositiveInt = 2
    """Newest checkpoints kept; the best is kept beside them."""


class CostConfig(Section):
    """[cost]"""

    technology: Annotated[str, Field(min_length=1)] = "laws-28nm"
    """A shipped technology's name, or a JSON file: what every operation costs in energy, time and area."""
    supply_v: Annotated[float, Field(ge=0.1, le=5)] | None = None
    """Supply voltage, V; the technology's own by default."""
    split_vectors: bool = False
    """Where an MVM leaves macros free, write its operand into them too and share its vectors out: less time, more
    writes."""
    value_aware: bool = False
    """Count the codes that are really driven, for an energy figure beside the one of typical codes."""


class Config(Section):
    """An experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)] = "run"
    """Names the run's folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Draws weights, order and noise."""
    baseline: bool = False
    """Also train the same network in float, for comparison."""
    tensorboard: bool = True
    """Write TensorBoard events where tensorboardX is installed."""
    data: DataConfig = DataConfig()
    """Data."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """The training loop."""
    imc: ImcConfig = ImcConfig()
    """The simulated array."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """When training is saved."""
    cost: CostConfig = CostConfig()
    """What its energy, time and area are counted with."""
    tracking: TrackingConfig = TrackingConfig()
    """Experiment trackers."""
