"""What a search is: the table [search] of a sweep's file, checked against the settings before anything trains."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from imctrain.errors import UserError
from imctrain.settings import known_keys
from imctrain.sweep.spec import SEED_LIMIT, SweepSpec, make_spec, read_table

RECIPE = "recipe"
"""Name of the settings that the file starts from, where it has no variants."""
FOUND = "search"
"""Variant of the trials that a search asked for."""
NOT_SEARCHED: tuple[str, ...] = (
    "name",
    "seed",
    "baseline",
    "tensorboard",
    "tracking",
    "checkpoint",
    "cost",
    "data.name",
    "data.data_dir",
)
NOT_SEARCHED += ("data.train_limit", "data.test_limit", "data.validation", "data.test_at_end", "imc.path")
"""Keys that change nothing of a training, or what it is measured on: accuracies would not compare."""
NOT_HERE = ("axes", "exclude", "when")
"""Of a sweep: combinations that are all trained."""


NAMES = {"int": "whole", "float": "real"}
"""What TOML calls kinds of numbers, and what they are called here: Python's words are taken."""


class Parameter(BaseModel):
    """What a search may set a key to: whole numbers or numbers between two bounds, or values of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    whole: tuple[int, int] | None = Field(default=None, alias="int", description="lowest and highest whole number")
    real: tuple[float, float] | None = Field(default=None, alias="float", description="lowest and highest number")
    choice: Annotated[tuple[JsonValue, ...], Field(min_length=2)] | None = Field(default=None, description="values")
    log: bool = Field(default=False, description="ratios count, not differences")
    step: Annotated[float, Field(gt=0)] | None = Field(default=None, description="between two numbers")

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        given = [name for name in ("int", "float", "choice") if getattr(self, NAMES.get(name, name)) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of int, float and choice (found {', '.join(given) or 'none'})")
        bounds = self.whole or self.real
        if bounds is None:
            if self.log or self.step is not None:
                raise ValueError("log and step go with int or float")
            if len(set(map(repr, self.choice or ()))) < len(self.choice or ()):
                raise ValueError("a value of choice is there twice")
        elif bounds[0] >= bounds[1]:
            raise ValueError(f"the lowest, {bounds[0]}, must be below the highest, {bounds[1]}")
        elif self.log and (bounds[0] <= 0 or self.step is not None):
            raise ValueError("log needs a lowest above 0, and goes without step")
        elif self.whole is not None and self.step is not None and self.step % 1:
            raise ValueError("step of int is a whole number")
        return self

    @property
    def ends(self) -> tuple[JsonValue, ...]:
        """Every value of a list, or both bounds."""
        return self.choice or self.whole or self.real or ()


class SearchSpec(BaseModel):
    """The table [search]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: Annotated[int, Field(ge=1, le=10**5)] = Field(default=60, description="settings that are tried")
    objective: Literal["pareto", "least_energy", "accuracy"] = Field(default="pareto", description="what is looked for")
    within_points: Annotated[float, Field(ge=0, le=100)] | None = Field(
        default=None, description="of least_energy: points of accuracy below the reference that are allowed"
    )
    reference: str | None = Field(
        default=None, description="float, digital or a variant: what within_points and ratios are against"
    )
    energy_limit_j: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="most energy of a whole training, J"
    )
    energy_limit_ratio: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="most energy of a whole training, over that of the first variant"
    )
    sampler: Literal["tpe", "nsga2", "random"] = Field(default="tpe", description="how settings are chosen")
    seed: Annotated[int, Field(ge=0, lt=SEED_LIMIT)] = Field(default=0, description="of the choice")
    startup: Annotated[int, Field(ge=1, le=10**4)] = Field(
        default=10, description="random settings first, and trials that pruning compares with"
    )
    prune: bool = Field(default=True, description="stop trials that fall behind")
    space: Annotated[dict[str, Parameter], Field(min_length=1)] = Field(description="what may be set, by dotted key")

    @model_validator(mode="after")
    def _fits(self) -> SearchSpec:
        if (self.objective == "least_energy") != (self.within_points is not None):
            raise ValueError("objective = 'least_energy' and within_points go together")
        if self.objective == "least_energy" and self.has_limit:
            raise ValueError("an energy limit goes with objective = 'accuracy' or 'pareto'")
        if self.energy_limit_j is not None and self.energy_limit_ratio is not None:
            raise ValueError("give energy_limit_j or energy_limit_ratio, not both")
        return self

    @property
    def has_limit(self) -> bool:
        return self.energy_limit_j is not None or self.energy_limit_ratio is not None

    @property
    def needs_energy(self) -> bool:
        """Whether trials cannot be judged without it."""
        return self.objective != "accuracy" or self.has_limit


