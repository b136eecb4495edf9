"""What a training step costs: every MVM, every exempt layer and all elementwise work, in joules and seconds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from imctrain.cost.encoding import encoding_of
from imctrain.cost.energy import NOTHING, Energy, energy_of_events, energy_of_operations, total
from imctrain.cost.events import Drive, Events, drive_of, events_of, passes_are_shifts
from imctrain.cost.lines import FLOAT_BITS, Line, Matmul, backward_lines, forward_lines, gradient_mvms
from imctrain.cost.notes import notes_of
from imctrain.cost.operations import Operations
from imctrain.cost.references import ARITHMETICS, mac_energy, reference_energy
from imctrain.cost.schedule import Job, Timing, occupancy
from imctrain.imc.forecast.typical import typical_codes
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import Hardware
from imctrain.technology import Technology
from imctrain.technology.design import Design
from imctrain.technology.quantity import Quantity
from imctrain.technology.rates import Rates
from imctrain.technology.rates import rates as rates_of

GRADIENT = OperandInfo("gradient")

MeasuredDrives = Mapping[tuple[str, str], tuple[Drive, float]]
"""By site and MVM: what was driven, and the share of stored cells that are on."""


@dataclass(frozen=True)
class Part:
    """Work of a step that belongs to no matmul.

    Attributes:
        name: "network", "loss", "update" ... operations: of floats. moved_bits: of its own, between buffers.
    """

    name: str
    operations: Operations
    moved_bits: float = 0.0


@dataclass(frozen=True, eq=False)
class MvmCost:
    """One MVM of a step, all its executions.

    Attributes:
        line: what it is. events, encoding: in numbers. energy: J. job: seconds and macros.
        encoding_j: of bringing its operands to codes, part of the digital energy.
        references: J in every digital arithmetic; of what is not on the array its own energy.
        value_aware: J with the codes that were driven; None where they are not known.
    """

    line: Line
    events: Events
    encoding: Operations
    energy: Energy
    job: Job
    references: dict[str, Quantity]
    encoding_j: Quantity = NOTHING
    value_aware: Quantity | None = None


@dataclass(frozen=True)
class PartCost:
    """Work that belongs to no matmul: J and s."""

    part: Part
    energy: Energy
    seconds: float


@dataclass(frozen=True, eq=False)
class StepCost:
    """A step's bill.

    Attributes:
        technology, supply_v, node_nm: what it is priced with. macros: of the chip.
        mvms: in the order of the step, forward and backward. parts: what belongs to no matmul.
        images: of the step; None where the function has no batch. area_m2: of the macros.
        notes: what the figures leave out.
    """

    technology: str
    supply_v: float
    node_nm: float
    macros: int
    mvms: tuple[MvmCost, ...]
    parts: tuple[PartCost, ...]
    area_m2: Quantity
    notes: tuple[str, ...] = ()
    images: int | None = None

    @functools.cached_property
    def energy(self) -> Energy:
        """By component."""
        energies = [*(cost.energy for cost in self.mvms), *(part.energy for part in self.parts)]
        return sum(energies, Energy())

    @property
    def energy_step_j(self) -> float:
        """Of a step, J."""
        return self.energy.total.value

    @property
    def seconds_step(self) -> float:
        """Of a step on the chip, s."""
        return sum(cost.job.seconds for cost in self.mvms) + sum(part.seconds for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a step, those of exempt layers included."""
        return sum(cost.line.macs * cost.line.executions for cost in self.mvms)

    @property
    def macs_on_array(self) -> int:
        """Of these, what the array does."""
        return sum(cost.line.macs * cost.line.executions for cost in self.mvms if cost.line.on_array)

    @property
    def fj_per_mac(self) -> float:
        """fJ a multiply-accumulate; 0 for a program without any."""
        return 1e15 * self.energy_step_j / self.macs if self.macs else 0.0

    @property
    def tops_per_w(self) -> float:
        """Two operations a multiply-accumulate over the energy of the whole step; in tera-operations a joule."""
        return 2e-12 * self.macs / self.energy_step_j if self.energy_step_j else 0.0

    def reference(self, name: str) -> Quantity:
        """Energy of the step in a digital arithmetic (`references.ARITHMETICS`), J."""
        rest = total(part.energy.total for part in self.parts)
        return total(cost.references[name] for cost in self.mvms) + rest

    def ratio(self, name: str) -> float:
        """Energy of a reference over that of the step: above 1 where the array saves."""
        return self.reference(name).value / self.energy_step_j if self.energy_step_j else 1.0

    @property
    def value_aware_j(self) -> float | None:
        """Of a step with the codes that were really driven, J; None where they were not counted."""
        known = [cost.value_aware for cost in self.mvms]
        if not any(found is not None for found in known):
            return None
        mvms = total(cost.energy.total if cost.value_aware is None else cost.value_aware for cost in self.mvms)
        return (mvms + total(part.energy.total for part in self.parts)).value


