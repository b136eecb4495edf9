"""What every kept JSON object shares: frozen and typed, unknown keys kept, written as it was given."""

from __future__ import annotations

import json
from collections.abc import ItemsView, KeysView
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imctrain.errors import UserError, shown
from imctrain.files import JsonValue, write_json
from imctrain.reading import Unreadable, read_json

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A fraction."""
Amount = Annotated[float, Field(ge=0.0, le=1e100)]
"""Of time, energy or the like: figures draw it times a hundred, and in other units."""
Count = Annotated[int, Field(ge=0, le=2**53)]


class Kept(BaseModel):
    """A JSON object of a file that other versions wrote, or will read.

    A key that was not given is not written, whatever its default: null says that a value is not known, absence that
    nobody asked. Keys that this version does not know are kept, after the others. Beside its attributes it has the
    access of the mapping in its file: ["key"], `get`, `in`, `keys`, `items`, and `dict` of it.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, populate_by_name=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    WHAT: ClassVar[str] = "object"
    REMEDY: ClassVar[str] = "restore it"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The object in a file. Raises UserError for a file that is not there or holds something else."""
        try:
            return cls.model_validate(read_json(path))
        except Unreadable as error:
            raise UserError(f"{error}: {cls.REMEDY}") from None
        except ValidationError as error:
            first = error.errors()[0]
            key = shown(".".join(map(str, first["loc"])) or "file")
            raise UserError(f"{path} is no {cls.WHAT} ({key}: {shown(first['msg'])}): {cls.REMEDY}") from None

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all: keys in the order of their declaration."""
        write_json(path, self.plain())

    def plain(self) -> dict[str, JsonValue]:
        """As JSON has it."""
        plain: dict[str, JsonValue] = json.loads(json.dumps(self.model_dump(exclude_unset=True, by_alias=True)))
        return plain

    def replace(self, **changes: object) -> Self:
        """A copy with some keys given anew, checked as a new one."""
        return type(self).model_validate(self.plain() | changes)

    # What a key holds is told by the attribute of its name; who asks by a string knows what to expect.
    def __getitem__(self, key: str) -> Any:
        return self.plain()[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self.plain().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self.plain()

    def keys(self) -> KeysView[str]:
        return self.plain().keys()

    def items(self) -> ItemsView[str, JsonValue]:
        return self.plain().items()
