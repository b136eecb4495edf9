"""Number formats: int4, uint4 and fp4_radix4, their rounding and their scales."""

from imctrain.formats.integers import inside_clip as inside_clip
from imctrain.formats.integers import quantise as quantise
from imctrain.formats.integers import top_code as top_code
from imctrain.formats.least_error import error_curve as error_curve
from imctrain.formats.least_error import least_error_clip as least_error_clip
from imctrain.formats.least_error import least_error_with_noise as least_error_with_noise
from imctrain.formats.noise_clip import NOISE as NOISE
from imctrain.formats.noise_clip import lowering as lowering
from imctrain.formats.radix4 import TOP_EXPONENT as TOP_EXPONENT
from imctrain.formats.radix4 import TOP_LEVEL as TOP_LEVEL
from imctrain.formats.radix4 import mean_of_roundings as mean_of_roundings
from imctrain.formats.radix4 import round_nearest as round_nearest
from imctrain.formats.radix4 import round_stochastic as round_stochastic
from imctrain.formats.radix4 import shifted_draw as shifted_draw
from imctrain.formats.scaling import gradient_scale as gradient_scale
from imctrain.formats.scaling import gradient_top as gradient_top
from imctrain.formats.scaling import max_clip as max_clip
from imctrain.formats.scaling import rms_clip as rms_clip
from imctrain.formats.scaling import sawb_clip as sawb_clip
