"""The tables of docs/technology.md, made from laws and shipped files.

`python -m imctrain.technology.table docs/technology.md` puts them into the page; a test holds the page to them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imctrain.files import write_text
from imctrain.technology.files import find_technology, load_technology, shipped_names
from imctrain.technology.laws import law, law_names
from imctrain.technology.peak import peak
from imctrain.technology.rates import own_design
from imctrain.technology.schema.figure import Figure
from imctrain.technology.schema.technology import Technology


def with_tables(page: str) -> str:
    """A page with its tables made anew, between `<!-- laws -->` or `<!-- figures -->` and `<!-- end -->`."""
    figures = "\n\n".join([_peaks(), *(_figures(name) for name in shipped_names())])
    for key, text in (("laws", _laws()), ("figures", figures)):
        before, rest = page.split(f"<!-- {key} -->\n", 1)
        page = f"{before}<!-- {key} -->\n{text}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
    return page


def _laws() -> str:
    rows = [f"| `{name}` | {law(name).dimension} | {law(name).source} |" for name in law_names()]
    return "\n".join(["| law | gives | formula and source |", "|---|---|---|", *rows])


def _peaks() -> str:
    lines = ["| technology | supply | pJ a conversion | TOPS/W | TOPS/mm2 | provenance |", "|---|---|---|---|---|---|"]
    for name in shipped_names():
        technology = load_technology(name)
        for supply in _supplies(technology):
            found = peak(technology, supply_v=supply)
            lines.append(
                f"| `{name}` | {supply:g} V | {found.conversion_j.value * 1e12:.3g} | {found.tops_per_w.value:.0f} | "
                f"{found.tops_per_mm2.value:.2g} | {found.tops_per_w.provenance}, {found.tops_per_mm2.provenance} |"
            )
    return "\n".join(lines)


def _supplies(technology: Technology) -> list[float]:
    measured = {point.supply_v for _, figure in technology.figures() if figure for point in figure.values}
    return sorted(measured | {technology.supply_v})


def _figures(name: str) -> str:
    """Those of the file itself, not of its base."""
    own = Technology.model_validate(json.loads(find_technology(name).read_text(encoding="utf-8")))
    design = own_design(own)
    lines = [f"### {name}", "", own.notes]
    if own.base is not None:
        lines += ["", f"What is not listed is that of `{own.base}`."]
    lines += ["", "| figure | value | bounds | provenance | seen | source |", "|---|---|---|---|---|---|"]
    for key, figure in own.figures():
        if figure is not None:
            value, bounds = _number(figure, own) if figure.law is None else _law(figure, figure.law)
            seen = "yes" if figure.checked else "no"
            lines.append(f"| `{key}` | {value} | {bounds} | {figure.provenance} | {seen} | {figure.source} |")
    macro = (
        f"{design.rows} x {design.columns}, {design.adc_bits} b, inputs of {design.input_bits} b, {design.cell} cells"
    )
    lines += ["", f"Macro: {macro}; {own.node_nm:g} nm, {own.supply_v:g} V."]
    return "\n".join(lines)


def _number(figure: Figure, technology: Technology) -> tuple[str, str]:
    unit = getattr(figure, "unit", "")
    at = f" at {figure.node_nm:g} nm" if figure.node_nm not in (None, technology.node_nm) else ""
    if figure.value is not None:
        at += f", {figure.supply_v:g} V" if figure.supply_v not in (None, technology.supply_v) else ""
        return f"{figure.value:g} {unit}{at}", _bounds(figure.low, figure.high, f" {unit}")
    values = "; ".join(f"{point.value:g} {unit} at {point.supply_v:g} V" for point in figure.values)
    bounds = [_bounds(point.low, point.high, f" {unit}") for point in figure.values]
    return values + at, "; ".join(found for found in bounds if found)


def _law(figure: Figure, name: str) -> tuple[str, str]:
    parameters = ", ".join(f"{key} = {value:g}" for key, value in figure.parameters.items())
    return f"law `{name}`" + (f", {parameters}" if parameters else ""), _bounds(figure.low, figure.high, " times")


def _bounds(low: float | None, high: float | None, unit: str) -> str:
    if low is None and high is None:
        return ""
    lowest, highest = "value" if low is None else f"{low:g}", "value" if high is None else f"{high:g}"
    return f"{lowest} to {highest}{unit}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_text(target, with_tables(target.read_text(encoding="utf-8")))
