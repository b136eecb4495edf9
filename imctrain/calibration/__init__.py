"""Calibrations: the JSON that says how noisy a chip is."""

from imctrain.calibration.schema.calibration import Calibration as Calibration
from imctrain.calibration.schema.files import find_calibration as find_calibration
from imctrain.calibration.schema.files import load_calibration as load_calibration
from imctrain.calibration.schema.files import parse_calibration as parse_calibration
from imctrain.calibration.schema.files import save_calibration as save_calibration
from imctrain.calibration.schema.files import shipped_names as shipped_names
