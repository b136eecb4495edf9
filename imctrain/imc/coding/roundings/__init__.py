"""Roundings of gradients, one a file, under the names that `formats.gradient_rounding` takes (see `levels`)."""
