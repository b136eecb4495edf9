"""The virtual chip: a chip that is only its calibration, and the lab that measures it."""

from imctrain.calibration.virtual_chip.chip import VirtualChip as VirtualChip
from imctrain.calibration.virtual_chip.faults import ConverterFaults as ConverterFaults
from imctrain.calibration.virtual_chip.plan import SamplePlan as SamplePlan
from imctrain.calibration.virtual_chip.samples import write_samples as write_samples
from imctrain.calibration.virtual_chip.truth import truth_of as truth_of