@dataclass(frozen=True)
class ChipPrices:
    """What a step is priced on.

    Attributes:
        technology: energies, times, areas. supply_v: V; None for its own.
        macros: of the chip. split: macros that an MVM leaves free hold its operand again, for a share of its vectors.
        shared_writes: dX reads the operand that the forward MVM wrote (an array that multiplies both ways).
    """

    technology: Technology
    supply_v: float | None
    macros: int
    split: bool = False
    shared_writes: bool = False

    def rates(self, hardware: Hardware) -> Rates:
        """Of a macro as a site uses it."""
        return rates_of(self.technology, design_of(hardware, self.technology, self.supply_v))


def design_of(hardware: Hardware, technology: Technology, supply_v: float | None) -> Design:
    """What laws are evaluated at: a site's array and converter on a technology."""
    array = hardware.array
    return Design(
        node_nm=technology.node_nm,
        supply_v=technology.supply_v if supply_v is None else supply_v,
        rows=array.rows,
        columns=array.columns,
        adc_bits=hardware.adc.bits,
        input_bits=array.input_bits,
        cell=array.cell,
        sigma_adc_lsb=hardware.noise.scale * hardware.parts_lsb[1],
        sigma_array_lsb=hardware.noise.scale * hardware.parts_lsb[0],
    )


@dataclass(frozen=True, eq=False)
class Step:
    """What is done in a step.

    Attributes:
        entries: matmuls in program order. hardware: of the function, before rules. parts: what belongs to no matmul.
        backward: whether gradient MVMs run. images: of the batch, where there is one.
    """

    entries: tuple[Matmul, ...]
    hardware: Hardware
    parts: tuple[Part, ...] = ()
    backward: bool = True
    images: int | None = None

    @functools.cached_property
    def lines(self) -> tuple[Line, ...]:
        """MVMs in the order of the step."""
        listed = list(self.entries)
        forward = tuple(forward_lines(listed, self.hardware))
        return forward + (tuple(backward_lines(listed, self.hardware)) if self.backward else ())


