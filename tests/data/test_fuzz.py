"""Files from anywhere: changed and cut sources are read, or refused in one line; nothing else is raised."""

from __future__ import annotations

import numpy as np
import pytest
from fuzzed_archives import SOURCES, changed, check

TURNS = 25
"""Changed sources of each kind; `make torture` tries more."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOURCES)
def test_changed_sources_are_read_or_refused(tmp_path, kind):
    source = SOURCES[kind][1](tmp_path)
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    whole = {file: file.read_bytes() for file in files}
    rng = np.random.default_rng(len(kind))
    refused = 0
    for turn in range(TURNS):
        file = files[turn % len(files)]
        file.write_bytes(changed(whole[file], rng))
        refused += check(kind, source, tmp_path) == "refused"
        file.write_bytes(whole[file])
    assert refused >= TURNS // 5
