"""Interception: any JAX function with its matmuls on the simulated array, site by site.

trace (transform) -> what flows where (provenance, nonneg) -> where the matmuls are (plan, custom_rules)
-> names and rules (naming, rules, resolve) -> run (evaluate, keys) and list (ledger); proof of it (audit)
"""

from imctrain.intercept.audit import MatmulCount as MatmulCount
from imctrain.intercept.audit import count_matmuls as count_matmuls
from imctrain.intercept.audit import digital_matmuls as digital_matmuls
from imctrain.intercept.ledger import Ledger as Ledger
from imctrain.intercept.ledger import LedgerEntry as LedgerEntry
from imctrain.intercept.rules import Rule as Rule
from imctrain.intercept.transform import ImcFunction as ImcFunction
from imctrain.intercept.transform import on_imc as on_imc
