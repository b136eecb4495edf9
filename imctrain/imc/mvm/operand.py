"""What is known of an operand before it is seen, and the number format that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imctrain.formats import RADIX4, Format, IntegerFormat
from imctrain.settings import FormatSpec


@dataclass(frozen=True)
class OperandInfo:
    """An operand of a site.

    Attributes:
        kind: "weight" (depends on trained parameters only), "activation", or "gradient" (inside a custom backward
            rule: encoded in radix-4 and driven).
        nonneg: provably >= 0, as after a ReLU: its codes are unsigned.
        differentiated: whether a gradient flows into it; an operand that depends on data alone needs none.
    """

    kind: Literal["weight", "activation", "gradient"]
    nonneg: bool = False
    differentiated: bool = True

    @property
    def signed(self) -> bool:
        """Whether its codes can be negative."""
        return self.kind != "activation" or not self.nonneg


def integer_format(info: OperandInfo, formats: FormatSpec) -> IntegerFormat:
    """The format of a weight or an activation."""
    return IntegerFormat(formats.weight_bits if info.kind == "weight" else formats.activation_bits, info.signed)


def format_of(info: OperandInfo, formats: FormatSpec) -> Format:
    """The format of any operand."""
    return RADIX4 if info.kind == "gradient" else integer_format(info, formats)


def is_encoded(info: OperandInfo, formats: FormatSpec) -> bool:
    """Whether a weight or an activation is brought to codes, or stays float."""
    return ("weights" if info.kind == "weight" else "activations") in formats.quantise
