"""The MVMs of a ledger as lines of a bill: what runs, how often, and its operands as they lie in buffers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from imctrain.cost.events import Traffic
from imctrain.formats import RADIX4
from imctrain.imc.mvm.contraction import ConvSpec, DotContraction, DotSpec
from imctrain.imc.mvm.operand import OperandInfo, integer_format
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.site.site import Site
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import FormatSpec, Hardware

FLOAT_BITS = 32


class Matmul(Protocol):
    """What is known of a matmul of a program: an entry of its ledger (`intercept.LedgerEntry`)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def op(self) -> DotSpec | ConvSpec | None: ...
    @property
    def path(self) -> str: ...
    @property
    def lhs_shape(self) -> tuple[int, ...]: ...
    @property
    def rhs_shape(self) -> tuple[int, ...]: ...
    @property
    def out_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype | None: ...
    @property
    def lhs(self) -> OperandInfo: ...
    @property
    def rhs(self) -> OperandInfo: ...
    @property
    def executions(self) -> int | None: ...
    @property
    def conditional(self) -> bool: ...
    @property
    def site(self) -> Site | None: ...
    @property
    def mvms(self) -> tuple[MvmPlan, ...]: ...


@dataclass(frozen=True, eq=False)
class Line:
    """One MVM of a step.

    Attributes:
        entry: its matmul. mvm: "forward", "input_grad" or "weight_grad". plan: None for a float matmul.
        spec: of the site; of a float matmul that of the site that it could be, None where it could be none.
        executions: in a step; macs: of one.
    """

    entry: Matmul
    mvm: str
    plan: MvmPlan | None
    spec: SiteSpec | None
    executions: int
    macs: int

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def on_array(self) -> bool:
        return self.plan is not None and not self.plan.is_digital

    @property
    def path(self) -> str:
        """Where it is computed: "float", "digital", or that of its site."""
        if self.plan is None:
            return "float"
        return "digital" if self.plan.is_digital else self.entry.path

    def traffic(self, bits: int | None = None) -> Traffic:
        """Its operands in buffers.

        Args:
            bits: of every element, where the MVM is done in another format; by default those of its own formats.
        """
        entry, spec = self.entry, self.spec
        lhs, rhs, out = (math.prod(shape) for shape in (entry.lhs_shape, entry.rhs_shape, entry.out_shape))
        if spec is None:
            return Traffic(lhs, rhs, out, bits or FLOAT_BITS, bits or FLOAT_BITS, kept=False)
        driven, stored = (lhs, rhs) if spec.driven == "lhs" else (rhs, lhs)
        if self.plan is None:
            driven_bits = stored_bits = gradient_bits = bits or FLOAT_BITS
        else:
            formats = spec.hardware.formats
            driven_bits = bits or _bits(spec.driven_info, formats)
            stored_bits = bits or _bits(spec.stored_info, formats)
            gradient_bits = bits or RADIX4.bits
        if self.mvm == "forward":
            kept = spec.stored_info.differentiated and not spec.one_way
            return Traffic(driven, stored, out, driven_bits, stored_bits, kept)
        if self.mvm == "input_grad":
            return Traffic(out, stored, driven, gradient_bits, stored_bits, kept=False)
        return Traffic(out, driven, stored, gradient_bits, driven_bits, kept=False)


def _bits(info: OperandInfo, formats: FormatSpec) -> int:
    return RADIX4.bits if info.kind == "gradient" else integer_format(info, formats).bits


def forward_lines(entries: list[Matmul], hardware: Hardware) -> Iterator[Line]:
    """Forward MVMs in program order. hardware: of the function, for matmuls that have none."""
    for entry in entries:
        yield _line(entry, "forward", hardware)


def backward_lines(entries: list[Matmul], hardware: Hardware) -> Iterator[Line]:
    """Gradient MVMs in the order of a backward pass: sites from the last to the first, dX before dW."""
    for entry in reversed(entries):
        yield from (_line(entry, mvm, hardware) for mvm in gradient_mvms(entry, hardware))


def gradient_mvms(entry: Matmul, hardware: Hardware) -> tuple[str, ...]:
    """Which gradient MVMs of a matmul a training step runs."""
    if entry.site is not None:
        return tuple(plan.name for plan in entry.mvms if plan.name != "forward")
    spec = spec_of(entry, hardware)
    if spec is None or spec.one_way:
        return ()
    needed = {"input_grad": spec.driven_info.differentiated, "weight_grad": spec.stored_info.differentiated}
    return tuple(mvm for mvm, runs in needed.items() if runs)


def spec_of(entry: Matmul, hardware: Hardware) -> SiteSpec | None:
    """Of a matmul's site, or of the one that a float matmul could be."""
    if entry.site is not None:
        return entry.site.spec
    if entry.op is None:
        return None
    return SiteSpec(
        entry.name, 0, entry.op, entry.lhs_shape, entry.rhs_shape, entry.dtype, entry.lhs, entry.rhs, hardware
    )


def _line(entry: Matmul, mvm: str, hardware: Hardware) -> Line:
    plan = next((plan for plan in entry.mvms if plan.name == mvm), None)
    spec = spec_of(entry, hardware)
    macs = plan.macs if plan is not None else _macs(spec, entry.out_shape)
    return Line(entry, mvm, plan, spec, 1 if entry.executions is None else entry.executions, macs)


def _macs(spec: SiteSpec | None, out_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a product, the same for all three; 0 where they cannot be seen."""
    if spec is None:
        return 0
    if isinstance(spec.op, DotSpec):
        sizes = DotContraction(spec.op, spec.lhs_shape, spec.rhs_shape).sizes("product")
        return sizes.groups * sizes.vectors * sizes.contraction * sizes.outputs
    return math.prod(out_shape) * math.prod(spec.rhs_shape) // spec.rhs_shape[spec.op.dimension_numbers[1][0]]
