"""The statistical engine: each output drawn from the distribution that its conversions have.

Where too much clips it goes exact, as the auto engine does, and reports say so; a training stops there.
"""

from __future__ import annotations

from imctrain.errors import UserError
from imctrain.imc.engines.auto import Auto, auto
from imctrain.imc.engines.validity import validity
from imctrain.imc.mvm.plan import MvmPlan


def engine(plan: MvmPlan) -> Auto:
    """Raises UserError for a plan whose converters are not dithered at every range."""
    answer, why = validity(plan)
    if answer != "always":
        raise UserError(f"the statistical path does not hold: {why}; use path = 'auto' (exact where needed) or 'exact'")
    return auto(plan, "statistical")


MEMBER = engine
