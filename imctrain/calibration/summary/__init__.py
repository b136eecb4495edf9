"""The figures of a calibration in words."""
