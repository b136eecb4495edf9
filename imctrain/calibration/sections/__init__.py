"""From a fit to the calibration file: every section with its bounds."""
