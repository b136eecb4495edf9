"""What a site is simulated on: frozen, hashable descriptions of the array, its converters and the formats.

Nothing here holds a JAX array, so a `Hardware` can be a static argument, a dictionary key and part of a config hash.
Voltages are fractions of full scale; one LSB is the converter step at reference range R = 1 of the *calibrated*
converter (`NoiseSpec.reference_bits`, `reference_polarity`), the unit in which noise is quoted.

Notation (used in all of `imctrain.imc`):
    N   rows of the array                     L   top input level, see `ArraySpec.levels`
    B   bits of the converter                 R   reference range, a fraction of full scale
    P   passes of an input operand            J   planes of a stored operand
    T   row tiles of a contraction            q   one LSB in units of the integer dot product
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from imctrain import limits
from imctrain.imc.noise_spec import ColumnError as ColumnError
from imctrain.imc.noise_spec import NoiseSpec as NoiseSpec
from imctrain.imc.requirements import require as _require
from imctrain.imc.requirements import require_within as _require_within

Cell = Literal["and", "xnor"]
Polarity = Literal["auto", "bipolar", "unipolar"]
RangePolicy = Literal["fixed", "two_level", "per_site"]
Path = Literal["exact", "statistical", "auto", "digital"]
Rounding = Literal["nearest", "two_phase", "stochastic"]
GradientMapping = Literal["bit_serial", "grouped", "balanced"]
ActivationMapping = Literal["balanced", "digit_serial"]
Drive = Literal["signed", "unsigned"]

Operand = Literal["weights", "activations", "gradients"]
OPERANDS: tuple[Operand, ...] = ("weights", "activations", "gradients")
"""The kinds of operand of a training step's MVMs."""

Mvm = Literal["forward", "input_grad", "weight_grad"]
MVMS: tuple[Mvm, ...] = ("forward", "input_grad", "weight_grad")
"""The three matrix-vector multiplies of a training step, in the order used by every per-MVM array."""

RADIX4_EXPONENTS = 7
"""Magnitudes of the gradient format: 4**0 .. 4**6."""
FEWEST_PLANES, MOST_PLANES = 4, 14
"""Planes of a stored 4-bit operand: with 14, all int4 planes weigh the same."""


MOST_SAMPLES = 16
"""Repetitions of a gradient MVM: each is a copy of it in the compiled step."""


@dataclass(frozen=True)
class ArraySpec:
    """Geometry of the array (system: `vlsi21` geometry by default).

    Attributes:
        rows: N, rows that share charge on a column; full scale counts all of them.
        columns: physical columns of one macro.
        input_bits: b, resolution of the input DAC.
        drive: "signed", codes -L..L with L = 2**(b-1), or "unsigned", codes 0..L with L = 2**b - 1, as several
            published simulators have it; what can be negative is then driven differentially (see `mapping`).
        cell: "and" (stored bit 0/1) or "xnor" (stored bit -1/+1).
        replicate: write an operand of K <= N/2 rows floor(N/K) times and drive the copies together.
        segment_rows: when set, rows come in segments of this size and only the segments in use share charge.
        chop: drive signed vectors with a random sign each and turn their results back (see `chopping`).
        macros: macros of the chip that sites are time-multiplexed over (see `floorplan`).
    """

    rows: int = 1152
    columns: int = 256
    input_bits: int = 5
    drive: Drive = "signed"
    cell: Cell = "and"
    replicate: bool = True
    segment_rows: int | None = None
    chop: bool = False
    macros: int = 16

    def __post_init__(self) -> None:
        _require(1 <= self.rows <= 65536, "array.rows", self.rows, "1 to 65536")
        _require(1 <= self.columns <= 65536, "array.columns", self.columns, "1 to 65536")
        _require(1 <= self.input_bits <= 8, "array.input_bits", self.input_bits, "1 to 8")
        _require(self.drive in ("signed", "unsigned"), "array.drive", self.drive, "'signed' or 'unsigned'")
        _require(self.cell in ("and", "xnor"), "array.cell", self.cell, "'and' or 'xnor'")
        _require_within(limits.MACROS, "array.macros", self.macros)
        segment = self.segment_rows
        _require(segment is None or 1 <= segment <= self.rows, "array.segment_rows", segment, "1 to array.rows")

    @property
    def levels(self) -> int:
        """L: the largest input code; codes run from -L to L, or from 0 to L where the drive is unsigned."""
        return 2 ** (self.input_bits - 1) if self.drive == "signed" else 2**self.input_bits - 1


