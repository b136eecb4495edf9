"""The experiment's TOML as pydantic models, its validation in one line, and its hash. Imports no jax."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from imctrain import limits
from imctrain.errors import UserError
from imctrain.frozen_defaults import filled


def _inside(bounds: limits.Bounds) -> Any:
    """The field that holds a number to its bounds."""
    return Field(gt=bounds.low, le=bounds.high) if bounds.above else Field(ge=bounds.low, le=bounds.high)


# Every number has bounds on both sides: what lies far outside is no number any more where it is used (float32, sizes).
PositiveInt = Annotated[int, Field(ge=1, le=10**9)]
BatchSize = Annotated[int, Field(ge=1, le=2**16)]
LearningRate = Annotated[float, Field(ge=1e-9, le=1e3)]
ClipScale = Annotated[float, _inside(limits.CLIP_SCALE)]
Range = Annotated[float, _inside(limits.RANGE)]
PactRate = Annotated[float, _inside(limits.PACT_RATE)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AugmentConfig(_Section):
    """[data.augment]"""

    flip: bool = Field(default=False, description="mirror half of the training images")
    crop: Annotated[int, Field(ge=0, le=64)] = Field(default=0, description="random shift by up to this many pixels")
    border: Literal["black", "reflect"] = Field(default="black", description="what shifted images are filled up with")
    cutout: Annotated[int, Field(ge=0, le=64)] = Field(default=0, description="side of a square left out, pixels")


class DataConfig(_Section):
    """[data]"""

    name: str = Field(default="digits", description="digits, cifar10, fashion_mnist, or any prepared TFDS data set")
    batch_size: BatchSize = Field(default=128, description="images a training step")
    eval_batch_size: BatchSize = Field(default=500, description="images an evaluation step")
    augment: AugmentConfig = AugmentConfig()
    train_limit: PositiveInt | None = Field(default=None, description="use the first N training images only")
    test_limit: PositiveInt | None = Field(default=None, description="use the first N test images only")
    data_dir: str | None = Field(default=None, description="folder of prepared data sets")


class ModelConfig(_Section):
    """[model]"""

    name: str = Field(default="mlp", description="mlp, cnn5, resnet6, resnet8, vgg9, resnet20, resnet18 or vit")
    width: Annotated[int, _inside(limits.MODEL_WIDTH)] | None = Field(
        default=None, description="base width; the model's own by default"
    )


class TrainingConfig(_Section):
    """[training]"""

    epochs: Annotated[int, Field(ge=1, le=10**6)] = Field(default=10, description="passes over the training images")
    steps: PositiveInt | None = Field(
        default=None, description="end after this many steps where that is before the last epoch's end"
    )
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: LearningRate = Field(default=0.1, description="peak learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        default=5e-4, description="on weights of two or more dimensions"
    )
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0, le=10**6)] = Field(
        default=0.0, description="epochs of linear rise to the peak learning rate"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)] | None = Field(
        default=None, description="largest global norm of the gradient"
    )
    log_every: PositiveInt = Field(default=20, description="steps between two lines of metrics")
    eval_every: PositiveInt = Field(default=1, description="epochs between two evaluations; the last epoch always is")

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainingConfig:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs = {self.warmup_epochs} is more than epochs = {self.epochs}: lower it")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        whole = self.epochs * steps_per_epoch
        return whole if self.steps is None else min(self.steps, whole)


class ArrayConfig(_Section):
    """[imc.array]: overrides of the calibration's array, and how operands are placed on it"""

    rows: Annotated[int, Field(ge=1, le=65536)] | None = None
    columns: Annotated[int, Field(ge=1, le=65536)] | None = None
    input_bits: Annotated[int, Field(ge=1, le=8)] | None = None
    drive: Literal["signed", "unsigned"] = Field(
        default="signed", description="codes of the input DAC: -L..L, L = 2^(b-1), or 0..L, L = 2^b - 1"
    )
    cell: Literal["and", "xnor"] | None = None
    replicate: bool = Field(default=True, description="write operands that leave rows free several times")
    segment_rows: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None, description="rows of a segment; only segments in use share charge"
    )
    chop: bool = Field(default=False, description="drive signed vectors with random signs: offsets average out")
    macros: Annotated[int, _inside(limits.MACROS)] = Field(
        default=16, description="macros that sites are time-multiplexed over"
    )


