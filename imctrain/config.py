"""The experiment's TOML as pydantic models, its validation in one line, and its hash. Imports no jax."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imctrain.errors import UserError

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AugmentConfig(_Section):
    """[data.augment]"""

    flip: bool = Field(False, description="mirror half of the training images")
    crop: Annotated[int, Field(ge=0, le=64)] = Field(0, description="random shift by up to this many pixels")


class DataConfig(_Section):
    """[data]"""

    name: str = Field("digits", description="digits, cifar10, fashion_mnist, or any prepared TFDS data set")
    batch_size: PositiveInt = Field(128, description="images a training step")
    eval_batch_size: PositiveInt = Field(500, description="images an evaluation step")
    augment: AugmentConfig = AugmentConfig()
    train_limit: PositiveInt | None = Field(None, description="use the first N training images only")
    test_limit: PositiveInt | None = Field(None, description="use the first N test images only")
    data_dir: str | None = Field(None, description="folder of prepared data sets")


class ModelConfig(_Section):
    """[model]"""

    name: str = Field("mlp", description="mlp, cnn5, vgg9, resnet20, resnet18 or vit")
    width: PositiveInt | None = Field(None, description="base width; the model's own by default")


class TrainingConfig(_Section):
    """[training]"""

    epochs: PositiveInt = Field(10, description="passes over the training images")
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = Field(0.1, description="peak learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: NonNegative = Field(5e-4, description="on weights of two or more dimensions")
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_epochs: NonNegative = Field(0.0, description="epochs of linear rise to the peak learning rate")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Positive | None = Field(None, description="largest global norm of the gradient")
    log_every: PositiveInt = Field(20, description="steps between two lines of metrics")
    eval_every: PositiveInt = Field(1, description="epochs between two evaluations; the last epoch always is")


class ArrayConfig(_Section):
    """[imc.array]: overrides of the calibration's array, and how operands are placed on it"""

    rows: Annotated[int, Field(ge=1, le=65536)] | None = None
    columns: Annotated[int, Field(ge=1, le=65536)] | None = None
    input_bits: Annotated[int, Field(ge=1, le=8)] | None = None
    cell: Literal["and", "xnor"] | None = None
    replicate: bool = Field(False, description="write operands that leave rows free several times")
    segment_rows: PositiveInt | None = Field(None, description="rows of a segment; only segments in use share charge")
    macros: PositiveInt = Field(16, description="macros that sites are time-multiplexed over")


class AdcConfig(_Section):
    """[imc.adc]"""

    bits: Annotated[int, Field(ge=2, le=24)] | None = Field(None, description="the calibration's by default")
    range_policy: Literal["fixed", "two_level", "per_site"] = "fixed"
    range: Fraction = Field(1.0, description="R of the fixed policy, upper R of the others")
    low_range: Fraction = Field(0.25, description="lower R of two_level")
    min_range: Fraction = Field(2.0**-6, description="smallest R of per_site")
    headroom: Positive = Field(4.0, description="R holds |mean| + headroom * std of the column voltages")
    polarity: Literal["auto", "bipolar", "unipolar"] = "auto"
    full_scale_on_last_code: bool = Field(False, description="2^B - 1 steps in place of 2^B")


class NoiseConfig(_Section):
    """[imc.noise]"""

    sigma_lsb: NonNegative | None = Field(
        None, description="total noise before rounding, LSB at R = 1, in place of the calibration's; same split"
    )
    scale: NonNegative = Field(1.0, description="multiplies the noise")
    mismatch: bool = Field(True, description="gain, offset and INL of the calibration")


class FormatsConfig(_Section):
    """[imc.formats]"""

    weight_clip: Literal["sawb", "max"] = "sawb"
    activation_clip: Literal["rms", "max", "pact"] = "rms"
    pact_learning_rate: NonNegative = 0.01
    pact_decay: NonNegative = 1e-4
    gradient_rounding: Literal["nearest", "two_phase", "stochastic"] = "stochastic"
    gradient_scale: Literal["step", "carried"] = "step"
    gradient_scale_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99


class MappingConfig(_Section):
    """[imc.mapping]"""

    gradient: Literal["bit_serial", "grouped", "balanced"] = "balanced"
    passes: Annotated[int, Field(ge=1, le=7)] = Field(3, description="passes of the balanced mapping")