@dataclass(frozen=True)
class AdcSpec:
    """The column converter.

    Attributes:
        bits: B.
        range_policy: how the reference range R is chosen: "fixed" (always `range`), "two_level" (`range` or
            `low_range`, by the site's running statistics) or "per_site" (the smallest power of two that holds the
            site's and pass's running statistics, down to `min_range`).
        range: R of the fixed policy and the upper R of the others, in (0, 1].
        low_range: the lower R of "two_level".
        min_range: the smallest R that "per_site" may pick.
        headroom: R must hold |mean| + headroom * (standard deviation) of a pass's column voltages.
        polarity: "bipolar", "unipolar", or "auto": unipolar where codes and cells are both non-negative.
        offset_conversions: conversions at zero input that are averaged to learn each column's offset, which is then
            subtracted digitally; 0 for none.
        offset_range: R of these conversions: a smaller one resolves offsets finer, and clips those beyond it.
        full_scale_on_last_code: False for 2**B steps (the macro), True for 2**B - 1 steps, full scale on the last
            code, as several published simulators have it.
        round_to_integers: where one LSB at the range in use is at most one unit of the dot product, the digital side
            rounds readings to the integers that they must be (see `Converter.resolves`).
    """

    bits: int = 8
    range_policy: RangePolicy = "per_site"
    range: float = 1.0
    low_range: float = 0.25
    min_range: float = 2.0**-6
    headroom: float = 4.0
    polarity: Polarity = "auto"
    offset_conversions: int = 0
    offset_range: float = 1.0
    full_scale_on_last_code: bool = False
    round_to_integers: bool = True

    def __post_init__(self) -> None:
        _require(2 <= self.bits <= 24, "adc.bits", self.bits, "2 to 24")
        policies = ("fixed", "two_level", "per_site")
        _require(
            self.range_policy in policies,
            "adc.range_policy",
            self.range_policy,
            "one of " + ", ".join(policies),
        )
        for name in ("range", "low_range", "min_range", "offset_range"):
            _require_within(limits.RANGE, f"adc.{name}", getattr(self, name))
        _require_within(limits.OFFSET_CONVERSIONS, "adc.offset_conversions", self.offset_conversions)
        _require_within(limits.HEADROOM, "adc.headroom", self.headroom)
        polarities = ("auto", "bipolar", "unipolar")
        _require(self.polarity in polarities, "adc.polarity", self.polarity, "one of " + ", ".join(polarities))


