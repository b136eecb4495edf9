"""The ledger as records and as a Markdown table."""

from __future__ import annotations

from typing import Any

from imctrain.imc.mvm.plan import MvmPlan
from imctrain.intercept import Ledger


def ledger_records(ledger: Ledger) -> list[dict[str, Any]]:
    """One record a site; float sites have no MVMs."""
    return [
        {
            "site": entry.name,
            "kind": entry.kind,
            "path": entry.path,
            "lhs": {"shape": list(entry.lhs_shape), "kind": entry.lhs.kind, "non_negative": entry.lhs.nonneg},
            "rhs": {"shape": list(entry.rhs_shape), "kind": entry.rhs.kind, "non_negative": entry.rhs.nonneg},
            "executions": entry.executions,
            "mvms": [_mvm_record(plan, entry.path, entry.executions) for plan in entry.mvms],
        }
        for entry in ledger
    ]


def _mvm_record(plan: MvmPlan, path: str, executions: int | None) -> dict[str, Any]:
    on_array = not plan.is_digital
    return {
        "mvm": plan.name,
        "path": path if on_array else "digital",
        "groups": plan.groups,
        "vectors": plan.vectors,
        "contraction": plan.contraction,
        "outputs": plan.outputs,
        "tiles": plan.tiles.count if on_array else 0,
        "rows_used": max(plan.tiles.rows_used) if on_array else 0,
        "copies": plan.copies[0] if on_array else 0,
        "passes": plan.passes if on_array else 0,
        "samples": plan.samples if on_array else 0,
        "planes": plan.planes if on_array else 0,
        "conversions": plan.conversions * (executions or 1) if on_array else 0,
        "macs": plan.macs * (executions or 1),
        "utilisation": plan.utilisation if on_array else 0.0,
        "polarity": ("unipolar" if plan.converter.unipolar else "bipolar") if on_array else None,
    }


def ledger_markdown(ledger: Ledger) -> str:
    """A table for people, with the conversions of a training step in the last line."""
    lines = [
        "| site | path | MVM | vectors x contraction x outputs | tiles | passes | planes | conversions a step | rows |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    total = 0
    for record in ledger_records(ledger):
        if not record["mvms"]:
            lines.append(f"| {record['site']} | {path_label(record['path'])} | | | | | | | |")
        for mvm in record["mvms"]:
            size = f"{mvm['groups']} x " if mvm["groups"] > 1 else ""
            size += f"{mvm['vectors']} x {mvm['contraction']} x {mvm['outputs']}"
            total += mvm["conversions"]
            lines.append(
                f"| {record['site']} | {path_label(mvm['path'])} | {mvm['mvm']} | {size} | {mvm['tiles']} | "
                f"{passes_label(mvm)} | {mvm['planes']} | {mvm['conversions']:,} | {mvm['rows_used']} |"
            )
    lines.append(f"| all | | | | | | | {total:,} | |")
    return "\n".join(lines) + "\n"


def passes_label(mvm: dict[str, Any]) -> str:
    """Passes of an MVM's record, and how often they are done where that is more than once."""
    return f"{mvm['passes']} x {mvm['samples']}" if mvm["samples"] > 1 else str(mvm["passes"])


def path_label(path: str) -> str:
    """A path in words: what is digital says so."""
    return {"float": "float (digital)", "digital": "4-bit formats (digital)"}.get(path, f"IMC ({path})")
