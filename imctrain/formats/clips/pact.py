"""A learned clip (PACT, J. Choi et al., 2018): starts from that of `rms` and descends the loss's gradient."""

from __future__ import annotations

from imctrain.formats.clips.rms import Rms


class Pact(Rms):
    """Learned; `statistic` is where it starts."""

    learned = True


MEMBER = Pact()
