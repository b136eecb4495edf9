"""A ledger as its file has it."""

from __future__ import annotations

from imctrain.imc.mvm.plan import MvmPlan
from imctrain.intercept import Ledger
from imctrain.records.ledger import LedgerMvm, LedgerSite


def ledger_records(ledger: Ledger) -> list[LedgerSite]:
    """One record a site, in program order."""
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


def _mvm_record(plan: MvmPlan, path: str, executions: int | None) -> LedgerMvm:
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
