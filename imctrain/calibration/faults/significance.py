"""How sure a finding must be before it is told."""

from __future__ import annotations

FALSE_ALARM = 1e-4
"""Chance that one test tells of a fault that a clean chip does not have. Some ten tests are made of a file."""
MATTERS_LSB = 0.05
"""What is smaller is not told: it is below the standard error of most columns' offsets."""
