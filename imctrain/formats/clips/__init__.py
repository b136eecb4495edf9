"""Clips of weights and activations: a policy for each name that `formats.weight_clip` and `.activation_clip` take."""

from __future__ import annotations

from imctrain.families import member
from imctrain.formats.clips.base import Clip


def clip_policy(name: str) -> Clip:
    """The policy of a name: the file of that name beside this one."""
    policy: Clip = member(__name__, name)
    return policy
