"""Number formats: integers of 2 to 8 bits and radix-4 levels, their rounding, scales and clips."""

from imctrain.formats.gradient_scale import gradient_scale as gradient_scale
from imctrain.formats.gradient_scale import gradient_top as gradient_top
from imctrain.formats.integer import INT4 as INT4
from imctrain.formats.integer import UINT4 as UINT4
from imctrain.formats.integer import IntegerFormat as IntegerFormat
from imctrain.formats.radix4 import RADIX4 as RADIX4
from imctrain.formats.radix4 import Radix4 as Radix4
from imctrain.formats.radix4 import mean_of_roundings as mean_of_roundings
from imctrain.formats.radix4 import round_nearest as round_nearest
from imctrain.formats.radix4 import round_stochastic as round_stochastic
from imctrain.formats.radix4 import shifted_draw as shifted_draw

Format = IntegerFormat | Radix4
"""What an operand is encoded in: `name`, `signed`, `lowest`, `top`."""
