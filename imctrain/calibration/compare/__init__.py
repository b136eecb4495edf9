"""Two calibrations side by side."""
