"""Rules: which sites stay digital, and which run on other hardware than the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from imctrain.errors import UserError
from imctrain.intercept.naming import Names, nearest
from imctrain.settings import Hardware
from imctrain.settings.site import SiteSettings

_NOISE_PARTS = {"noise.sigma_array_lsb", "noise.sigma_adc_lsb"}

FLOAT = "float"
"""Path of a site that keeps its original primitive: a plain floating-point product that differentiates as usual."""


@dataclass(frozen=True)
class Rule:
    """What is different at the sites whose names match.

    Attributes:
        match: shell pattern for the whole site name ("stem", "stage?/*", "*attn*"); * also matches "/".
        path: "float" leaves the site digital, outside the simulation; any path of `Hardware` moves it there; None
            leaves the path alone.
        overrides: parts of `Hardware` by dotted key, such as {"adc.bits": 10, "noise.scale": 0.5}.

    Several rules may match one site: they apply in order, so what a later one says wins.
    """

    match: str
    path: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.match, str) or not self.match:
            raise UserError(f"rule match = {self.match!r}: give a pattern for site names, such as 'stage1/*'")
        object.__setattr__(self, "overrides", dict(self.overrides))
        if self.path == FLOAT and self.overrides:
            raise UserError(f"rule {self.match!r}: path = 'float' leaves the hardware, so overrides mean nothing")
        if self.path is None and not self.overrides:
            raise UserError(f"rule {self.match!r} changes nothing: give a path or overrides")

    def matches(self, name: str, former_name: str = "") -> bool:
        """Whether the pattern is that of a site's name, or of a former one (`naming.Names`)."""
        return fnmatchcase(name, self.match) or fnmatchcase(former_name, self.match)


def hardware_of(name: str, hardware: Hardware, rules: Sequence[Rule], former_name: str = "") -> Hardware | None:
    """The hardware of one site after its rules, or None where it stays float. Raises UserError for a bad override."""
    digital = False
    for rule in rules:
        if not rule.matches(name, former_name):
            continue
        if rule.path is not None:
            digital = rule.path == FLOAT
        hardware = _applied(rule, hardware)
    return None if digital else hardware


def check_overrides(rules: Sequence[Rule], hardware: Hardware) -> None:
    """Raises UserError for a rule whose path or overrides are not possible, before any site is known."""
    for rule in rules:
        _applied(rule, hardware)


def _applied(rule: Rule, hardware: Hardware) -> Hardware:
    changes = dict(rule.overrides)
    if rule.path not in (None, FLOAT):
        changes["path"] = rule.path
    try:
        return override(hardware, changes)
    except UserError as error:
        raise UserError(f"rule {rule.match!r}: {error}") from None


def check_all_match(rules: Sequence[Rule], names: Sequence[Names]) -> None:
    """Raises UserError for a rule that matches no site: a misspelt rule must not pass unnoticed."""
    for rule in rules:
        if any(rule.matches(*name) for name in names):
            continue
        if not names:
            raise UserError(f"rule {rule.match!r} matches no site: the function has no matmul or convolution")
        near = ", ".join(nearest(rule.match.strip("*"), [name.now for name in names]))
        raise UserError(f"rule {rule.match!r} matches no site; nearest of {len(names)} sites: {near}")


def override(hardware: Hardware, changes: Mapping[str, object]) -> Hardware:
    """`hardware` with the settings named by dotted keys replaced, all at once.

    Lists become tuples, as a configuration file has no others. `noise.sigma_lsb` is the total noise and keeps its
    split; one of the two parts replaces that part of what the total was before. Raises UserError for an unknown key
    (naming the nearest known ones), a value of a wrong type, or one out of range.
    """
    if (
        hardware.noise.sigma_lsb is not None
        and "noise.sigma_lsb" not in changes
        and not _NOISE_PARTS.isdisjoint(changes)
    ):
        array, adc = hardware.parts_lsb
        noise = hardware.noise.replace(sigma_lsb=None, sigma_array_lsb=array, sigma_adc_lsb=adc)
        hardware = hardware.replace(noise=noise)
    known = set(known_keys())
    nested: dict[str, dict[str, object]] = {}
    fields: dict[str, object] = {}
    for key, value in changes.items():
        if key not in known:
            raise UserError(f"{key!r} is no hardware key; nearest: {', '.join(nearest(key, sorted(known)))}")
        section, _, name = key.rpartition(".")
        target = nested.setdefault(section, {}) if section else fields
        target[name] = _tuples(value)
    for section, inner in nested.items():
        fields[section] = getattr(hardware, section).replace(**inner)
    return hardware.replace(**fields)


def known_keys() -> list[str]:
    """Every dotted key that an override may have: the settings of a site, and its path; not the figures of the chip."""
    return [*SiteSettings.dotted_keys(), "path"]


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
