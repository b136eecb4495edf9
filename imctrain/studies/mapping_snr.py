"""SNR of the gradient mappings on recorded gradients, at equal conversions.

A mapping of P passes converts each output, plane and tile P times. To compare mappings at one price, each gets the
same budget of C conversions: the whole MVM is done floor(C / P) times with fresh noise and the results are averaged.
With C = 21, bit_serial (P = 7) averages 3 results, grouped and balanced (P = 3) 7.

    error   = mean over repeats of Y  -  Y*          Y from the array (exact engine), Y* the exact integer product
    SNR     = signal / (mean square of the error * tiles of the MVM / tiles of the sample)
    signal  = mean square of the whole MVM's Y*

Both products are of the same codes and levels, so that rounding to the formats counts as no error: what is left is the
noise, the rounding and the clipping of the converters. Errors of different tiles add up as independent ones. The
prediction has the same signal over `MvmPlan.output_noise_power` / repeats, which takes rounding for an independent
error and knows nothing of clipping. All of these definitions, the budget included, are this project's.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.calibration import Calibration, load_calibration
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.files import write_json
from imctrain.formats import RADIX4, IntegerFormat
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip import ranges
from imctrain.imc.coding.levels import encode_gradient, rounding
from imctrain.imc.engines.kernels import exact
from imctrain.imc.mvm.plan import MvmPlan, plan_mvm
from imctrain.imc.mvm.products import Reading
from imctrain.imc.mvm.tiling import RowTiles
from imctrain.report.mapping_figure import FILE, MADE_BY, MappingSnr, SnrRecord, SnrSettings, draw_mapping_snr
from imctrain.settings import Hardware, ImcConfig, kept_config
from imctrain.studies.recording import MvmRecord, Recording

MAPPINGS = ("bit_serial", "grouped", "balanced")
POLICIES = ("fixed", "per_site")
SIGMAS = (0.25, 0.35, 0.5, 1.0, 2.0)
TRIALS = 32
"""Averages that each SNR is measured on: with the 100 or more outputs of a sample it is then good to about 0.1 dB."""
SETTLING = 6
"""Steps that ranges are given to settle, as a site's do in training."""
_ROUNDING, _SETTLING, _MEASURING = 0, 1, 2


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        calibration: name or file: array and converter (its noise is scaled to `sigmas`, its mismatch left out).
        sigmas: noise before rounding, LSB at R = 1. policies: of the reference range.
        conversions: C, of each output, plane and tile.
        trials: averages of C conversions that the error is measured on.
    """

    calibration: str = "vlsi21-28nm-assumed"
    sigmas: tuple[float, ...] = SIGMAS
    policies: tuple[str, ...] = POLICIES
    mappings: tuple[str, ...] = MAPPINGS
    conversions: int = 21
    trials: int = TRIALS

    def as_dict(self) -> SnrSettings:
        """As mapping_snr.json has it."""
        return {
            "calibration": self.calibration,
            "sigmas": self.sigmas,
            "policies": self.policies,
            "mappings": self.mappings,
            "conversions": self.conversions,
            "trials": self.trials,
        }


def measure(recording: Recording, settings: Settings, say: Callable[[str], None] = lambda text: None) -> MappingSnr:
    """SNR of every recorded MVM with every mapping, range policy and noise; the content of mapping_snr.json.

    Raises UserError for a budget below a mapping's passes, and a calibration of other rows than were recorded.
    """
    calibration = load_calibration(settings.calibration)
    imc = kept_config(recording.about["config"], "the recording's config").imc
    records: list[SnrRecord] = []
    for number, record in enumerate(recording.records, 1):
        say(f"{number} of {len(recording.records)}: step {record.step}, {record.site}, {record.mvm}")
        records += _measure_mvm(record, imc, calibration, settings)
    about = recording.about.copy()
    del about["config"]
    return {
        "schema_version": "1.0",
        "made_by": MADE_BY,
        "recording": about,
        "settings": settings.as_dict(),
        "records": records,
    }


def write_results(results: MappingSnr, folder: Path) -> list[Path]:
    """mapping_snr.json and its figure as PNG and SVG. Raises UserError for a folder that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, results)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another with --out") from None
    pictures = [(folder / FILE).with_suffix(suffix) for suffix in (".png", ".svg")]
    for picture in pictures:
        draw_mapping_snr(folder / FILE, picture)
    return [folder / FILE, *pictures]


