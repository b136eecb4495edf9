"""[imc.formats]: number formats of the three kinds of operand."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.settings.base import NotPossible, Section, within

Rounding = Literal["nearest", "two_phase", "stochastic"]
Operand = Literal["weights", "activations", "gradients"]
OPERANDS: tuple[Operand, ...] = ("weights", "activations", "gradients")
"""The kinds of operand of a training step's MVMs."""
ClipScale = Annotated[float, within(limits.CLIP_SCALE)]
Bits = Annotated[int, Field(ge=2, le=8)]
PactRate = Annotated[float, within(limits.PACT_RATE)]


class FormatSpec(Section):
    """Number formats: integer codes of weights and activations (int4 and uint4), radix-4 levels of gradients."""

    PREFIX: ClassVar[str] = "formats."

    quantise: tuple[Operand, ...] = OPERANDS
    """Operands that are encoded; the others stay float, to tell what each format costs. An array takes codes only, so
    that anything but all three needs path = "digital"."""
    weight_bits: Bits = 4
    """Bits of a weight's signed code."""
    activation_bits: Bits = 4
    """Bits of an activation's code, signed where it can be negative."""
    weight_clip: Literal["least_error", "sawb", "max"] = "least_error"
    """least_error (the clip whose codes err least on the operand itself), sawb (from the mean square and the mean
    magnitude: right for bell-shaped weights) or max."""
    activation_clip: Literal["least_error", "rms", "max", "pact"] = "least_error"
    """least_error, rms (a multiple of the operand's root mean square, at most its maximum: right for bell-shaped ones
    and ReLU outputs, cuts sparse and peaked ones), max, or pact (learned; starts from rms)."""
    weight_clip_scale: ClipScale = 1.0
    """Multiplies the weights' clip. Below 1, more elements saturate and the others have larger codes, which noise
    disturbs less."""
    activation_clip_scale: ClipScale = 1.0
    """Multiplies the activations' clip from statistics (a learned clip starts there)."""
    noise_aware: bool = False
    """Lower both clips where the noise of the forward MVM outweighs what saturates; needs clips from statistics,
    least_error for both or sawb and rms."""
    pact_learning_rate: PactRate = 0.01
    """Step of a learned clip, relative to the clip itself."""
    pact_decay: PactRate = 1e-4
    """L2 decay of a learned clip, relative to the clip itself."""
    gradient_rounding: Rounding = "stochastic"
    """nearest, two_phase (even grid for input_grad, odd grid for weight_grad) or stochastic (independent draws for
    the two)."""
    gradient_scale: Literal["step", "carried"] = "step"
    """step (from this step's max|g|) or carried (a state that follows max|g|)."""
    gradient_clip: Annotated[float, within(limits.GRADIENT_CLIP)] | None = None
    """The top level stands for at most this many times the gradient's root mean square, and what is above saturates.
    The largest magnitude by default."""
    gradient_scale_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """How fast a carried scale falls when gradients shrink; it rises at once."""
    preserve_sums: bool = False
    """Give back to weight gradients, digitally, what the codes lose of each channel's summed gradient."""

    @model_validator(mode="after")
    def _clips_go_together(self) -> FormatSpec:
        clips = (self.weight_clip, self.activation_clip)
        if self.noise_aware and clips not in (("least_error", "least_error"), ("sawb", "rms")):
            found = f"true with weight_clip = '{clips[0]}' and activation_clip = '{clips[1]}'"
            raise NotPossible("noise_aware", found, "true with 'least_error' for both, or 'sawb' and 'rms'")
        if self.weight_clip == "sawb" and self.weight_bits != 4:
            raise NotPossible("weight_clip", f"'sawb' with weight_bits = {self.weight_bits}", "'sawb' with 4 bits only")
        return self
