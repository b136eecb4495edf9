"""ledger.json and ledger.md: every matmul of a training step, where it runs, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from imctrain.files import write_json, write_text
from imctrain.records.layout import RunFiles


class LedgerOperand(TypedDict):
    """What is known of an operand; kind: "weight", "activation" or "gradient"."""

    shape: list[int]
    kind: str
    non_negative: bool


class LedgerMvm(TypedDict):
    """One of the products of a site. What a digital one has no use for is 0, or null."""

    mvm: str
    path: str
    groups: int
    vectors: int
    contraction: int
    outputs: int
    tiles: int
    rows_used: int
    copies: int
    passes: int
    samples: int
    planes: int
    conversions: int
    macs: int
    utilisation: float
    polarity: str | None
    snr_db: NotRequired[float | None]
    """This key and the next three are measured on a batch, by `imctrain inspect` alone."""
    clipped: NotRequired[float | None]
    range: NotRequired[float | None]
    statistical: NotRequired[float | None]
    energy_j: NotRequired[float | None]
    """Of a step, counted by `imctrain inspect`."""


class LedgerSite(TypedDict):
    """One matmul of the program; a float one has no MVMs. executions: null inside a while loop."""

    site: str
    kind: str
    path: str
    lhs: LedgerOperand
    rhs: LedgerOperand
    executions: int | None
    mvms: list[LedgerMvm]
    energy_j: NotRequired[float]
    """Of all its MVMs in a step, those of a float site too; counted by `imctrain inspect`."""


def write_ledger(run: RunFiles, sites: Sequence[LedgerSite]) -> None:
    """Both files, for programs and for people."""
    write_json(run.ledger, list(sites))
    write_text(run.ledger_table, ledger_markdown(sites))


def ledger_markdown(sites: Sequence[LedgerSite]) -> str:
    """A table for people, with the conversions of a training step in the last line."""
    lines = [
        "| site | path | MVM | vectors x contraction x outputs | tiles | passes | planes | conversions a step | rows |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    total = 0
    for site in sites:
        if not site["mvms"]:
            lines.append(f"| {site['site']} | {path_label(site['path'])} | | | | | | | |")
        for mvm in site["mvms"]:
            size = f"{mvm['groups']} x " if mvm["groups"] > 1 else ""
            size += f"{mvm['vectors']} x {mvm['contraction']} x {mvm['outputs']}"
            total += mvm["conversions"]
            lines.append(
                f"| {site['site']} | {path_label(mvm['path'])} | {mvm['mvm']} | {size} | {mvm['tiles']} | "
                f"{passes_label(mvm)} | {mvm['planes']} | {mvm['conversions']:,} | {mvm['rows_used']} |"
            )
    lines.append(f"| all | | | | | | | {total:,} | |")
    return "\n".join(lines) + "\n"


def passes_label(mvm: LedgerMvm) -> str:
    """Passes of an MVM, and how often they are done where that is more than once."""
    return f"{mvm['passes']} x {mvm['samples']}" if mvm["samples"] > 1 else str(mvm["passes"])


def path_label(path: str) -> str:
    """A path in words: what is digital says so."""
    return {"float": "float (digital)", "digital": "4-bit formats (digital)"}.get(path, f"IMC ({path})")
