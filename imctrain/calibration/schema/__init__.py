"""The calibration file: its sections, what they may hold, how it is read and written. See calibration/README.md."""

from imctrain.calibration.schema.base import Estimate as Estimate
from imctrain.calibration.schema.base import Interval as Interval
from imctrain.calibration.schema.base import SignedEstimate as SignedEstimate
from imctrain.calibration.schema.calibration import Calibration as Calibration
from imctrain.calibration.schema.die_spread import SpreadLevel as SpreadLevel
from imctrain.calibration.schema.dnl import Dnl as Dnl
from imctrain.calibration.schema.fixed_pattern import Column as Column
from imctrain.calibration.schema.fixed_pattern import Inl as Inl
from imctrain.calibration.schema.fixed_pattern import Spread as Spread
from imctrain.calibration.schema.measured import Adc as Adc
from imctrain.calibration.schema.measured import Array as Array
from imctrain.calibration.schema.measured import Source as Source
from imctrain.calibration.schema.noise import Noise as Noise
from imctrain.calibration.schema.noise import RangeNoise as RangeNoise
from imctrain.calibration.schema.quality import Confidence as Confidence
from imctrain.calibration.schema.quality import Fit as Fit
from imctrain.calibration.schema.quality import Tails as Tails
from imctrain.calibration.schema.variation import Dependence as Dependence
from imctrain.calibration.schema.variation import Die as Die
from imctrain.calibration.schema.variation import DieSpread as DieSpread