class AdcConfig(_Section):
    """[imc.adc]"""

    bits: Annotated[int, Field(ge=2, le=24)] | None = Field(default=None, description="the calibration's by default")
    range_policy: Literal["fixed", "two_level", "per_site"] = "per_site"
    range: Range = Field(default=1.0, description="R of the fixed policy, upper R of the others")
    low_range: Range = Field(default=0.25, description="lower R of two_level")
    min_range: Range = Field(default=2.0**-6, description="smallest R of per_site")
    headroom: Annotated[float, _inside(limits.HEADROOM)] = Field(
        default=4.0, description="R holds |mean| + headroom * std of the column voltages"
    )
    polarity: Literal["auto", "bipolar", "unipolar"] = "auto"
    offset_conversions: Annotated[int, _inside(limits.OFFSET_CONVERSIONS)] = Field(
        default=0, description="conversions at zero input averaged to learn a column's offset, subtracted digitally"
    )
    offset_range: Range = Field(
        default=1.0, description="R of these conversions; a smaller one resolves offsets finer and clips those beyond"
    )
    full_scale_on_last_code: bool = Field(default=False, description="2^B - 1 steps in place of 2^B")
    round_to_integers: bool = Field(
        default=True, description="round readings to integers where the converter tells single integers apart"
    )


class NoiseConfig(_Section):
    """[imc.noise]"""

    sigma_lsb: Annotated[float, _inside(limits.noise_lsb(24))] | None = Field(
        default=None, description="total noise before rounding, LSB at R = 1, in place of the calibration's; same split"
    )
    scale: Annotated[float, _inside(limits.NOISE_SCALE)] = Field(default=1.0, description="multiplies the noise")
    mismatch: bool = Field(default=True, description="gain, offset and INL of the calibration")


class FormatsConfig(_Section):
    """[imc.formats]"""

    quantise: tuple[Literal["weights", "activations", "gradients"], ...] = Field(
        default=("weights", "activations", "gradients"),
        description="operands that are encoded; others stay float, which needs path = 'digital'",
    )
    weight_clip: Literal["least_error", "sawb", "max"] = Field(
        default="least_error", description="of the operand's own codes; sawb: from its mean square and magnitude"
    )
    activation_clip: Literal["least_error", "rms", "max", "pact"] = Field(
        default="least_error", description="of the operand's own codes; rms: a multiple of it; pact: learned"
    )
    weight_clip_scale: ClipScale = Field(default=1.0, description="multiplies the weights' clip")
    activation_clip_scale: ClipScale = Field(default=1.0, description="multiplies the clip that statistics give")
    noise_aware: bool = Field(
        default=False,
        description="lower both clips where the array's noise outweighs what saturates",
    )
    pact_learning_rate: PactRate = 0.01
    pact_decay: PactRate = 1e-4
    gradient_rounding: Literal["nearest", "two_phase", "stochastic"] = "stochastic"
    gradient_scale: Literal["step", "carried"] = "step"
    gradient_clip: Annotated[float, _inside(limits.GRADIENT_CLIP)] | None = Field(
        default=None, description="top level in units of the gradient's rms, saturating above; its maximum by default"
    )
    gradient_scale_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    preserve_sums: bool = Field(
        default=False, description="give back to weight gradients, digitally, what codes lose of a channel's sum"
    )


