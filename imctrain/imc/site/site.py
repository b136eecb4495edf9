"""A site: one matmul or convolution of the user's program, its three MVMs and its state.

`Site.apply` encodes the operands, multiplies them on the site's path, and has a custom backward rule whose two MVMs
encode the output's gradient in radix-4 and run on the same path.

State flows *out* of the backward pass as the cotangent of `state`: telemetry of the three MVMs, all of it additive
(divide by the calls), so that it stays right through scan, cond and vmap; and, for learned clips, the true gradient.
`Site.update` turns it into the next step's state and a report.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping as Tree
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.errors import UserError
from imctrain.formats import gradient_scale
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip import ranges
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.coding.encode import (
    Encoded,
    Levels,
    clip_signs,
    encode_gradient,
    encode_integer,
    encode_pair,
    is_encoded,
    next_clips,
    passes_gradient,
    scale_of_gradient,
)
from imctrain.imc.coding.encode import OperandInfo as OperandInfo
from imctrain.imc.engines.averaged import mean_reading
from imctrain.imc.engines.kernels import digital, exact, preserved_sums, probe, statistical
from imctrain.imc.engines.kernels.chopped import Chopped
from imctrain.imc.engines.kernels.exact import Reading
from imctrain.imc.engines.validity import dithered, validity
from imctrain.imc.mvm.contraction import ConvContraction as ConvContraction
from imctrain.imc.mvm.contraction import ConvSpec as ConvSpec
from imctrain.imc.mvm.contraction import DotContraction as DotContraction
from imctrain.imc.mvm.contraction import DotSpec as DotSpec
from imctrain.imc.mvm.contraction import Engine, Side, Sizes
from imctrain.imc.mvm.plan import MvmPlan, plan_mvm
from imctrain.imc.site.first_order import differentiated_once
from imctrain.imc.site.own_settings import promotes_ranks
from imctrain.settings import MVMS, Hardware

State = dict[str, Any]
ENGINES: Tree[str, ModuleType] = {"exact": exact, "statistical": statistical, "digital": digital, "probe": probe}
SCOPES = {"exact": "imc_array", "statistical": "imc_array", "auto": "imc_array", "digital": "imc_formats"}
"""Name scope of every product a site computes, so that a jaxpr tells array, formats and float matmuls apart."""


class Ran(NamedTuple):
    """One execution of an MVM.

    Attributes:
        reading: what it gave. statistical: 1.0 where it ran on the statistical path, else 0.0; scalar float32.
    """

    reading: Reading
    statistical: Array


CHIP = "chip"
"""Key of a state that holds the `Chip` of one call, beside what `init_state` makes; its cotangent is zero."""
# Purposes that a site's seed is derived for.
_ARRAY, _ROUNDING = 0, 1


@dataclass(frozen=True)
class SiteSpec:
    """Everything static about a site.

    Attributes:
        name: unique name; index: its place in the program (fixes keys and floor plan).
        op: the primitive's parameters; lhs_shape, rhs_shape: its operands; dtype: of its output.
        lhs, rhs: what is known of the operands.
        hardware: after the rules that match this site.
    """

    name: str
    index: int
    op: DotSpec | ConvSpec
    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    dtype: Any
    lhs: OperandInfo
    rhs: OperandInfo
    hardware: Hardware

    @property
    def driven(self) -> Side:
        """The side driven onto the rows in the forward MVM; the other is stored.

        A gradient is always driven; else weights are stored; between two alike the right-hand side is stored.
        """
        if "gradient" in (self.lhs.kind, self.rhs.kind):
            return "lhs" if self.lhs.kind == "gradient" else "rhs"
        return "rhs" if self.lhs.kind == "weight" and self.rhs.kind != "weight" else "lhs"


class Site:
    """See the module. Make one with `make_site`."""

    def __init__(self, spec: SiteSpec):
        self.spec = spec
        if spec.lhs.kind == spec.rhs.kind == "gradient":
            raise UserError(
                f"site {spec.name}: both operands are gradients, and an array stores no radix-4 operand: "
                "leave it to a rule with path = 'float'"
            )
        try:
            if isinstance(spec.op, DotSpec):
                self._contraction: DotContraction | ConvContraction = DotContraction(
                    spec.op, spec.lhs_shape, spec.rhs_shape
                )
            else:
                rows = spec.hardware.array.rows
                self._contraction = ConvContraction(spec.op, spec.lhs_shape, spec.rhs_shape, rows)
        except UserError as error:
            raise UserError(f"site {spec.name}: {error}") from None
        self._forward = self._plan("forward")
        self._plans = {"forward": self._forward}
        if not self.one_way:
            self._plans |= {mvm: self._plan(mvm) for mvm in ("input_grad", "weight_grad")}
        self.paths = {mvm: self._path_of(plan) for mvm, plan in self._plans.items()}

    @property
    def one_way(self) -> bool:
        """A gradient MVM inside a custom backward rule: not differentiated again."""
        return "gradient" in (self.spec.lhs.kind, self.spec.rhs.kind)

    @property
    def mvms(self) -> tuple[MvmPlan, ...]:
        """Plans of the MVMs that a training step runs, in the order of `hardware.MVMS`."""
        needed = {"forward": True, "input_grad": self._driven_info.differentiated}
        needed["weight_grad"] = self._stored_info.differentiated
        return tuple(plan for mvm, plan in self._plans.items() if needed[mvm])

    def _path_of(self, plan: MvmPlan) -> str:
        """The path of one MVM: that of the hardware, with "auto" settled where only one choice is ever valid."""
        path = "digital" if plan.is_digital else self.spec.hardware.path
        if path not in ("statistical", "auto"):
            return path
        answer, why = validity(plan)
        if path == "statistical" and answer != "always":
            raise UserError(
                f"site {self.spec.name}, {plan.name}: the statistical path does not hold: {why}; use path = 'auto' "
                "(exact where needed) or 'exact'"
            )
        return "exact" if answer == "never" else path

    @property
    def _driven_info(self) -> OperandInfo:
        return self.spec.lhs if self.spec.driven == "lhs" else self.spec.rhs

    @property
    def _stored_info(self) -> OperandInfo:
        return self.spec.rhs if self.spec.driven == "lhs" else self.spec.lhs

    def _product_of(self, mvm: str) -> str:
        """Which of the contraction's products an MVM is: input_grad belongs to the driven operand."""
        if mvm == "forward":
            return "product"
        return "lhs_grad" if (mvm == "input_grad") == (self.spec.driven == "lhs") else "rhs_grad"

    def _plan(self, mvm: str) -> MvmPlan:
        spec = self.spec
        sizes: Sizes = self._contraction.sizes(self._product_of(mvm), spec.driven)
        stored = self._stored_info if mvm != "weight_grad" else self._driven_info
        return plan_mvm(
            mvm,
            site_index=spec.index,
            groups=sizes.groups,
            vectors=sizes.vectors,
            contraction=sizes.contraction,
            outputs=sizes.outputs,
            unit=sizes.unit,
            shared_columns=sizes.shared_columns,
            drives_gradient=mvm != "forward" or self.one_way,
            input_signed=self._driven_info.signed,
            stored_signed=stored.signed,
            hardware=spec.hardware,
        )

    def init_state(self) -> State:
        """Scales not yet known (0), nothing seen, telemetry empty; float32."""

        def zeros(*shape: int) -> Array:
            return jnp.zeros(shape, jnp.float32)

        # Every leaf is an array of its own: a training step may then donate them.
        names = ("calls", "signal", "noise", "statistical")
        vectors = ("clipped", "v_mean", "v_power")
        per_mvm = {
            mvm: {name: zeros() for name in names} | {name: zeros(plan.passes) for name in vectors}
            for mvm, plan in self._plans.items()
        }
        return {
            "needed_range": {mvm: zeros(plan.passes) for mvm, plan in self._plans.items()},
            "clipped": {mvm: zeros() for mvm in self._plans},
            "gradient_scale": zeros(),
            "clips": zeros(2),
            "telemetry": {"mvms": per_mvm, "largest_gradient": zeros(), "clip_statistics": zeros(2)},
        }

    def apply(self, lhs: Array, rhs: Array, state: State, key: Array) -> Array:
        """The product of lhs and rhs as the array gives it, in the dtype of the original primitive.

        Args:
            lhs, rhs: the primitive's operands, any float dtype.
            state: of `init_state` or `update`, and the chip under CHIP: by default that of the site's hardware. Its
                cotangent is telemetry, not a gradient.
            key: a JAX key; every execution needs its own.
        """
        seed = noise.seed_of(key)
        out = self._apply(lhs.astype(jnp.float32), rhs.astype(jnp.float32), state, seed)
        return out.astype(self.spec.dtype)

    @functools.cached_property
    def _apply(self) -> Any:
        guarded = differentiated_once(self.spec.name)

        @jax.custom_vjp
        def apply(lhs: Array, rhs: Array, state: State, seed: Array) -> Array:
            return self._run_forward(lhs, rhs, state, seed)[0]

        def forward(lhs: Any, rhs: Any, state: Any, seed: Any) -> tuple[Array, Any]:
            if self.one_way:
                raise UserError(
                    f"site {self.spec.name}: a product with a gradient, in a derivative that the function takes itself "
                    "or in a custom backward rule, cannot be differentiated again on the array: leave it to a rule "
                    "with path = 'float'"
                )
            needs = (lhs.perturbed, rhs.perturbed)
            values = jax.tree.map(lambda leaf: leaf.value, (lhs, rhs, state, seed), is_leaf=_is_primal)
            out, residuals = self._run_forward(*guarded(values))
            # Residuals that no gradient needs are dropped. The structure stays: JAX keeps one for all traces of a call,
            # and would read what it saved for one operand's gradient as what the other's needs.
            kept = dict(residuals)
            for name, wanted in (("codes", (needs[1], needs[0])), ("inside", needs)):
                pair = zip(residuals[name], wanted, strict=True)
                kept[name] = tuple(residual if need else _dropped(residual) for residual, need in pair)
            return out, (kept, values[2], values[3])

        def backward(residuals: Any, g: Any) -> tuple[Any, Any, Any, None]:
            kept, state, seed = residuals
            kept = kept | {name: tuple(map(_unless_dropped, kept[name])) for name in ("codes", "inside")}
            if isinstance(g, jax.custom_derivatives.SymbolicZero):
                g = jnp.zeros(g.shape, g.dtype)
            g, kept, state = guarded((g, kept, state))
            return (*self._run_backward(g, kept, state, seed), None)

        apply.defvjp(forward, backward, symbolic_zeros=True)
        return apply

    @promotes_ranks
    def _run_forward(self, lhs: Array, rhs: Array, state: State, seed: Array) -> tuple[Array, dict[str, Any]]:
        spec, formats = self.spec, self.spec.hardware.formats
        if self.one_way:
            return self._run_one_way(lhs, rhs, state, seed), {}
        operands = (lhs, rhs)
        infos = (spec.lhs, spec.rhs)
        encoded = self.encode(lhs, rhs, state)
        ran = self._product("forward", encoded[0].codes, encoded[1].codes, state, seed)
        out = ran.reading.product * (encoded[0].scale * encoded[1].scale)
        known = tuple(zip(operands, encoded, infos, strict=True))
        residuals = {
            "codes": tuple(e.codes.astype(jnp.int8) if is_encoded(i, formats) else e.codes for _, e, i in known),
            "scales": tuple(e.scale for e in encoded),
            "statistics": jnp.stack([e.statistic for e in encoded]),
            "inside": tuple(passes_gradient(x, e.clip, i, formats) for x, e, i in known),
            "signs": tuple(clip_signs(x, e.clip, i, formats) for x, e, i in known),
            "forward": self._telemetry("forward", ran, state),
        }
        return out, residuals

    def encode(self, lhs: Array, rhs: Array, state: State) -> tuple[Encoded, Encoded]:
        """int4 or uint4 codes of lhs and rhs as the forward MVM takes them and the gradient MVMs store them.

        Args:
            lhs, rhs: float32. state: its learned clips count, and where formats are noise-aware the range in use.
        """
        order = (0, 1) if self.spec.driven == "lhs" else (1, 0)
        operands, infos = (lhs, rhs), (self.spec.lhs, self.spec.rhs)
        reference = ranges.choose_range(state["needed_range"]["forward"], self.spec.hardware.adc)
        encoded = encode_pair(
            (operands[order[0]], operands[order[1]]),
            (infos[order[0]], infos[order[1]]),
            self.spec.hardware.formats,
            state["clips"][jnp.array(order)],
            None if self._forward.is_digital else (self._live("forward", state), reference),
        )
        return encoded[order[0]], encoded[order[1]]

    def _run_one_way(self, lhs: Array, rhs: Array, state: State, seed: Array) -> Array:
        spec, formats = self.spec, self.spec.hardware.formats
        driven, stored = (lhs, rhs) if spec.driven == "lhs" else (rhs, lhs)
        scale, _ = scale_of_gradient(driven, formats, state["gradient_scale"])
        levels = encode_gradient(driven, scale, formats, noise.derive(seed, _ROUNDING), odd=False)
        encoded = encode_integer(stored, self._stored_info, formats, jnp.zeros((), jnp.float32))
        pair = (levels.mean, encoded.codes) if spec.driven == "lhs" else (encoded.codes, levels.mean)
        ran = self._product("forward", *pair, state, seed)
        return ran.reading.product * (levels.scale * encoded.scale)

    @promotes_ranks
    def _run_backward(
        self, g: Array, kept: dict[str, Any], state: State, seed: Array
    ) -> tuple[Array | None, Array | None, State]:
        formats = self.spec.hardware.formats
        # One forward pass may have several backward passes (jacrev maps them): each needs noise of its own.
        seed = noise.per_element(seed, g)
        scale, largest = scale_of_gradient(g, formats, state["gradient_scale"])
        rounding = noise.derive(seed, _ROUNDING)
        telemetry = jax.tree.map(jnp.zeros_like, state["telemetry"])
        telemetry["mvms"]["forward"] = kept["forward"]
        gradients: list[Array | None] = [None, None]
        clip_gradients = [jnp.zeros((), jnp.float32)] * 2
        encoded_once: dict[bool, Levels] = {}
        for side, product in ((0, "lhs_grad"), (1, "rhs_grad")):
            other = kept["codes"][1 - side]
            if other is None:
                continue
            mvm = "input_grad" if self._product_of("input_grad") == product else "weight_grad"
            odd = mvm == "weight_grad" and formats.gradient_rounding != "nearest"
            if odd not in encoded_once:
                samples = self._plans[mvm].samples
                encoded_once[odd] = encode_gradient(g, scale, formats, rounding, odd=odd, samples=samples)
            levels = encoded_once[odd]
            ran = self._product(mvm, levels, other.astype(jnp.float32), state, seed)
            total = ran.reading.product
            if mvm == "weight_grad" and formats.preserve_sums:
                lost, unused = g / levels.scale - levels.mean, state["needed_range"][mvm]
                given_back = self.gradient_mvm(mvm, preserved_sums, lost, other.astype(jnp.float32), unused, seed)
                total = total + given_back.product
            gradient = total * (levels.scale * kept["scales"][1 - side])
            signs = kept["signs"][side]
            if signs is not None:
                clip_gradients[side] = jnp.sum(gradient * signs.astype(jnp.float32))
            inside = kept["inside"][side]
            gradients[side] = gradient if inside is None else jnp.where(inside, gradient, 0.0)
            telemetry["mvms"][mvm] = self._telemetry(mvm, ran, state)
        telemetry["largest_gradient"] = largest
        telemetry["clip_statistics"] = kept["statistics"]
        cotangent = {
            "needed_range": jax.tree.map(jnp.zeros_like, state["needed_range"]),
            "clipped": jax.tree.map(jnp.zeros_like, state["clipped"]),
            "gradient_scale": jnp.zeros((), jnp.float32),
            "clips": jnp.stack(clip_gradients),
            "telemetry": telemetry,
        }
        if CHIP in state:
            cotangent[CHIP] = jax.tree.map(jnp.zeros_like, state[CHIP])
        return gradients[0], gradients[1], cotangent

    def _product(self, mvm: str, first: Any, second: Array, state: State, seed: Array) -> Ran:
        """One MVM: (lhs, rhs) codes for the forward product, (`Levels`, stored codes) for the others."""
        plan, product = self._live(mvm, state), self._product_of(mvm)
        reference = ranges.choose_range(state["needed_range"][mvm], self.spec.hardware.adc)
        stream = noise.derive(seed, _ARRAY, MVMS.index(mvm))

        def on(path: str) -> Reading:
            engine: Any = ENGINES[path]
            if self.spec.hardware.array.chop and plan.signed and path != "digital":
                engine = Chopped(engine)
            if product == "product":
                return self._contraction.product(engine, plan, first, second, self.spec.driven, reference, stream)

            def run(engine: Engine, levels: Array, seed: Array) -> Reading:
                return self._gradient_mvm(plan, engine, levels, second, reference, seed)

            return mean_reading(run, engine, path, plan, first, reference, stream)

        path = self.paths[mvm]
        with jax.named_scope(SCOPES[path]):
            if path in ("exact", "digital"):
                return Ran(on(path), jnp.zeros((), jnp.float32))
            # Measured in this very call: neither a first call nor one with another state takes the path on trust.
            seen = on("probe")
            holds = dithered(plan, reference, jnp.maximum(jnp.max(seen.clipped), state["clipped"][mvm]))
            reading = jax.lax.cond(holds, lambda: seen._replace(product=on("statistical").product), lambda: on("exact"))
            return Ran(reading, holds.astype(jnp.float32))

    def gradient_mvm(
        self, mvm: str, engine: Engine, levels: Array, stored: Array, ranges: Array, seed: Array
    ) -> Reading:
        """A gradient MVM on any engine, with operands that are encoded already.

        Args:
            mvm: "input_grad" or "weight_grad".
            levels: of the output's gradient, in the output's shape. stored: codes of the operand on `gradient_side`.
            ranges: R of each pass, [P]. seed: see `noise`.
        """
        return self._gradient_mvm(self._plans[mvm], engine, levels, stored, ranges, seed)

    def _gradient_mvm(
        self, plan: MvmPlan, engine: Engine, levels: Array, stored: Array, ranges: Array, seed: Array
    ) -> Reading:
        run = self._contraction.lhs_grad if self.gradient_side(plan.name) == "rhs" else self._contraction.rhs_grad
        return run(engine, plan, levels, stored, ranges, seed)

    @property
    def on_array(self) -> bool:
        """Whether any of its MVMs runs on the array, and meets a chip there."""
        return not all(plan.is_digital for plan in self._plans.values())

    def _live(self, mvm: str, state: State) -> MvmPlan:
        """The plan of an MVM on the chip in `state`, or on that of its hardware."""
        plan = self._plans[mvm]
        return plan if plan.is_digital else plan.on(state[CHIP] if CHIP in state else chip_of(self.spec.hardware))

    def gradient_side(self, mvm: str) -> Side:
        """The side whose operand a gradient MVM stores: it computes the gradient of the other one."""
        return "rhs" if self._product_of(mvm) == "lhs_grad" else "lhs"

    def _telemetry(self, mvm: str, ran: Ran, state: State) -> dict[str, Array]:
        """Additive telemetry of one execution; signal and noise are powers of the integer output."""
        plan = self._live(mvm, state)
        reading, reference = ran.reading, ranges.choose_range(state["needed_range"][plan.name], self.spec.hardware.adc)
        return {
            "calls": jnp.ones((), jnp.float32),
            "clipped": reading.clipped,
            "v_mean": reading.v_mean,
            "v_power": reading.v_power,
            "signal": jnp.mean(jnp.square(reading.product)),
            "noise": jnp.zeros((), jnp.float32)
            if plan.is_digital
            else plan.output_noise_power(reference) / plan.samples,
            "statistical": ran.statistical,
        }

    @promotes_ranks
    def update(self, state: State, grad: State) -> tuple[State, dict[str, Array]]:
        """The next step's state, and what happened in this one.

        Args:
            state: as it was given to `apply`. grad: its cotangent.

        Returns:
            The report holds scalars for each MVM that ran: `snr_db_<mvm>` (signal to noise of the output as the
            formulas of noise and quantisation predict it, -60 to 120), `clipped_<mvm>` (fraction of conversions),
            `range_<mvm>` (R, mean over passes) and `statistical_<mvm>` (share of executions on the statistical path);
            values of an MVM that did not run are NaN.
        """
        hardware = self.spec.hardware
        formats, adc = hardware.formats, hardware.adc
        telemetry = grad["telemetry"]
        report: dict[str, Array] = {}
        needed, clipped = {}, {}
        for mvm in self._plans:
            sums = telemetry["mvms"][mvm]
            ran = sums["calls"] > 0
            mean = jax.tree.map(lambda x, calls=sums["calls"]: x / jnp.maximum(calls, 1.0), sums)
            before = state["needed_range"][mvm]
            current = ranges.choose_range(before, adc)
            after = ranges.update_needed(before, current, mean["clipped"], mean["v_mean"], mean["v_power"], adc)
            needed[mvm] = jnp.where(ran, after, before)
            clipped[mvm] = jnp.where(ran, jnp.max(mean["clipped"]), state["clipped"][mvm])
            if not self._plans[mvm].is_digital:
                # A reading that is rounded to the right integer has no noise: its SNR ends at 120 dB.
                noise_power = jnp.maximum(jnp.maximum(mean["noise"], 1e-12 * mean["signal"]), 1e-30)
                ratio = jnp.maximum(mean["signal"] - noise_power, 1e-6 * noise_power) / noise_power
                report[f"snr_db_{mvm}"] = jnp.where(ran, 10.0 * jnp.log10(ratio), jnp.nan)
                report[f"clipped_{mvm}"] = jnp.where(ran, jnp.mean(mean["clipped"]), jnp.nan)
                report[f"range_{mvm}"] = jnp.where(ran, jnp.mean(current), jnp.nan)
                report[f"statistical_{mvm}"] = jnp.where(ran, mean["statistical"], jnp.nan)
        calls = jnp.maximum(telemetry["mvms"]["forward"]["calls"], 1.0)
        scale = gradient_scale(telemetry["largest_gradient"] / calls)
        carried = jnp.maximum(scale, formats.gradient_scale_decay * state["gradient_scale"])
        seen = telemetry["mvms"]["forward"]["calls"] > 0
        clips = next_clips(state["clips"], grad["clips"], telemetry["clip_statistics"] / calls, formats)
        new = {
            "needed_range": needed,
            "clipped": clipped,
            "gradient_scale": jnp.where(seen, carried, state["gradient_scale"]),
            "clips": jnp.where(seen, clips, state["clips"]),
            "telemetry": jax.tree.map(jnp.zeros_like, state["telemetry"]),
        }
        return new, report


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _dropped(residual: Array | None) -> Array | None:
    """An empty array in place of a residual; what is None, whatever is differentiated, stays None."""
    return None if residual is None else jnp.zeros((0,), residual.dtype)


def _unless_dropped(residual: Array | None) -> Array | None:
    return None if residual is None or residual.size == 0 else residual


@functools.cache
@promotes_ranks
def make_site(spec: SiteSpec) -> Site:
    """The site of a spec (one object for equal specs). Raises UserError, naming the site, if it has no mapping."""
    return Site(spec)
