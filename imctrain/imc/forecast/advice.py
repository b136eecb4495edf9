"""What cannot work on a hardware, and what to do about it, before anything runs: one line a kind of problem.

The limits are this project's decision. They lie between networks that trained and networks that did not
(docs/simulation.md tells which), so that a line is worth reading and nothing that trains well has one:

    zero        no conversion can leave code 0: without noise, and with all codes at their largest, half a step of the
                converter is out of reach
    codes       an operand is driven with codes that the DAC does not have
    clipping    more than CLIPPED_LIMIT of the conversions are expected beyond the converter's codes
    signal      the predicted SNR of the product is below FORWARD_DB, or below GRADIENT_DB where a gradient is driven:
                noise of a gradient averages over steps, that of the forward pass does not
    offset      column offsets add more than FORCE_LIMIT of the typical product to a gradient MVM, the same at every
                step. Those of the forward pass are like the bias of a layer, and count for the range alone.

A remedy is tried before it is named: the site is planned anew with it, and what is predicted must improve.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from imctrain.errors import UserError
from imctrain.imc.forecast.predict import Prediction, predict
from imctrain.imc.site.site import Site, make_site
from imctrain.settings import Hardware

CLIPPED_LIMIT = 0.05
FORWARD_DB, GRADIENT_DB = -3.0, -12.0
FORCE_LIMIT = 0.7
SPARE_DB = 6.0
"""How far above its limit remedies are to bring a signal."""
COSTLY = ("mapping.gradient_samples",)
"""Settings that take more conversions: named only where nothing else is enough."""

Kind = Literal["zero", "codes", "clipping", "forward signal", "gradient signal", "offset"]
Setting = tuple[str, Any]
"""A dotted hardware key, as in rules, and its value."""


@dataclass(frozen=True)
class _Goal:
    """What remedies are for: `settings` to try in this order, each worth at least `worth` of the score (higher is
    better), until it is `wanted`; `needed` is what makes them a remedy at all."""

    score: Callable[[Prediction], float]
    needed: float
    wanted: float
    worth: float
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Problem:
    """One MVM that cannot work.

    Attributes:
        kind: see the module. name, site, mvm: where.
        size: how far beyond its limit, to tell the worst of a kind.
        text: what is wrong, in a sentence that begins with the site.
    """

    kind: Kind
    name: str
    site: Site = field(repr=False)
    mvm: str
    size: float
    text: str
    _goal: _Goal = field(repr=False)

    def remedies(self) -> tuple[Setting, ...]:
        """Settings that help; empty where none that is known here does."""
        return _remedies(self.site, self.mvm, self._goal)


def find_problems(sites: Mapping[str, Site]) -> list[Problem]:
    """Every MVM of the sites (by name) that cannot work; empty where all is well, or nothing is on the array."""
    return [
        Problem(kind, name, site, mvm, size, text, goal)
        for name, site in sites.items()
        for mvm, prediction in predict(site).items()
        for kind, size, text, goal in _judge(prediction)
    ]


def advise(problems: Iterable[Problem], prefix: str = "") -> list[str]:
    """One line a kind of problem: the worst MVM, how many others there are, what is wrong, the remedy.

    Args:
        prefix: of the settings' keys, "imc." for those of a config.
    """
    lines = []
    for worst, count in _worst_of_kinds(problems):
        others = {1: "", 2: " (and 1 more MVM)"}.get(count, f" (and {count - 1} more MVMs)")
        what = remedy_text(worst.remedies(), prefix)
        lines.append(f"site {worst.name}, {worst.mvm}{others}: {worst.text}: {what}")
    return lines


def all_remedies(problems: Iterable[Problem]) -> tuple[Setting, ...]:
    """The remedies of all kinds of problem together."""
    return tuple(dict.fromkeys(setting for worst, _ in _worst_of_kinds(problems) for setting in worst.remedies()))


def _worst_of_kinds(problems: Iterable[Problem]) -> list[tuple[Problem, int]]:
    """The worst problem of each kind, and how many there are of it; the gravest kinds first."""
    kinds: dict[str, list[Problem]] = {kind: [] for kind in get_args(Kind)}
    for problem in problems:
        kinds[problem.kind].append(problem)
    return [(max(found, key=lambda problem: problem.size), len(found)) for found in kinds.values() if found]


def remedy_text(remedies: Sequence[Setting], prefix: str = "") -> str:
    """Settings as an instruction; with a prefix they are a config's, in the words of TOML."""
    if not remedies:
        return (
            "no setting of this array is enough; take a calibration of less noise, or leave the site digital by a rule "
            "with path = 'digital'"
        )
    *first, last = (f"{prefix}{key} = {_literal(value, toml=bool(prefix))}" for key, value in remedies)
    return "set " + (f"{', '.join(first)} and {last}" if first else last)


def signal_remedies(site: Site, mvm: str) -> tuple[Setting, ...]:
    """Settings that raise the SNR of an MVM whose signal was found lost, whatever is predicted for it."""
    prediction = predict(site)[mvm]
    least = max(_snr(prediction), _signal_limit(prediction))
    goal = _signal_goal(prediction)
    return _remedies(site, mvm, dataclasses.replace(goal, needed=-math.inf, wanted=least + SPARE_DB))


