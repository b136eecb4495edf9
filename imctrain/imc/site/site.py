"""A site: one matmul or convolution of the user's program, its three MVMs and its state.

`Site.apply` encodes the operands, multiplies them on the site's engine, and has a custom backward rule whose two MVMs
encode the output's gradient in radix-4 and run on the array too. State flows *out* of the backward pass as the
cotangent of `state` (see `state`), and `Site.update` turns it into the next step's state and a report.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.formats import gradient_scale
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.ranges import range_policy
from imctrain.imc.mvm.contraction import Side
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Kernels, Reading
from imctrain.imc.site.derivative import Apply, differentiable
from imctrain.imc.site.encode import Encoded, next_clips
from imctrain.imc.site.forward import encode
from imctrain.imc.site.mvms import SiteMvms
from imctrain.imc.site.own_settings import promotes_ranks
from imctrain.imc.site.spec import SiteSpec
from imctrain.imc.site.state import SiteState


class Site:
    """See the module. Make one with `make_site`. paths: {MVM: name of the path it runs on}."""

    def __init__(self, spec: SiteSpec):
        self.spec = spec
        self._mvms = SiteMvms(spec)
        self.paths = {mvm: engine.path for mvm, engine in self._mvms.engines.items()}

    @property
    def one_way(self) -> bool:
        """A gradient MVM inside a custom backward rule: not differentiated again."""
        return self.spec.one_way

    @property
    def mvms(self) -> tuple[MvmPlan, ...]:
        """Plans of the MVMs that a training step runs, in the order of `hardware.MVMS`."""
        needed = {"forward": True, "input_grad": self.spec.driven_info.differentiated}
        needed["weight_grad"] = self.spec.stored_info.differentiated
        return tuple(plan for mvm, plan in self._mvms.plans.items() if needed[mvm])

    @property
    def on_array(self) -> bool:
        """Whether any of its MVMs runs on the array, and meets a chip there."""
        return not all(plan.is_digital for plan in self._mvms.plans.values())

    def init_state(self) -> SiteState:
        """Scales not yet known (0), nothing seen, telemetry empty; float32."""
        return SiteState.zeros(self._mvms.plans)

    def apply(self, lhs: Array, rhs: Array, state: SiteState, key: Array) -> Array:
        """The product of lhs and rhs as the array gives it, in the dtype of the original primitive.

        Args:
            lhs, rhs: the primitive's operands, any float dtype.
            state: of `init_state` or `update`. Its cotangent is telemetry, not a gradient.
            key: a JAX key; every execution needs its own.
        """
        seed = noise.seed_of(key)
        out = self._apply(lhs.astype(jnp.float32), rhs.astype(jnp.float32), state, seed)
        return out.astype(self.spec.dtype)

    @functools.cached_property
    def _apply(self) -> Apply:
        return differentiable(self._mvms)

    def encode(self, lhs: Array, rhs: Array, state: SiteState) -> tuple[Encoded, Encoded]:
        """Codes of lhs and rhs as the forward MVM takes them and the gradient MVMs store them.

        Args:
            lhs, rhs: float32. state: its learned clips count, and where formats are noise-aware the range in use.
        """
        return encode(self._mvms, lhs, rhs, state)

    def gradient_side(self, mvm: str) -> Side:
        """The side whose operand a gradient MVM stores: it computes the gradient of the other one."""
        return self._mvms.gradient_side(mvm)

    def gradient_mvm(
        self, mvm: str, kernels: Kernels, levels: Array, stored: Array, ranges: Array, seed: Array
    ) -> Reading:
        """A gradient MVM on any kernels, with operands that are encoded already.

        Args:
            mvm: "input_grad" or "weight_grad".
            levels: of the output's gradient, in the output's shape. stored: codes of the operand on `gradient_side`.
            ranges: R of each pass, [P]. seed: see `random_numbers`.
        """
        return self._mvms.gradient_mvm(self._mvms.plans[mvm], kernels, levels, stored, ranges, seed)

    @promotes_ranks
    def update(self, state: SiteState, grad: SiteState) -> tuple[SiteState, dict[str, Array]]:
        """The next step's state, and what happened in this one.

        Args:
            state: as it was given to `apply`. grad: its cotangent.

        Returns:
            The report holds scalars for each MVM that ran: `snr_db_<mvm>` (signal to noise of the output as the
            formulas of noise and quantisation predict it, -60 to 120), `clipped_<mvm>` (fraction of conversions),
            `range_<mvm>` (R, mean over passes) and `statistical_<mvm>` (share of executions on the statistical path);
            values of an MVM that did not run are NaN. Where codes are counted, `driven_<mvm>`, `swing_<mvm>` and
            `cells_on_<mvm>` too (`codes_used`).
        """
        formats, adc = self.spec.hardware.formats, self.spec.hardware.adc
        policy, telemetry = range_policy(adc), grad.telemetry
        report: dict[str, Array] = {}
        needed, clipped = {}, {}
        for mvm, plan in self._mvms.plans.items():
            told = telemetry.mvms[mvm]
            ran, mean = told.calls > 0, told.mean()
            before, current = state.needed_range[mvm], self._mvms.ranges(mvm, state)
            after = policy.update(before, current, mean.clipped, mean.v_mean, mean.v_power, adc)
            needed[mvm] = jnp.where(ran, after, before)
            clipped[mvm] = jnp.where(ran, jnp.max(mean.clipped), state.clipped[mvm])
            if not plan.is_digital:
                report |= told.report(mvm, current)
        calls = jnp.maximum(telemetry.mvms["forward"].calls, 1.0)
        scale = gradient_scale(telemetry.largest_gradient / calls)
        carried = jnp.maximum(scale, formats.gradient_scale_decay * state.gradient_scale)
        seen = telemetry.mvms["forward"].calls > 0
        clips = next_clips(state.clips, grad.clips, telemetry.clip_statistics / calls, formats)
        new = SiteState(
            needed_range=needed,
            clipped=clipped,
            gradient_scale=jnp.where(seen, carried, state.gradient_scale),
            clips=jnp.where(seen, clips, state.clips),
            telemetry=jax.tree.map(jnp.zeros_like, state.telemetry),
            chip=state.chip,
        )
        return new, report


@functools.cache
@promotes_ranks
def make_site(spec: SiteSpec) -> Site:
    """The site of a spec (one object for equal specs). Raises UserError, naming the site, if it has no mapping."""
    return Site(spec)
