"""Everything static about a site."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imctrain.imc.mvm.contraction import ConvSpec, DotSpec, Side
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.settings import Hardware


@dataclass(frozen=True)
class SiteSpec:
    """A matmul or a convolution of the user's program.

    Attributes:
        name: unique name; index: its place in the program (fixes keys and floor plan).
        op: the primitive's parameters; lhs_shape, rhs_shape: its operands; dtype: of its output.
        lhs, rhs: what is known of the operands.
        hardware: after the rules that match this site.
    """

    name: str
    index: int
    op: DotSpec | ConvSpec
    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    dtype: np.dtype | type | None
    lhs: OperandInfo
    rhs: OperandInfo
    hardware: Hardware

    @property
    def driven(self) -> Side:
        """The side driven onto the rows in the forward MVM; the other is stored.

        A gradient is always driven; else weights are stored; between two alike the right-hand side is stored.
        """
        if "gradient" in (self.lhs.kind, self.rhs.kind):
            return "lhs" if self.lhs.kind == "gradient" else "rhs"
        return "rhs" if self.lhs.kind == "weight" and self.rhs.kind != "weight" else "lhs"

    @property
    def one_way(self) -> bool:
        """A gradient MVM inside a custom backward rule: not differentiated again."""
        return "gradient" in (self.lhs.kind, self.rhs.kind)

    @property
    def driven_info(self) -> OperandInfo:
        """Of the operand that is driven in the forward MVM."""
        return self.lhs if self.driven == "lhs" else self.rhs

    @property
    def stored_info(self) -> OperandInfo:
        """Of the other one."""
        return self.rhs if self.driven == "lhs" else self.lhs