class RuleConfig(_Section):
    """[[imc.rules]]: what is different at the sites whose names match"""

    match: str = Field(description="shell pattern for site names, such as 'stem' or 'stage1/*'")
    path: Literal["float", "digital", "exact"] | None = None
    overrides: dict[str, Any] = Field({}, description="hardware keys such as 'adc.bits' = 10")


class ImcConfig(_Section):
    """[imc]"""

    path: Literal["float", "digital", "exact"] = Field(
        "exact", description="float: standard training; digital: 4-bit formats, no array; exact: the array"
    )
    calibration: str = Field("feasible-assumed", description="a shipped calibration's name, or a JSON file")
    chip_seed: Annotated[int, Field(ge=0)] = Field(0, description="draws the columns that were not measured")
    memory_mib: PositiveInt = Field(2, description="conversions held at once; raise it on a GPU")
    array: ArrayConfig = ArrayConfig()
    adc: AdcConfig = AdcConfig()
    noise: NoiseConfig = NoiseConfig()
    formats: FormatsConfig = FormatsConfig()
    mapping: MappingConfig = MappingConfig()
    rules: tuple[RuleConfig, ...] = ()


class CheckpointConfig(_Section):
    """[checkpoint]"""

    every_epochs: PositiveInt = 1
    every_steps: PositiveInt | None = Field(None, description="also within an epoch")


class Config(_Section):
    """An experiment."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run's folder")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    baseline: bool = Field(False, description="also train the same network in float, for comparison")
    tensorboard: bool = Field(True, description="write TensorBoard events where tensorboardX is installed")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    imc: ImcConfig = ImcConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()


def config_hash(config: Config) -> str:
    """SHA-256 of the resolved config, in canonical JSON."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read, override and validate. Raises UserError naming the file, the key, what was found and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"config {path}: cannot be read ({reason}): give an experiment's TOML file") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"config {path}: not valid TOML: {error}") from None
    origin: dict[tuple[str, ...], str] = {}
    for item in overrides:
        keys, value = _parse_override(item)
        _assign(data, keys, value, item)
        origin[keys] = f"--set {item}"
    return validate_config(data, f"config {path}", origin)


def validate_config(data: dict[str, Any], where: str, origin: dict[tuple[str, ...], str] | None = None) -> Config:
    """Validate the content of a config; `origin` says which keys came from --set."""
    try:
        return Config.model_validate(_tuples(data))
    except ValidationError as error:
        first = error.errors()[0]
        # Parts that pydantic adds for unions ("int", "constrained-int") are no keys of the file.
        keys = tuple(str(part) for part in first["loc"])
        overridden = ((known[: len(keys)], text) for known, text in (origin or {}).items())
        source = next((text for known, text in overridden if keys[: len(known)] == known), where)
        raise UserError(f"{source}: {_explain(first, keys)}") from None


def _explain(error: Any, keys: tuple[str, ...]) -> str:
    dotted = ".".join(keys)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(dotted, known_keys(), n=1, cutoff=0.0)[0]
        return f"{dotted} is no known key; the nearest is {near}"
    if error["type"] == "missing":
        return f"{dotted} is missing"
    expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{dotted} = {error['input']!r} is not possible: it should be {expected}"


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key that a config may have."""
    keys = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        arguments = typing.get_args(inner) if typing.get_origin(inner) in (tuple, types.UnionType) else (inner,)
        section = next((a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)), None)
        keys += known_keys(section, f"{prefix}{name}.") if section else [prefix + name]
    return keys


def _parse_override(item: str) -> tuple[tuple[str, ...], Any]:
    key, equals, text = item.partition("=")
    keys = tuple(key.strip().split("."))
    if not equals or not all(keys):
        raise UserError(f"--set {item}: give KEY=VALUE, such as training.epochs=5")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare string: model.name=vit
    return keys, value


def _assign(data: dict[str, Any], keys: tuple[str, ...], value: Any, item: str) -> None:
    table: Any = data
    for depth, key in enumerate(keys[:-1]):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {item}: {'.'.join(keys[: depth + 1])} is no table")
    table[keys[-1]] = value


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, and whole numbers where a float is meant are left to pydantic."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def dump_toml(config: Config) -> str:
    """The resolved config as TOML (keys that are None are left out: absent means None)."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