def summary(results: MappingSnr) -> list[str]:
    """Lines for people: at each noise, by how much balanced is above the others, median over everything recorded."""
    found: dict[tuple[str, float, str, str, int], dict[str, float]] = {}
    for r in results["records"]:
        if r["snr_db"] is not None:
            where = (r["range_policy"], r["sigma_lsb"], r["mvm"], r["site"], r["step"])
            found.setdefault(where, {})[r["mapping"]] = r["snr_db"]
    lines = []
    for policy, sigma in itertools.product(results["settings"]["policies"], results["settings"]["sigmas"]):
        here = [snr for where, snr in found.items() if where[:2] == (policy, sigma)]
        parts = []
        for other in ("grouped", "bit_serial"):
            gains = [snr["balanced"] - snr[other] for snr in here if "balanced" in snr and other in snr]
            if gains:
                parts.append(f"{np.median(gains):+.1f} dB over {other} ({min(gains):+.1f} to {max(gains):+.1f})")
        if parts:
            lines.append(f"{policy}, {sigma:g} LSB: balanced {', '.join(parts)}")
    return lines


def array_of(imc: ImcConfig, calibration: Calibration, mapping: str, policy: str, sigma: float) -> Hardware:
    """The run's hardware with a mapping, a range policy and a noise, all of it drawn anew at every conversion; without
    mismatch, replicated, exact."""
    update = {
        "path": "exact",
        "array": imc.array.replace(replicate=True, chop=False),
        "adc": imc.adc.replace(range_policy=policy),
        "noise": imc.noise.replace(
            sigma_lsb=sigma, sigma_slow_lsb=0.0, sigma_common_lsb=0.0, scale=1.0, mismatch=False
        ),
        "mapping": imc.mapping.replace(gradient=mapping),
    }
    return build_hardware(imc.replace(**update), calibration)


def plan_of(record: MvmRecord, hardware: Hardware) -> MvmPlan:
    """The plan of a recorded sample: a matrix product with the tiles that the MVM has."""
    if hardware.array.rows != record.rows:
        raise UserError(
            f"site {record.site} was recorded in row tiles for {record.rows} rows, the calibration has "
            f"{hardware.array.rows}: give a calibration of {record.rows} rows, or record a run on this one"
        )
    groups, vectors, contraction = record.driven.shape
    plan = plan_mvm(
        record.mvm,
        site_index=0,
        groups=groups,
        vectors=vectors,
        contraction=contraction,
        outputs=record.stored.shape[1],
        unit=1,
        shared_columns=True,
        input_format=RADIX4,
        stored_format=stored_format(record),
        hardware=hardware,
    )
    return replace(plan, tiles=RowTiles(contraction, 1, record.tile))


def _measure_mvm(
    record: MvmRecord, imc: ImcConfig, calibration: Calibration, settings: Settings
) -> Iterator[SnrRecord]:
    levels, codes = encode(record, imc)
    ideal = np.einsum("gmk,gnk->gmn", np.asarray(levels, np.float64), np.asarray(codes, np.float64))
    share = record.driven.shape[2] // record.tile / record.of_tiles
    for mapping, policy in itertools.product(settings.mappings, settings.policies):
        for number, sigma in enumerate(settings.sigmas):
            hardware = array_of(imc, calibration, mapping, policy, sigma)
            plan = plan_of(record, hardware)
            repeats = settings.conversions // plan.passes
            if repeats < 1:
                raise UserError(
                    f"--conversions {settings.conversions} is less than the {plan.passes} passes of {mapping}: raise it"
                )
            seed = noise.derive(noise.seed_of(jax.random.key(record.step)), number)
            reference = settle(plan, levels, codes, noise.derive(seed, _SETTLING))
            readings = _evaluate(plan, levels, codes, reference, noise.derive(seed, _MEASURING), settings, repeats)
            products = np.asarray(readings.product, np.float64).reshape(settings.trials, repeats, *ideal.shape)
            once = float(np.mean(np.square(products - ideal)))
            error = float(np.mean(np.square(products.mean(axis=1) - ideal)))
            predicted = float(plan.output_noise_power(reference)) / repeats
            yield {
                "step": record.step,
                "site": record.site,
                "mvm": record.mvm,
                "mapping": mapping,
                "range_policy": policy,
                "sigma_lsb": sigma,
                "passes": plan.passes,
                "repeats": repeats,
                "conversions": plan.passes * repeats,
                "snr_db": _decibels(record.signal * share, error),
                "snr_db_predicted": _decibels(record.signal * share, predicted),
                "snr_db_once": _decibels(record.signal * share, once),
                "ranges": [float(r) for r in reference],
                "clipped": float(jnp.mean(readings.clipped)),
            }


