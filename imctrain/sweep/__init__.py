"""Sweeps: many runs in one folder, each trained once, on a local pool or on Ray."""