@dataclass(frozen=True)
class FormatSpec:
    """Number formats of the three kinds of operand.

    Attributes:
        quantise: which kinds of operand are encoded; the others stay float, to tell what each format costs. An array
            takes codes only, so that anything but all three needs products that are digital.
        weight_clip: "least_error" (the clip whose codes err least on the operand itself, see `formats.least_error`),
            "sawb" (from the mean square and the mean magnitude: right for bell-shaped weights) or "max".
        activation_clip: "least_error", "rms" (a multiple of the operand's root mean square, at most its maximum: right
            for bell-shaped ones and ReLU outputs, cuts sparse and peaked ones), "max", or "pact" (learned; starts from
            "rms").
        weight_clip_scale, activation_clip_scale: multiply the clips that statistics give (a learned clip starts there).
            Below 1, more elements saturate and the others have larger codes, which noise disturbs less.
        noise_aware: lower both clips where the noise of the forward MVM outweighs what saturates (see
            `formats.noise_clip`); needs clips from statistics, "least_error" for both or "sawb" and "rms".
        pact_learning_rate, pact_decay: step and L2 decay of a learned clip, relative to the clip itself.
        gradient_rounding: "nearest", "two_phase" (even grid for input_grad, odd grid for weight_grad) or
            "stochastic" (independent draws for the two).
        gradient_scale: "step" (from this step's max|g|) or "carried" (a state that follows max|g|).
        gradient_clip: the top level stands for at most this many times the gradient's root mean square, and what is
            above saturates; None for the largest magnitude.
        gradient_scale_decay: how fast a carried scale falls when gradients shrink; it rises at once.
        preserve_sums: give back to weight gradients, digitally, what the codes lose of each channel's summed gradient
            (see `imc.preserved_sums`).
    """

    quantise: tuple[Operand, ...] = OPERANDS
    weight_clip: Literal["least_error", "sawb", "max"] = "least_error"
    activation_clip: Literal["least_error", "rms", "max", "pact"] = "least_error"
    weight_clip_scale: float = 1.0
    activation_clip_scale: float = 1.0
    noise_aware: bool = False
    pact_learning_rate: float = 0.01
    pact_decay: float = 1e-4
    gradient_rounding: Rounding = "stochastic"
    gradient_scale: Literal["step", "carried"] = "step"
    gradient_clip: float | None = None
    gradient_scale_decay: float = 0.99
    preserve_sums: bool = False

    def __post_init__(self) -> None:
        def choice(name: str, *allowed: str) -> None:
            found = getattr(self, name)
            _require(found in allowed, f"formats.{name}", found, "one of " + ", ".join(allowed))

        _require(
            set(self.quantise) <= set(OPERANDS), "formats.quantise", self.quantise, "any of " + ", ".join(OPERANDS)
        )
        choice("weight_clip", "least_error", "sawb", "max")
        choice("activation_clip", "least_error", "rms", "max", "pact")
        choice("gradient_rounding", "nearest", "two_phase", "stochastic")
        choice("gradient_scale", "step", "carried")
        for name in ("weight_clip_scale", "activation_clip_scale"):
            _require_within(limits.CLIP_SCALE, f"formats.{name}", getattr(self, name))
        clips = (self.weight_clip, self.activation_clip)
        statistics = clips in (("least_error", "least_error"), ("sawb", "rms"))
        _require(
            statistics or not self.noise_aware,
            "formats.noise_aware",
            f"true with weight_clip = '{self.weight_clip}' and activation_clip = '{self.activation_clip}'",
            "true with 'least_error' for both, or 'sawb' and 'rms'",
        )
        for name in ("pact_learning_rate", "pact_decay"):
            _require_within(limits.PACT_RATE, f"formats.{name}", getattr(self, name))
        if self.gradient_clip is not None:
            _require_within(limits.GRADIENT_CLIP, "formats.gradient_clip", self.gradient_clip)
        decay = self.gradient_scale_decay
        _require(0 < decay < 1, "formats.gradient_scale_decay", decay, "between 0 and 1")


@dataclass(frozen=True)
class MappingSpec:
    """How operands are driven (see `mapping`).

    Attributes:
        gradient: of a radix-4 magnitude: "bit_serial", "grouped" or "balanced" in `passes` passes.
        gradient_samples: how often the two gradient MVMs are done, each time with another rounding of the gradient and
            other noise, for the mean of the results; conversions in proportion. Products inside custom backward rules,
            which have no backward pass of their own, are done once.
        full_drive: activations on all levels of the DAC, unsigned ones around their middle; signed ones above their
            lowest code where the drive is unsigned.
        activation: of an int4 or uint4 operand whose codes the DAC does not hold: "balanced", or "digit_serial", digits
            of as many bits as the DAC's codes hold (see `integer_mapping`). Where it holds them, both are one pass.
        planes: of a stored operand, with balanced weights (see `planes`); None for the cells' usual four.
    """

    gradient: GradientMapping = "balanced"
    passes: int = 3
    gradient_samples: int = 1
    full_drive: bool = False
    planes: int | None = None
    activation: ActivationMapping = "balanced"

    def __post_init__(self) -> None:
        names = ("bit_serial", "grouped", "balanced")
        _require(self.gradient in names, "mapping.gradient", self.gradient, "one of " + ", ".join(names))
        activation = self.activation
        allowed = "'balanced' or 'digit_serial'"
        _require(activation in ("balanced", "digit_serial"), "mapping.activation", activation, allowed)
        _require(1 <= self.passes <= RADIX4_EXPONENTS, "mapping.passes", self.passes, f"1 to {RADIX4_EXPONENTS}")
        samples = self.gradient_samples
        _require(1 <= samples <= MOST_SAMPLES, "mapping.gradient_samples", samples, f"1 to {MOST_SAMPLES}")
        planes = self.planes
        allowed = f"{FEWEST_PLANES} to {MOST_PLANES}"
        _require(planes is None or FEWEST_PLANES <= planes <= MOST_PLANES, "mapping.planes", planes, allowed)