class MappingConfig(_Section):
    """[imc.mapping]"""

    gradient: Literal["bit_serial", "grouped", "balanced"] = "balanced"
    passes: Annotated[int, Field(ge=1, le=7)] = Field(default=3, description="passes of the balanced mapping")
    activation: Literal["balanced", "digit_serial"] = Field(
        default="balanced", description="passes of activations whose codes the DAC does not hold"
    )
    gradient_samples: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="times that gradient MVMs are done, rounded and converted anew, for the mean"
    )
    planes: Annotated[int, Field(ge=4, le=14)] | None = Field(
        default=None, description="balanced planes of a stored operand; the cells' usual four by default"
    )
    full_drive: bool = Field(
        default=False, description="drive activations over the whole DAC, unsigned ones around their middle"
    )


class StatisticalConfig(_Section):
    """[imc.statistical]: where the statistical path may stand in for the exact one"""

    bias_limit: Annotated[float, _inside(limits.BIAS_LIMIT)] = Field(
        default=0.0015, description="largest bias of dithered rounding, LSB; 0.0015 needs 0.52 LSB of noise"
    )
    clip_limit: Annotated[float, _inside(limits.CLIP_LIMIT)] = Field(
        default=2e-3, description="largest fraction of conversions that may clip"
    )
    inl_limit: Annotated[float, _inside(limits.INL_LIMIT)] = Field(
        default=0.25, description="largest distance of the INL from a line, LSB"
    )


class RuleConfig(_Section):
    """[[imc.rules]]: what is different at the sites whose names match"""

    match: str = Field(min_length=1, description="shell pattern for site names, such as 'stem' or 'stage1/*'")
    path: Literal["float", "digital", "exact", "statistical", "auto"] | None = None
    overrides: dict[str, Any] = Field(default={}, description="hardware keys such as adc.bits = 10")

    @field_validator("overrides")
    @classmethod
    def _dotted(cls, value: dict[str, Any]) -> dict[str, Any]:
        # TOML reads `overrides.adc.bits = 10` as nested tables; hardware keys are dotted.
        return dict(_leaves(value))


class ImcConfig(_Section):
    """[imc]"""

    path: Literal["float", "digital", "exact", "statistical", "auto"] = Field(
        default="exact",
        description="float: standard training; digital: 4-bit formats, no array; exact: every conversion simulated; "
        "statistical: outputs drawn from the distribution of their conversions; auto: statistical where it is valid",
    )
    calibration: str = Field(default="feasible-assumed", description="a shipped calibration's name, or a JSON file")
    mvms: tuple[Literal["forward", "input_grad", "weight_grad"], ...] = Field(
        default=("forward", "input_grad", "weight_grad"),
        description="MVMs on the array; the others keep the 4-bit formats, computed digitally",
    )
    chip_seed: Annotated[int, _inside(limits.CHIP_SEED)] = Field(
        default=0, description="draws the columns that were not measured"
    )
    memory_mib: Annotated[int, _inside(limits.MEMORY_MIB)] = Field(
        default=2, description="conversions held at once; raise it on a GPU"
    )
    array: ArrayConfig = ArrayConfig()
    adc: AdcConfig = AdcConfig()
    noise: NoiseConfig = NoiseConfig()
    formats: FormatsConfig = FormatsConfig()
    mapping: MappingConfig = MappingConfig()
    statistical: StatisticalConfig = StatisticalConfig()
    rules: tuple[RuleConfig, ...] = ()


class CheckpointConfig(_Section):
    """[checkpoint]"""

    every_epochs: PositiveInt = 1
    every_steps: PositiveInt | None = Field(default=None, description="also within an epoch")
    every_seconds: Annotated[float, Field(ge=1e-9, le=1e9)] | None = Field(
        default=600.0, description="also within an epoch that takes longer"
    )
    keep: PositiveInt = Field(default=2, description="newest checkpoints kept; the best is kept beside them")