def step_cost(step: Step, chip: ChipPrices, measured: MeasuredDrives | None = None) -> StepCost:
    """The bill of a step.

    Args:
        measured: codes really driven.
    """
    hardware, array = step.hardware, step.hardware.array
    mvms = tuple(_mvm_cost(line, hardware, chip, measured or {}) for line in step.lines)
    rates = chip.rates(hardware)
    area = array.rows * array.columns * rates.cell_m2 + array.rows * rates.driver_m2
    area += -(-array.columns // rates.columns_per_converter) * rates.converter_m2
    return StepCost(
        technology=chip.technology.name,
        supply_v=chip.technology.supply_v if chip.supply_v is None else chip.supply_v,
        node_nm=chip.technology.node_nm,
        macros=chip.macros,
        mvms=mvms,
        parts=tuple(_part_cost(part, rates) for part in step.parts),
        area_m2=chip.macros * area,
        notes=tuple(notes_of(step.entries, hardware, any(part.operations.unbounded for part in step.parts))),
        images=step.images,
    )


def _mvm_cost(line: Line, hardware: Hardware, chip: ChipPrices, measured: MeasuredDrives) -> MvmCost:
    own = hardware if line.plan is None else line.plan.hardware
    rates = chip.rates(own)
    once = _once(line, hardware, chip, rates, measured.get((line.name, line.mvm)))
    count = line.executions
    job = once.job
    return replace(
        once,
        events=once.events.times(count),
        encoding=once.encoding.times(count),
        energy=Energy(**{name: count * part for name, part in vars(once.energy).items()}),
        job=replace(
            job,
            write_s=count * job.write_s,
            compute_s=count * job.compute_s,
            digital_s=count * job.digital_s,
            seconds=count * job.seconds,
        ),
        references={name: count * found for name, found in once.references.items()},
        encoding_j=count * once.encoding_j,
        value_aware=None if once.value_aware is None else count * once.value_aware,
    )


def _once(
    line: Line, hardware: Hardware, chip: ChipPrices, rates: Rates, measured: tuple[Drive, float] | None
) -> MvmCost:
    """Of one execution."""
    speed = rates.digital_ops_per_s.value
    if line.plan is None or line.spec is None:
        moved = line.traffic().moved_bits(word_bits=FLOAT_BITS)
        energy = Energy(digital=line.macs * rates.fp32_mac, move=moved * rates.move_bit)
        seconds = 2 * line.macs / speed
        job = Job(line.name, line.mvm, 0.0, 0.0, seconds, seconds, 0)
        same = dict.fromkeys(ARITHMETICS, energy.total)
        return MvmCost(line, Events(digital_macs=line.macs, moved_bits=moved), Operations(), energy, job, same)
    plan = line.plan
    encoding = encoding_of(line.spec, plan, _gradient_size(line), gradient_mvms(line.entry, hardware))
    encoded = energy_of_operations(encoding, rates)
    drive = typical_drive(line.spec, plan)
    events = events_of(plan, line.traffic(), drive)
    shifts = not plan.is_digital and passes_are_shifts(plan)
    if plan.is_digital:
        energy = energy_of_events(events, rates, mac_energy("formats", line, rates), shifts=shifts)
        energy = replace(energy, digital=energy.digital + encoded)
        seconds = 2 * line.macs / speed
        job = Job(line.name, line.mvm, 0.0, 0.0, seconds, seconds, 0)
        return MvmCost(line, events, encoding, energy, job, dict.fromkeys(ARITHMETICS, energy.total), encoded)
    timing = Timing(rates.row_write_s.value, rates.pass_s.value, rates.columns_per_converter, rates.writes_overlap)
    used = occupancy(plan, timing, chip.macros, chip.split)
    if chip.shared_writes and line.mvm == "input_grad" and line.spec.stored_info.kind == "weight":
        used = replace(used, write_s=0.0, seconds=used.compute_s)
        events = replace(events, written_bits=0)
    events = replace(events, written_bits=events.written_bits * used.copies)
    energy = energy_of_events(events, rates, rates.fp32_mac, shifts=shifts)
    energy = replace(energy, digital=energy.digital + encoded)
    job = Job(line.name, line.mvm, used.write_s, used.compute_s, 0.0, used.seconds, used.macros)
    references = {name: reference_energy(name, line, encoded, rates).total for name in ARITHMETICS}
    aware = None
    if measured is not None:
        aware = value_aware_energy(energy, plan, measured, drive).total
    return MvmCost(line, events, encoding, energy, job, references, encoded, aware)


def value_aware_energy(energy: Energy, plan: MvmPlan, measured: tuple[Drive, float], typical: Drive) -> Energy:
    """An MVM's energy with the codes that were really driven.

    Row drivers follow the passes whose code is not 0. A cell charges its capacitor to the voltage that is driven: the
    array follows mean |code| / L, and in AND cells the share of cells that are on. The fixed figure takes every cell
    for driven at full swing. This project's decision.
    """
    driven, on = measured
    switching = on if plan.hardware.array.cell == "and" else 1.0
    share = driven.passes / typical.passes if typical.passes else 1.0
    return replace(energy, array=driven.swing * switching * energy.array, dac=share * energy.dac)


@functools.cache
def typical_drive(spec: SiteSpec, plan: MvmPlan) -> Drive:
    """What is driven before any data is seen: codes of Gaussian operands (`forecast.typical`)."""
    info = spec.driven_info if plan.name == "forward" else GRADIENT
    codes = typical_codes(info, spec.hardware.formats)
    return drive_of(plan, codes.values, codes.probabilities)


def _gradient_size(line: Line) -> int:
    size = 1
    for length in line.entry.out_shape:
        size *= length
    return size


def _part_cost(part: Part, rates: Rates) -> PartCost:
    energy = Energy(digital=energy_of_operations(part.operations, rates), move=part.moved_bits * rates.move_bit)
    return PartCost(part, energy, part.operations.total / rates.digital_ops_per_s.value)
