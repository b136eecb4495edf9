"""The statistical fit: from counts of codes to a chip, and how far the fit would move."""