def stored_format(record: MvmRecord) -> IntegerFormat:
    """Of the operand that cells hold."""
    return IntegerFormat(record.stored_bits, record.stored_signed)


def encode(record: MvmRecord, imc: ImcConfig) -> tuple[Array, Array]:
    """Radix-4 levels and integer codes of a record's operands, as its run would encode them, float32."""
    formats = imc.formats
    seed = noise.derive(noise.seed_of(jax.random.key(record.step)), _ROUNDING)
    odd = record.mvm == "weight_grad" and rounding(formats).encodes_twice
    one = jnp.ones((), jnp.float32)
    levels = encode_gradient(jnp.asarray(record.driven), one, formats, seed, odd=odd).mean
    fmt = stored_format(record)
    codes, _ = fmt.quantise(jnp.asarray(record.stored), jnp.float32(fmt.top))
    return levels, codes


def settle(plan: MvmPlan, levels: Array, codes: Array, seed: Array) -> Array:
    """R of each pass, [P], after some steps on the same operands, by the policy of the plan's converter."""
    adc = plan.hardware.adc
    needed = jnp.zeros(plan.passes, jnp.float32)
    if adc.range_policy == "fixed":
        return ranges.choose_range(needed, adc)
    for step in range(SETTLING):
        current = ranges.choose_range(needed, adc)
        seen = _run(_static(plan), levels, codes, current, _sigmas(plan), noise.derive(seed, step)[None])
        statistics = (seen.clipped[0], seen.v_mean[0], seen.v_power[0])
        needed = ranges.range_policy(adc).update(needed, current, *statistics, adc)
    return ranges.choose_range(needed, adc)


def _evaluate(
    plan: MvmPlan, levels: Array, codes: Array, reference: Array, seed: Array, settings: Settings, repeats: int
) -> Reading:
    """Readings of trials * repeats runs of an MVM, each with noise of its own (first axis)."""
    numbers = jnp.arange(settings.trials * repeats, dtype=jnp.uint32)
    seeds = jax.vmap(lambda number: noise.derive(seed, number))(numbers)
    return _run(_static(plan), levels, codes, reference, _sigmas(plan), seeds)


@functools.partial(jax.jit, static_argnums=0)
def _run(plan: MvmPlan, levels: Array, codes: Array, reference: Array, sigmas: Array, seeds: Array) -> Reading:
    # The converter's noise is an argument, so that one program serves every noise and every range policy.
    live = replace(plan.converter, sigma_array=sigmas[0], sigma_adc=sigmas[1])  # type: ignore[arg-type]
    noisy = replace(plan, converter=live)
    return jax.vmap(lambda seed: exact.matmul(levels, codes, noisy, reference, seed))(seeds)


def _sigmas(plan: MvmPlan) -> Array:
    return jnp.asarray([plan.converter.sigma_array, plan.converter.sigma_adc], jnp.float32)


def _static(plan: MvmPlan) -> MvmPlan:
    """The plan with what `_run` takes as an argument set to one: equal for every noise and range policy."""
    hardware = plan.hardware
    hardware = hardware.replace(
        noise=hardware.noise.replace(sigma_array_lsb=1.0, sigma_adc_lsb=1.0),
        adc=hardware.adc.replace(range_policy="fixed"),
    )
    return replace(plan, hardware=hardware, converter=replace(plan.converter, sigma_array=1.0, sigma_adc=1.0))


def _decibels(signal: float, noise_power: float) -> float | None:
    """10 log10 of a ratio of powers; None where either is zero."""
    return 10.0 * math.log10(signal / noise_power) if signal > 0 and noise_power > 0 else None
