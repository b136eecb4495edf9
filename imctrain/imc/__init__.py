"""The simulated in-memory-computing array: hardware, mapping, conversion, sites."""
