"""Calibrations: the JSON that says how noisy a chip is."""

from imctrain.calibration.schema import Calibration as Calibration
from imctrain.calibration.schema import find_calibration as find_calibration
from imctrain.calibration.schema import load_calibration as load_calibration
from imctrain.calibration.schema import parse_calibration as parse_calibration
from imctrain.calibration.schema import save_calibration as save_calibration
from imctrain.calibration.schema import shipped_names as shipped_names
