"""What every section of the technology file is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from imctrain import limits

NonNegative = Annotated[float, Field(ge=0)]
Node = Annotated[float, Field(ge=limits.NODE_NM.low, le=limits.NODE_NM.high)]
Supply = Annotated[float, Field(ge=limits.SUPPLY_V.low, le=limits.SUPPLY_V.high)]


class Model(BaseModel):
    """A section: no other keys, only finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
