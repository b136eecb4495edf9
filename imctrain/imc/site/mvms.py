"""The three MVMs of a site: how each is planned, on which engine it runs, and one execution of it."""

from __future__ import annotations

import jax
from jax import Array
from jaxtyping import Float

from imctrain.errors import UserError
from imctrain.formats import RADIX4
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.chip.ranges import choose_range
from imctrain.imc.coding.levels import Levels
from imctrain.imc.engines.base import Engine, Execution, Ran, engine_for
from imctrain.imc.mvm.codes_used import codes_used
from imctrain.imc.mvm.contraction import ConvContraction, DotContraction, DotSpec, Product, Side
from imctrain.imc.mvm.operand import format_of, integer_format
from imctrain.imc.mvm.plan import MvmPlan, plan_mvm
from imctrain.imc.mvm.products import Kernels, Reading
from imctrain.imc.site.spec import SiteSpec
from imctrain.imc.site.state import MvmTelemetry, SiteState, counts_codes
from imctrain.settings import MVMS

_ARRAY = 0
"""Purpose that a site's seed is derived for here; see `backward` for the other."""


class SiteMvms:
    """See the module. plans, engines: by MVM. Raises UserError, naming the site, where a site has no mapping."""

    def __init__(self, spec: SiteSpec):
        self.spec = spec
        if spec.lhs.kind == spec.rhs.kind == "gradient":
            raise UserError(
                f"site {spec.name}: both operands are gradients, and an array stores no radix-4 operand: "
                "leave it to a rule with path = 'float'"
            )
        try:
            self._contraction = _contraction(spec)
        except UserError as error:
            raise UserError(f"site {spec.name}: {error}") from None
        names: tuple[str, ...] = ("forward",) if spec.one_way else MVMS
        self.plans = {mvm: self._plan(mvm) for mvm in names}
        self.engines = {mvm: self._engine(plan) for mvm, plan in self.plans.items()}

    def product_of(self, mvm: str) -> Product:
        """Which of the contraction's products an MVM is: input_grad belongs to the driven operand."""
        if mvm == "forward":
            return "product"
        return "lhs_grad" if (mvm == "input_grad") == (self.spec.driven == "lhs") else "rhs_grad"

    def gradient_side(self, mvm: str) -> Side:
        """The side whose operand a gradient MVM stores: it computes the gradient of the other one."""
        return "rhs" if self.product_of(mvm) == "lhs_grad" else "lhs"

    def live(self, mvm: str, state: SiteState) -> MvmPlan:
        """The plan of an MVM on the chip in `state`, or on that of its hardware."""
        plan = self.plans[mvm]
        if plan.is_digital:
            return plan
        return plan.on(chip_of(self.spec.hardware) if state.chip is None else state.chip)

    def ranges(self, mvm: str, state: SiteState) -> Float[Array, " passes"]:
        """R of each pass of an MVM."""
        return choose_range(state.needed_range[mvm], self.spec.hardware.adc)

    def gradient_mvm(
        self, plan: MvmPlan, kernels: Kernels, levels: Array, stored: Array, ranges: Array, seed: Array
    ) -> Reading:
        """A gradient MVM with operands that are encoded already, see `Site.gradient_mvm`."""
        run = self._contraction.lhs_grad if self.gradient_side(plan.name) == "rhs" else self._contraction.rhs_grad
        return run(kernels, plan, levels, stored, ranges, seed)

    def execute(self, mvm: str, levels: Levels, stored: Array, state: SiteState, seed: Array) -> Ran:
        """One MVM.

        Args:
            levels: of what is driven. stored: codes of the other operand; both in the primitive's layout.
        """
        plan, ranges = self.live(mvm, state), self.ranges(mvm, state)

        def run(kernels: Kernels, driven: Array, seed: Array) -> Reading:
            if mvm != "forward":
                return self.gradient_mvm(plan, kernels, driven, stored, ranges, seed)
            pair = (driven, stored) if self.spec.driven == "lhs" else (stored, driven)
            return self._contraction.product(kernels, plan, *pair, self.spec.driven, ranges, seed)

        engine = self.engines[mvm]
        stream = noise.derive(seed, _ARRAY, MVMS.index(mvm))
        with jax.named_scope(engine.scope):
            ran = engine.execute(Execution(plan, levels, run, ranges, stream, state.clipped[mvm]))
        if counts_codes(plan):
            return ran._replace(codes=codes_used(plan, levels.sample(0), stored))
        return ran

    def telemetry(self, mvm: str, ran: Ran, state: SiteState) -> MvmTelemetry:
        """Additive telemetry of one execution."""
        return MvmTelemetry.of(self.live(mvm, state), ran, self.ranges(mvm, state))

    def _plan(self, mvm: str) -> MvmPlan:
        spec, formats = self.spec, self.spec.hardware.formats
        sizes = self._contraction.sizes(self.product_of(mvm), spec.driven)
        driven = format_of(spec.driven_info, formats) if mvm == "forward" else RADIX4
        stored = spec.stored_info if mvm != "weight_grad" else spec.driven_info
        return plan_mvm(
            mvm,
            site_index=spec.index,
            groups=sizes.groups,
            vectors=sizes.vectors,
            contraction=sizes.contraction,
            outputs=sizes.outputs,
            unit=sizes.unit,
            shared_columns=sizes.shared_columns,
            input_format=driven,
            stored_format=integer_format(stored, formats),
            hardware=spec.hardware,
        )

    def _engine(self, plan: MvmPlan) -> Engine:
        try:
            return engine_for(plan)
        except UserError as error:
            raise UserError(f"site {self.spec.name}, {plan.name}: {error}") from None


def _contraction(spec: SiteSpec) -> DotContraction | ConvContraction:
    if isinstance(spec.op, DotSpec):
        return DotContraction(spec.op, spec.lhs_shape, spec.rhs_shape)
    return ConvContraction(spec.op, spec.lhs_shape, spec.rhs_shape, spec.hardware.array.rows)
