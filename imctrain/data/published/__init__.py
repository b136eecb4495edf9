"""Data sets that are known by name: their facts, and readers of the files that were published. A set a file."""
