"""The space of a search as Optuna's distributions; settings to and from what a study holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from imctrain.sweep.search.spec import Parameter
from imctrain.sweep.spec import toml_literal

if TYPE_CHECKING:
    import optuna


class Space:
    """What may be set, by dotted key."""

    def __init__(self, space: Mapping[str, Parameter]):
        self._choices = {key: _literals(found) for key, found in space.items() if found.choice is not None}
        self.distributions = {key: _distribution(found) for key, found in space.items()}

    def values(self, params: Mapping[str, Any]) -> dict[str, JsonValue]:
        """Settings of what a study holds."""
        return {
            key: self._choices[key][value] if key in self._choices else value for key, value in sorted(params.items())
        }

    def params(self, values: Mapping[str, JsonValue]) -> dict[str, Any] | None:
        """Settings as a study holds them; None where they are not in the space."""
        params: dict[str, Any] = {}
        for key, distribution in self.distributions.items():
            value: Any = values.get(key)
            if key in self._choices:
                value = toml_literal(value)
            elif isinstance(value, bool) or not isinstance(value, int | float):
                return None
            try:
                inside = distribution._contains(distribution.to_internal_repr(value))
            except (ValueError, TypeError):
                return None
            if not inside:
                return None
            params[key] = value
        return params


def _literals(parameter: Parameter) -> dict[str, JsonValue]:
    """A list's values by the text that the study holds: lists and tables have no other."""
    return {toml_literal(value): value for value in parameter.choice or ()}


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.whole is not None:
        step = 1 if parameter.step is None else int(parameter.step)
        return IntDistribution(*parameter.whole, log=parameter.log, step=step)
    if parameter.real is not None:
        return FloatDistribution(*parameter.real, log=parameter.log, step=parameter.step)
    return CategoricalDistribution(list(_literals(parameter)))