@dataclass(frozen=True)
class Question:
    """A file with a search.

    Attributes:
        sweep: the rest of the file: what is trained by hand, beside what is searched.
        search: its table [search].
    """

    sweep: SweepSpec
    search: SearchSpec

    @property
    def config_dir(self) -> Path:
        return Path(self.sweep.config).parent

    @property
    def recipes(self) -> dict[str, dict[str, JsonValue]]:
        """Settings by hand, by name; the first is what ratios are against."""
        return self.sweep.variants or {RECIPE: {}}

    @property
    def reference(self) -> str:
        """What `within_points` counts from."""
        return self.search.reference or next(iter(self.sweep.references), next(iter(self.recipes)))

    def with_trials(self, trials: int) -> Question:
        """The same with another number of settings to try."""
        return Question(self.sweep, self.search.model_copy(update={"trials": trials}))

    def identity(self, base: str) -> str:
        """A hash of what results mean to the search: a study of another one must not be continued.

        Args:
            base: hash of what all trials start from (`sweep.base.marks_of`).
        """
        asked = self.search.model_dump(mode="json", exclude={"trials", "sampler", "seed", "startup", "prune"})
        content = json.dumps([base, list(self.sweep.seeds), self.reference, asked], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]


def read_question(path: Path) -> Question:
    """A sweep's file with a table [search]. Raises UserError in one line."""
    data, where = read_table(path), f"search {path}"
    if "search" not in data:
        raise UserError(f"{where}: it has no table [search]: give one, or use `imctrain sweep file`")
    unused = [name for name in NOT_HERE if name in data]
    if unused:
        raise UserError(f"{where}: {unused[0]} has no place in a search: give what may be set in [search.space]")
    rest = {key: value for key, value in data.items() if key != "search"}
    sweep = make_spec({"name": path.name.removesuffix(".toml").removesuffix(".sweep")} | rest, where, path.parent)
    search = _search_spec(data["search"], where)
    question = Question(sweep, search)
    for name in question.recipes:
        if name in (FOUND, "float", "digital"):
            raise UserError(f"{where}: a variant cannot be called {name!r}: that name is taken")
    allowed = (*sweep.references, *question.recipes)
    if search.reference is not None and search.reference not in allowed:
        raise UserError(
            f"{where}: search.reference = {search.reference!r} is not trained here; allowed: {', '.join(allowed)}"
        )
    _check_keys(search.space, where)
    return question


def _search_spec(data: Any, where: str) -> SearchSpec:
    try:
        return SearchSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        keys = [str(part) for part in first["loc"]]
        key = ".".join(["search", *keys])
        if first["type"] == "extra_forbidden":
            fields = (Parameter if keys[0] == "space" else SearchSpec).model_fields
            known = ", ".join(found.alias or name for name, found in fields.items())
            raise UserError(f"{where}: {key} is an unknown key; allowed: {known}") from None
        if first["type"] == "value_error":
            raise UserError(f"{where}: {key}: {first['ctx']['error']}") from None
        message = "is missing" if first["type"] == "missing" else f"= {first['input']!r}: {first['msg']}"
        raise UserError(f"{where}: {key} {message}") from None


def _check_keys(space: Mapping[str, Parameter], where: str) -> None:
    known = known_keys()
    for key in space:
        plain = ".".join(part for part in key.split(".") if not part.isdigit())
        if any(plain == name or plain.startswith(f"{name}.") for name in NOT_SEARCHED):
            raise UserError(
                f"{where}: search.space.{key} cannot be searched: it changes nothing of a training, or what trainings "
                "are compared by"
            )
        if plain not in known and not plain.startswith("imc.rules"):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise UserError(f"{where}: search.space.{key} is an unknown key; the nearest is {nearest}")
