"""`imctrain pareto`: what goes on one front, and its files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imctrain.errors import UserError
from imctrain.files import refuse_overwrite, write_json, write_text
from imctrain.records.copies import copies_of
from imctrain.records.energy import Pricing
from imctrain.records.runs import RunRecord, gather
from imctrain.records.sweeps import Sweep, select, sweeps_of, titles
from imctrain.report.mixture import mixture
from imctrain.report.pareto import MADE_BY, Pareto, ParetoPoint, differing_noise, pareto_of, point_name
from imctrain.report.pareto_figure import draw_pareto

STEM = "pareto"
SUFFIXES = ("json", "md", "png", "svg")
MARK = "**front**"


@dataclass(frozen=True)
class Chosen:
    """What goes on a front: sweeps with their titles, and runs that are no trial of any.

    title: the network and data; several where they are mixed.
    """

    records: list[RunRecord]
    sweeps: dict[Sweep, str]
    singles: list[RunRecord]
    title: str


def choose(folders: Sequence[Path], names: Sequence[str] = (), *, mixed: bool = False) -> Chosen:
    """Sweeps and runs below folders; copies of a run count once.

    Args:
        names: sweeps to take, and no single runs; all by default. mixed: several networks or data sets may meet.

    Raises UserError where there is no run, no sweep of a name, or what is there is not to be mixed.
    """
    found = {record.folder.resolve(): record for folder in folders for record in gather(folder)}
    records = list(found.values())
    copies = copies_of(records)
    records = [record for record in records if record.folder not in copies]
    sweeps = [sweep for sweep in sweeps_of(records) if not names or sweep.name in names]
    missing = [name for name in names if name not in {sweep.name for sweep in sweeps}]
    if missing:
        known = ", ".join(dict.fromkeys(sweep.name for sweep in sweeps_of(records))) or "none"
        raise UserError(f"no results of a sweep {missing[0]!r} in {_listed(map(str, folders))}: there are {known}")
    singles = [] if names else [record for record in records if not record.labels]
    if not sweeps and not singles:
        raise UserError(f"{_listed(map(str, folders))} holds no sweep and no run")
    chosen = titles(sweeps, folders[0])
    title = _title(records, chosen, singles, mixed=mixed)
    return Chosen(records, chosen, singles, title)


def _title(records: Sequence[RunRecord], sweeps: dict[Sweep, str], singles: Sequence[RunRecord], *, mixed: bool) -> str:
    """Networks and data, one unless they may be mixed. Raises UserError."""
    found: dict[str, list[str]] = {}
    for sweep, title in sweeps.items():
        for record in select(records, sweep):
            _add(found, record, title)
        reason = mixture(records, sweep)
        if reason is not None and not mixed:
            raise UserError(
                f"sweep {title} is not one experiment ({reason}): --mixed puts it on one front all the same"
            )
    for record in singles:
        _add(found, record, record.folder.name)
    if len(found) > 1 and not mixed:
        told = "; ".join(f"{what} ({_listed(who)})" for what, who in found.items())
        raise UserError(
            f"one front holds one network and one data set, these are {len(found)}: {told}: choose sweeps with --sweep "
            "NAME, or put all on one front with --mixed"
        )
    return "; ".join(found)


def _add(found: dict[str, list[str]], record: RunRecord, who: str) -> None:
    if record.config:
        what = (
            f"{record.setting('model.name')}, width {record.setting('model.width')}, on {record.setting('data.name')}"
        )
        named = found.setdefault(what, [])
        if who not in named:
            named.append(who)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def front_of(chosen: Chosen, pricing: Pricing) -> Pareto:
    """Raises UserError for energies of several technologies, and where nothing is known."""
    found = pareto_of(chosen.records, chosen.sweeps, chosen.singles, pricing)
    if len(found["technology"]) > 1:
        raise UserError(
            f"energies are counted on {' and '.join(found['technology'])}, which do not compare: name one with "
            "--technology, and all are counted on it"
        )
    if not found["points"]:
        told = f" ({'; '.join(found['notes'])})" if found["notes"] else ""
        raise UserError(f"no finished training with a known energy and accuracy{told}")
    return found


def check_targets(out: Path, *, force: bool = False) -> None:
    """Raises UserError for a file of one of our names that something else made."""
    for suffix in SUFFIXES:
        target = out / f"{STEM}.{suffix}"
        refuse_overwrite(target, "--out", force=force, made_by=MADE_BY)


def write_pareto(found: Pareto, out: Path, title: str, *, force: bool = False) -> list[Path]:
    """pareto.json, .md, .png and .svg in a folder, which is made. Raises UserError for files that are not ours."""
    check_targets(out, force=force)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out} cannot be made ({error.strerror}): choose another folder with --out") from None
    targets = [out / f"{STEM}.{suffix}" for suffix in SUFFIXES]
    write_json(targets[0], found)
    write_text(targets[1], f"<!-- {MADE_BY} -->\n\n# Accuracy against energy: {title}\n\n{pareto_markdown(found)}")
    for target in targets[2:]:
        draw_pareto(found, target, title)
    return targets


def as_json(found: Pareto) -> str:
    return json.dumps(found, indent=1)


def pareto_markdown(found: Pareto) -> str:
    """Points and references as tables, and the notes."""
    noisy = bool(differing_noise(found["points"]))
    heads = ["", "sweep", "configuration", "seeds", "test accuracy", "J", "uJ a step", "fJ/MAC", "chip s", "INT8 / IMC"]
    lines = ["| " + " | ".join([*heads, *(["J, noise priced"] if noisy else [])]) + " |"]
    lines.append("|---" * (len(heads) + noisy) + "|")
    lines += ["| " + " | ".join(_cells(point, noisy)) + " |" for point in found["points"]]
    if found["references"]:
        lines += ["", "| reference | sweep | test accuracy | J | |", "|---|---|---|---|---|"]
        lines += [
            f"| {r['name']} | {r['sweep']} | {100 * r['accuracy']:.2f} % | {r['energy_training_j']:.3g} | "
            f"{'assumed: ' + r['assumed'] if r['assumed'] else 'trained'} |"
            for r in found["references"]
        ]
    lines += [
        "",
        f"Technology: {', '.join(found['technology'])}; figures {found['provenance'] or 'of unknown provenance'}.",
    ]
    lines += [f"- {note[0].upper()}{note[1:]}." for note in found["notes"]]
    return "\n".join(lines) + "\n"


def _cells(point: ParetoPoint, noisy: bool) -> list[str]:
    accuracies = [100 * accuracy for accuracy in point["accuracy_seeds"]]
    spread = f" ({min(accuracies):.2f} to {max(accuracies):.2f})" if len(accuracies) > 1 else ""
    ratio = point["digital_int8_ratio"]
    cells = [
        MARK if point["on_front"] else "at p = 2" if point["on_noise_front"] and noisy else "",
        point["sweep"],
        point_name(point),
        str(len(point["seeds"])),
        f"{100 * point['accuracy']:.2f} %{spread}",
        f"{point['energy_training_j']:.3g}",
        f"{1e6 * point['energy_step_j']:.3g}",
        f"{point['fj_per_mac']:.3g}",
        f"{point['seconds_training_chip']:.3g}",
        "" if ratio is None else f"{ratio:.2f}",
    ]
    if noisy:
        low, high = point["energy_noise_band_j"]
        cells.append(f"{low:.3g} to {'no bound' if high is None else f'{high:.3g}'}")
    return cells
