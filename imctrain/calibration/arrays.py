"""Names for the arrays of a calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.signedinteger]
Flags = NDArray[np.bool_]
