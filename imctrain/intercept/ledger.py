"""The ledger of a function: every matmul in it, and where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from imctrain.errors import UserError
from imctrain.imc.mvm.contraction import ConvSpec, DotSpec
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.site.site import Site
from imctrain.intercept import ledger_table
from imctrain.intercept.naming import nearest
from imctrain.intercept.plan import Found
from imctrain.intercept.rules import FLOAT


@dataclass(frozen=True)
class LedgerEntry:
    """One matmul of the program.

    Attributes:
        name: of the site, as rules match it.
        kind: "dot", "conv", or the name of another primitive (float by a rule).
        op: static parameters of a dot or a convolution; None for another primitive.
        path: "float", or the path of the site's hardware.
        lhs_shape, rhs_shape, out_shape, dtype: of operands and result.
        lhs, rhs: what is known of the operands.
        executions: times it runs in one call of the function: the product of the lengths of the scans around it; None
            inside a while loop, where it is known only when it runs.
        conditional: it stands in a branch, and runs only when that is taken.
        site: the simulated site; None for a float one.
        former_name: what it was called before sites were named after parameters; rules match it too.
    """

    name: str
    kind: str
    op: DotSpec | ConvSpec | None
    path: str
    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: np.dtype | None
    lhs: OperandInfo
    rhs: OperandInfo
    executions: int | None
    conditional: bool
    site: Site | None
    former_name: str = ""

    @property
    def is_float(self) -> bool:
        return self.path == FLOAT

    @property
    def mvms(self) -> tuple[MvmPlan, ...]:
        """Plans of the MVMs that a training step runs at the site; empty for a float one."""
        return () if self.site is None else self.site.mvms


class Ledger(Sequence[LedgerEntry]):
    """Matmuls in program order; by position, or by name (UserError for an unknown one). It prints as a table."""

    def __init__(self, entries: Sequence[LedgerEntry]):
        self._entries = tuple(entries)
        former = {entry.former_name: entry for entry in self._entries if entry.former_name}
        self._by_name = former | {entry.name: entry for entry in self._entries}

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self._entries]

    @property
    def former_names(self) -> dict[str, str]:
        """{name: former name} of every entry, often the same."""
        return {entry.name: entry.former_name or entry.name for entry in self._entries}

    @property
    def sites(self) -> list[LedgerEntry]:
        """Entries that are simulated."""
        return [entry for entry in self._entries if entry.site is not None]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self._entries)

    def __contains__(self, item: object) -> bool:
        return item in self._by_name if isinstance(item, str) else item in self._entries

    @overload
    def __getitem__(self, which: int | str) -> LedgerEntry: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[LedgerEntry, ...]: ...
    def __getitem__(self, which: int | str | slice) -> LedgerEntry | tuple[LedgerEntry, ...]:
        if not isinstance(which, str):
            return self._entries[which]
        if which not in self._by_name:
            raise UserError(f"no site is called {which!r}; nearest: {', '.join(nearest(which, self.names))}")
        return self._by_name[which]

    def __repr__(self) -> str:
        """A table, a line for each MVM that a training step runs."""
        return ledger_table.as_text(self._rows())

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        return ledger_table.as_html(self._rows())

    def _rows(self) -> Iterator[ledger_table.Row]:
        for entry in self._entries:
            if not entry.mvms:
                yield entry.name, entry.path, entry.kind, *[""] * (len(ledger_table.HEADER) - ledger_table.LEFT)
            for plan in entry.mvms:
                yield ledger_table.mvm_row(entry.name, entry.path, plan, entry.executions)


def ledger_of(found: Sequence[Found]) -> Ledger:
    """The ledger of resolved matmuls."""
    entries = []
    for item in found:
        operation = item.operation
        entries.append(
            LedgerEntry(
                name=item.name,
                kind=operation.kind,
                op=operation.op,
                path=item.path,
                lhs_shape=operation.lhs_shape,
                rhs_shape=operation.rhs_shape,
                out_shape=operation.out_shape,
                dtype=operation.dtype,
                lhs=operation.lhs,
                rhs=operation.rhs,
                executions=operation.executions,
                conditional=operation.conditional,
                site=item.site,
                former_name=item.former_name,
            )
        )
    return Ledger(entries)