@dataclass(frozen=True)
class StatisticalSpec:
    """Where the statistical path may stand in for the exact one.

    Attributes:
        bias_limit: largest bias, in LSB, that dithered rounding may leave (see `dither`). The default needs sigma >=
            0.52 LSB at the range in use, where small signals keep their size within 1 % and the variance is within 2 %
            at any voltage; 0.03 needs 0.35 LSB only, where a small signal comes out scaled by 0.82.
        clip_limit: largest fraction of conversions of a pass that may clip.
        inl_limit: largest distance of the INL from a straight line, in LSB.
    """

    bias_limit: float = 0.0015
    clip_limit: float = 2e-3
    inl_limit: float = 0.25

    def __post_init__(self) -> None:
        _require_within(limits.BIAS_LIMIT, "statistical.bias_limit", self.bias_limit)
        _require_within(limits.CLIP_LIMIT, "statistical.clip_limit", self.clip_limit)
        _require_within(limits.INL_LIMIT, "statistical.inl_limit", self.inl_limit)


@dataclass(frozen=True)
class Hardware:
    """Everything a site needs to know.

    Attributes:
        path: "exact" simulates every conversion; "statistical" draws each output from the distribution that its
            conversions have; "auto" takes the statistical path where it is valid and the exact one elsewhere, for
            each MVM and step; "digital" keeps the number formats and computes the integer
            products digitally (no array: never reported as analog).
        mvms: which of the three MVMs run on the array; the others keep the number formats and are computed digitally
            (for ablations).
        chip_seed: draws the columns that were not measured.
        memory_mib: bound on the conversions that one MVM holds at once; more are worked off in chunks. A few MiB
            stay in a CPU's cache, which is also fastest there; a GPU wants hundreds.
    """

    array: ArraySpec = field(default_factory=ArraySpec)
    adc: AdcSpec = field(default_factory=AdcSpec)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    formats: FormatSpec = field(default_factory=FormatSpec)
    mapping: MappingSpec = field(default_factory=MappingSpec)
    statistical: StatisticalSpec = field(default_factory=StatisticalSpec)
    path: Path = "exact"
    mvms: tuple[Mvm, ...] = MVMS
    chip_seed: int = 0
    memory_mib: int = 2

    def __post_init__(self) -> None:
        paths = ("exact", "statistical", "auto", "digital")
        _require(self.path in paths, "path", self.path, "one of " + ", ".join(paths))
        _require(set(self.mvms) <= set(MVMS), "mvms", self.mvms, "any of " + ", ".join(MVMS))
        _require_within(limits.CHIP_SEED, "chip_seed", self.chip_seed)
        _require_within(limits.MEMORY_MIB, "memory_mib", self.memory_mib)
        digital = self.path == "digital" or not self.mvms
        allowed = "all three on an array; any of them with path = 'digital'"
        _require(
            digital or set(self.formats.quantise) == set(OPERANDS), "formats.quantise", self.formats.quantise, allowed
        )

    def replace(self, **changes: object) -> Hardware:
        """A copy with top-level fields replaced (`dataclasses.replace`)."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