def _judge(p: Prediction) -> list[tuple[Kind, float, str, _Goal]]:
    """(kind, size, text, goal) of everything that is wrong with an MVM."""
    if p.code > p.levels:
        # What is driven beyond the DAC makes every other figure meaningless.
        text = f"codes up to {p.code:g} are driven onto a DAC that ends at {p.levels}"
        bits = math.ceil(math.log2(p.code)) + 1
        goal = _Goal(lambda q: q.levels - q.code, 0, 0, 1, (("array.input_bits", bits),))
        return [("codes", p.code / p.levels, text, goal)]
    if p.reach_lsb <= 0.5:
        text = f"every conversion reads 0: at most {p.reach_lsb:.2g} LSB reach the converter, and no noise dithers it"
        return [("zero", 1 - p.reach_lsb, text, _signal_goal(p))]
    found: list[tuple[Kind, float, str, _Goal]] = []
    limit = _signal_limit(p)
    if p.clipped > CLIPPED_LIMIT:
        text = f"about {100 * p.clipped:.0f}% of the conversions are beyond the converter's range (R = {_ranges(p)})"
        settings: tuple[Setting, ...] = (("adc.polarity", "auto"), ("adc.range", 1.0), ("adc.range_policy", "per_site"))
        found.append(("clipping", p.clipped, text, _Goal(lambda q: -q.clipped, -0.05, -0.05, 1e-3, settings)))
    elif _snr(p) < limit:
        text = (
            f"the signal drowns, at a predicted SNR of {_snr(p):.1f} dB (at least {limit:g} dB are needed): it moves a "
            f"column by {_swing(p):.2g} LSB rms at R = {_ranges(p)}"
        )
        if p.effective_snr_db < p.snr_db - 3:
            text += ", and most of the noise is column offsets that chopping turns"
        kind: Kind = "gradient signal" if p.gradient else "forward signal"
        found.append((kind, limit - _snr(p), text, _signal_goal(p)))
    if p.gradient and p.force > FORCE_LIMIT:
        text = (
            f"column offsets add {p.force:.1f} times the typical product, the same at every step, which pushes the "
            "weights away"
        )
        settings = (("array.chop", True), ("adc.offset_conversions", 64))
        found.append(("offset", p.force, text, _Goal(_calm, -math.inf, math.inf, 0.02, settings)))
    return found


def _snr(p: Prediction) -> float:
    return p.effective_snr_db


def _calm(p: Prediction) -> float:
    """How little the offsets push, and, a tenth as important, how little of them is left as noise."""
    return -p.force - 0.1 * p.offset / math.sqrt(p.product)


def _signal_limit(p: Prediction) -> float:
    return GRADIENT_DB if p.gradient else FORWARD_DB


def _signal_goal(p: Prediction) -> _Goal:
    """What may raise a signal, cheapest first."""
    formats = p.plan.hardware.formats
    settings: list[Setting] = [
        ("adc.polarity", "auto"),
        ("adc.range_policy", "per_site"),
        ("array.replicate", True),
        ("adc.offset_conversions", 64),
    ]
    if p.gradient:
        if formats.gradient_clip is None or formats.gradient_clip > 6:
            settings.append(("formats.gradient_clip", 6.0))
        settings += [("mapping.gradient", "balanced"), ("mapping.gradient_samples", 4)]
    else:
        settings += [("mapping.full_drive", True), ("formats.noise_aware", True)]
    limit = _signal_limit(p)
    return _Goal(_snr, limit, limit + SPARE_DB, 1.0, tuple(settings))


def _swing(p: Prediction) -> float:
    """Swing of the pass that carries most of the product."""
    coefficients = p.plan.mapping.coefficients
    weights = [abs(c) * r * swing for c, r, swing in zip(coefficients, p.ranges, p.swing_lsb, strict=True)]
    return p.swing_lsb[weights.index(max(weights))]


def _ranges(p: Prediction) -> str:
    return ", ".join(dict.fromkeys(f"{r:.3g}" for r in p.ranges))


def _remedies(site: Site, mvm: str, goal: _Goal) -> tuple[Setting, ...]:
    """The goal's settings that are worth it, one after the other; none where they do not reach what is needed."""
    hardware = site.spec.hardware
    best = goal.score(predict(site)[mvm])
    chosen: list[Setting] = []
    for key, value in goal.settings:
        if best >= (goal.needed if key in COSTLY else goal.wanted):
            break
        try:
            changed = _with(hardware, key, value)
            now = goal.score(predict(make_site(dataclasses.replace(site.spec, hardware=changed)))[mvm])
        except UserError:
            # Not possible together with what else is set, or the statistical path does not hold with it.
            continue
        if now >= best + goal.worth:
            hardware, best = changed, now
            chosen.append((key, value))
    return tuple(chosen) if best >= goal.needed else ()


def _with(hardware: Hardware, key: str, value: Any) -> Hardware:
    table, name = key.split(".")
    return hardware.replace(**{table: getattr(hardware, table).replace(**{name: value})})


def _literal(value: Any, *, toml: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower() if toml else str(value)
    return f"'{value}'" if isinstance(value, str) else f"{value:g}"