class Config(_Section):
    """An experiment."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run's folder")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    baseline: bool = Field(default=False, description="also train the same network in float, for comparison")
    tensorboard: bool = Field(default=True, description="write TensorBoard events where tensorboardX is installed")
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
    data = _read_toml(path)
    origin: dict[tuple[str, ...], str] = {}
    for item in overrides:
        keys, value = _parse_override(item)
        _assign(data, keys, value, item)
        origin[keys] = f"config {path} with --set {item}"
    return validate_config(data, f"config {path}", origin)


def load_kept_config(path: Path) -> Config:
    """The config.toml of a run's folder, whose missing keys mean what they meant when it was written.

    Raises UserError as `load_config` does.
    """
    return kept_config(_read_toml(path), f"config {path}")


def kept_config(data: dict[str, Any], where: str) -> Config:
    """Validate the content of a plan, a recording or a run's config.toml (see `frozen_defaults`)."""
    return validate_config(filled(data), where)


def frozen_imc(**changes: Any) -> ImcConfig:
    """[imc] as kept trials had it where they set nothing else, whatever this version's defaults are."""
    return kept_config({"imc": changes}, "frozen defaults").imc


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UserError(f"config {path}: cannot be read ({reason}): give an experiment's TOML file") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"config {path}: not valid TOML: {error}") from None


def validate_config(data: dict[str, Any], where: str, origin: dict[tuple[str, ...], str] | None = None) -> Config:
    """Validate the content of a config; `origin` says which keys came from --set."""
    try:
        return Config.model_validate(_tuples(data))
    except ValidationError as error:
        # A misspelt key is also missing under its right name: the misspelling is what to show.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        keys = tuple(str(part) for part in first["loc"])
        overridden = ((known[: len(keys)], text) for known, text in (origin or {}).items())
        source = next((text for known, text in overridden if keys[: len(known)] == known), where)
        raise UserError(f"{source}: {_explain(first, keys)}") from None


def _explain(error: Any, keys: tuple[str, ...]) -> str:
    dotted = ".".join(keys)
    if error["type"] == "extra_forbidden":
        return f"{dotted} is no known key; {_known_instead(keys)}"
    if error["type"] == "missing":
        return f"{dotted} is missing"
    if error["type"] == "value_error":
        return f"{dotted}: {error['ctx']['error']}"
    expected = _TYPES.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("String should ")
    return f"{dotted} = {error['input']!r} is not possible: it should be {expected}"


_NAME = "letters, digits, '.', '_' and '-', with a letter or digit first"
_TYPES = {"model_type": "a table", "dict_type": "a table", "tuple_type": "a list", "string_pattern_mismatch": _NAME}
"""What pydantic's errors expect, in the words of TOML."""


def _known_instead(keys: tuple[str, ...]) -> str:
    """The nearest key, and all that the same table may hold."""
    # Positions in lists are no part of a key's name.
    *table, last = (key for key in keys if not key.isdigit())
    prefix = "".join(f"{key}." for key in table)
    known = known_keys()
    beside = sorted({key.removeprefix(prefix).partition(".")[0] for key in known if key.startswith(prefix)})
    candidates = dict.fromkeys([*(prefix + key for key in beside), *known])
    typed = prefix + last
    # A key in a wrong table is as common as a misspelt one: the last part alone counts too.
    nearest = max(candidates, key=lambda key: max(_alike(typed, key), _alike(last, key.rpartition(".")[2]) - 0.05))
    inside = f"[{'.'.join(table)}]" if table else "the top level"
    return f"the nearest is {nearest}; allowed in {inside}: {', '.join(beside)}"


def _alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


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
        if isinstance(table, list):
            table = table[_position(table, key, item)]
        else:
            table = table.setdefault(key, {})
        if not isinstance(table, dict | list):
            raise UserError(f"--set {item}: {'.'.join(keys[: depth + 1])} is no table")
    if isinstance(table, list):
        table[_position(table, keys[-1], item)] = value
    else:
        table[keys[-1]] = value


def _position(values: list[Any], key: str, item: str) -> int:
    if not key.isdigit() or int(key) >= len(values):
        raise UserError(f"--set {item}: {key!r} is no position in a list of {len(values)}: give 0 to {len(values) - 1}")
    return int(key)


def _leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested tables."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, as frozen models hold them."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def dump_toml(config: Config) -> str:
    """The resolved config as TOML (keys that are None are left out: absent means None)."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
