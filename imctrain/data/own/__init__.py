"""Data of the user's own: image trees, flat folders with a table of labels, and arrays."""
