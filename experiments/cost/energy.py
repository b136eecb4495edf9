"""Count what docs/cost.md tells, draw its figures and fill its tables: `python experiments/cost/energy.py`.

Nothing is trained. The numbers go to results/energy.json, the figures to docs/images, the tables into the page between
their marks (`--tables` alone makes them again from the kept numbers).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from imctrain import Hardware, on_imc
from imctrain.cost.energy import Energy
from imctrain.cost.references import ARITHMETICS
from imctrain.cost.step import StepCost
from imctrain.cost.summary import bottleneck, macro_utilisation, seconds_by_kind
from imctrain.experiment.costing import Training, training_of
from imctrain.experiment.from_config import build_hardware, calibration_of
from imctrain.files import write_json, write_text
from imctrain.report.style import COLOURS, drawing, save_figure, subplots
from imctrain.settings import Config
from imctrain.sweep.spec import expand, read_sweep

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CIFAR = ROOT / "experiments" / "cifar10"
KEPT = HERE / "results" / "energy.json"
PAGE = ROOT / "docs" / "cost.md"
IMAGES = ROOT / "docs" / "images"

RECIPES = {"silicon": "claim 1, 1 LSB", "feasible": "claim 2, 0.25 LSB, four repeats"}
NETWORKS = {
    "resnet6": (32, 64), "resnet8": (16, 64), "resnet20": (16, 128), "resnet18": (64, 128), "vit": (128, 128),
}  # fmt: skip
"""Width and batch."""
TECHNOLOGIES = ("laws-28nm", "vlsi21-28nm", "survey-28nm", "jia2020-65nm")
LENGTHS = (16, 32, 64, 96, 144, 192, 288, 384, 576, 768, 1152, 2304, 4608, 9216)
REPEATS = (1, 2, 4, 8)
VECTORS, OUTPUTS = 65536, 64
"""Of the MVMs whose break-even is looked for: writing hardly counts, and 64 outputs fill a macro's columns."""
PARTS = {
    "adc": "ADC", "array": "array", "dac": "DAC", "beside": "additions beside the array", "encoding": "encoding",
    "write": "write", "move": "move", "exempt": "exempt layers", "elementwise": "elementwise work", "update": "update",
}  # fmt: skip


def recipe(name: str) -> Config:
    """The config of a claim's recipe, on resnet6."""
    trials = expand(read_sweep(CIFAR / "claims.sweep.toml"))
    return next(trial.config for trial in trials if trial.variant == name)


def network(name: str, config: Config, technology: str = "laws-28nm") -> Training:
    """The training of a network with a recipe."""
    width, batch = NETWORKS[name]
    changed = config.model_copy(
        update={
            "model": config.model.replace(name=name, width=width),
            "data": config.data.replace(batch_size=batch),
            "cost": config.cost.replace(technology=technology),
        }
    )
    return training_of(changed, CIFAR)


def told(training: Training) -> dict[str, Any]:
    """What the page tells of a training."""
    bill = training.cost()
    on_array = [cost for cost in bill.mvms if cost.line.on_array]
    array = sum((cost.energy for cost in on_array), Energy())
    exempt = sum(cost.energy.total.value for cost in bill.mvms if not cost.line.on_array)
    parts = {part.part.name: part.energy.total.value for part in bill.parts}
    encoding = sum(cost.encoding_j.value for cost in on_array)
    shares = {name: getattr(array, name).value for name in ("adc", "array", "dac", "write", "move")}
    shares |= {"beside": array.digital.value - encoding, "encoding": encoding, "exempt": exempt}
    shares |= {"elementwise": parts["elementwise"] + parts["loss"], "update": parts["update"]}
    macs = bill.macs_on_array
    return {
        "energy_step_j": bill.energy_step_j,
        "band_j": [bill.energy.total.low, bill.energy.total.high],
        "energy_image_j": bill.energy_step_j / (bill.images or 1),
        "seconds_step": bill.seconds_step,
        "seconds_step_split": training.cost(split=True).seconds_step,
        "macs": bill.macs,
        "macs_on_array": macs,
        "fj_per_mac": bill.fj_per_mac,
        "fj_per_mac_on_array": 1e15 * array.total.value / macs,
        "fj_per_mac_converter_and_array": 1e15 * (array.adc.value + array.array.value + array.dac.value) / macs,
        "parts_j": shares,
        "ratios": {name: bill.ratio(name) for name in ARITHMETICS},
        "ratios_on_array": {
            name: sum(cost.references[name].value for cost in on_array) / array.total.value for name in ARITHMETICS
        },
        "ratio_without_weight_gradients": _without(bill, "weight_grad"),
        "seconds": seconds_by_kind(bill),
        "macro_utilisation": macro_utilisation(bill),
        "bottleneck": bottleneck(bill),
    }


def _without(bill: StepCost, mvm: str) -> float:
    """MVMs in FP32 over the same with all but one kind on the array, that one in FP32."""
    on_array = [cost for cost in bill.mvms if cost.line.on_array]
    digital = sum(cost.references["fp32"].value for cost in on_array)
    mixed = sum(cost.references["fp32"].value if cost.line.mvm == mvm else cost.energy.total.value for cost in on_array)
    return digital / mixed


def break_even(config: Config) -> list[dict[str, Any]]:
    """fJ a MAC of the forward and the dX MVM by contraction length and repeats."""
    base = build_hardware(config.imc, calibration_of(config, CIFAR))
    found = []
    for length in LENGTHS:
        for repeats in REPEATS:
            hardware = base.replace(mapping=base.mapping.replace(gradient_samples=repeats))
            for mvm in ("forward", "input_grad"):
                if mvm == "forward" and repeats > 1:
                    continue
                cost = _one(hardware, length, mvm)
                macs = cost.line.macs
                found.append(
                    {
                        "mvm": mvm,
                        "contraction": length,
                        "repeats": repeats,
                        "fj_per_mac": 1e15 * cost.energy.total.value / macs,
                        "references": {k: 1e15 * v.value / macs for k, v in cost.references.items()},
                    }
                )
    return found


def _one(hardware: Hardware, length: int, mvm: str) -> Any:
    """An MVM that contracts so many elements into OUTPUTS outputs."""
    inner, outer = (length, OUTPUTS) if mvm == "forward" else (OUTPUTS, length)
    x, w = jax.ShapeDtypeStruct((VECTORS, inner), jnp.float32), jax.ShapeDtypeStruct((inner, outer), jnp.float32)
    bill = on_imc(lambda w, x: jnp.sum(jax.nn.relu(x * w[0, 0]) @ w), hardware).cost(w, x)
    return next(cost for cost in bill.mvms if cost.line.mvm == mvm)


def count() -> dict[str, Any]:
    """All numbers of the page."""
    recipes = {name: recipe(name) for name in RECIPES}
    return {
        "networks": {name: {key: told(network(name, config)) for key, config in recipes.items()} for name in NETWORKS},
        "technologies": {
            technology: {key: told(network("resnet6", config, technology)) for key, config in recipes.items()}
            for technology in TECHNOLOGIES
        },
        "break_even": {key: break_even(config) for key, config in recipes.items()},
    }


@drawing()
def draw_networks(content: dict[str, Any], target: Path) -> None:
    """Where a step's joules go, a bar a network and recipe."""
    bars = [(name, key) for name in NETWORKS for key in RECIPES]
    colours = dict(
        zip(PARTS, (*COLOURS[:1], COLOURS[5], *COLOURS[2:3], "#8c6bb1", "#bfd3e6", *COLOURS[3:4], "0.6"), strict=False)
    )
    colours |= {"exempt": COLOURS[1], "elementwise": COLOURS[4], "update": "0.25"}
    figure, axis = subplots(figsize=(6.8, 3.6), layout="constrained")
    left = [0.0] * len(bars)
    for part, label in PARTS.items():
        found = [content["networks"][name][key] for name, key in bars]
        widths = [1e15 * item["parts_j"][part] / item["macs"] for item in found]
        axis.barh(range(len(bars)), widths, left=left, color=colours[part], label=label, height=0.75)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, (name, key) in enumerate(bars):
        item = content["networks"][name][key]
        axis.annotate(
            f"INT8 x{item['ratios']['int8']:.2g}, same formats x{item['ratios']['formats']:.2g}",
            xy=(left[place], place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6.5, color="0.3",
        )  # fmt: skip
    axis.set_yticks(range(len(bars)), [f"{name}, claim {1 + (key == 'feasible')}" for name, key in bars])
    axis.set_ylim(len(bars) - 0.5, -0.5)
    axis.set_xlim(0, 1.3 * max(left))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("energy of a training step (fJ a multiply-accumulate)")
    figure.legend(loc="outside upper center", ncols=5, fontsize=7)
    save_figure(figure, target)


@drawing()
def draw_break_even(content: dict[str, Any], target: Path) -> None:
    """fJ a MAC against the length of the contraction, and the digital lines."""
    figure, axes = subplots(1, 2, figsize=(7.0, 3.0), sharey=True, layout="constrained")
    for axis, (key, label) in zip(axes, RECIPES.items(), strict=True):
        rows = content["break_even"][key]
        curves = [("forward", 1, "forward", COLOURS[6], "-")]
        curves += [("input_grad", n, f"gradient, {n} x", COLOURS[i], "-") for i, n in enumerate(REPEATS)]
        for mvm, repeats, name, colour, style in curves:
            found = [row for row in rows if (row["mvm"], row["repeats"]) == (mvm, repeats)]
            axis.plot(
                [r["contraction"] for r in found], [r["fj_per_mac"] for r in found], style, color=colour, label=name
            )
        for name, style, text in (("int8", "--", "digital INT8"), ("formats", ":", "digital, same formats")):
            found = [row for row in rows if (row["mvm"], row["repeats"]) == ("input_grad", 1)]
            values = [r["references"][name] for r in found]
            axis.plot([r["contraction"] for r in found], values, style, color="0.3", lw=1.2, label=text)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks([16, 64, 256, 1152, 4608], ["16", "64", "256", "1152", "4608"])
        axis.set_xlabel("elements of the contraction")
        axis.set_title(label.split(", four")[0], loc="left")
    axes[0].set_ylabel("fJ a multiply-accumulate")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7)
    save_figure(figure, target)


def tables(content: dict[str, Any]) -> dict[str, str]:
    """Markdown of each marked table of the page."""
    return {
        "networks": _networks(content),
        "parts": _parts(content),
        "technologies": _technologies(content),
        "break-even": _break_even(content),
        "predecessor": _predecessor(content),
    }


def _networks(content: dict[str, Any]) -> str:
    lines = [
        "| network | recipe | uJ an image | fJ/MAC, whole step | fJ/MAC, MVMs on the array | of it converters, array, "
        "drivers | ms a step | with split vectors | macros in use | INT8 | same formats | BF16 | FP32 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in NETWORKS:
        for key in RECIPES:
            item = content["networks"][name][key]
            ratios = " | ".join(f"{item['ratios'][r]:.2f}" for r in ("int8", "formats", "bf16", "fp32"))
            lines.append(
                f"| {name} | claim {1 + (key == 'feasible')} | {1e6 * item['energy_image_j']:.3g} | "
                f"{item['fj_per_mac']:.0f} | {item['fj_per_mac_on_array']:.0f} | "
                f"{item['fj_per_mac_converter_and_array']:.0f} | {1e3 * item['seconds_step']:.3g} | "
                f"{1e3 * item['seconds_step_split']:.3g} | "
                f"{100 * item['macro_utilisation']:.0f} % | {ratios} |"
            )
    return "\n".join(lines)


def _parts(content: dict[str, Any]) -> str:
    lines = [f"| network | recipe | {' | '.join(PARTS.values())} |", "|---|---|" + "---|" * len(PARTS)]
    for name in NETWORKS:
        for key in RECIPES:
            item = content["networks"][name][key]
            shares = [100 * item["parts_j"][part] / item["energy_step_j"] for part in PARTS]
            lines.append(f"| {name} | claim {1 + (key == 'feasible')} | {' | '.join(f'{s:.0f} %' for s in shares)} |")
    return "\n".join(lines)


def _technologies(content: dict[str, Any]) -> str:
    lines = ["| technology | recipe | uJ a step (range) | fJ/MAC | INT8 | same formats |", "|---|---|---|---|---|---|"]
    for name in TECHNOLOGIES:
        for key in RECIPES:
            item = content["technologies"][name][key]
            low, high = (1e6 * bound for bound in item["band_j"])
            lines.append(
                f"| {name} | claim {1 + (key == 'feasible')} "
                f"| {1e6 * item['energy_step_j']:.0f} ({low:.0f} to {high:.0f}) "
                f"| {item['fj_per_mac']:.0f} | {item['ratios']['int8']:.2f} | {item['ratios']['formats']:.2f} |"
            )
    return "\n".join(lines)


def _break_even(content: dict[str, Any]) -> str:
    lines = ["| recipe | MVM | below digital INT8 from | below the same formats from |", "|---|---|---|---|"]
    for key, rows in content["break_even"].items():
        for mvm, repeats in (("forward", 1), *(("input_grad", n) for n in REPEATS)):
            found = [row for row in rows if (row["mvm"], row["repeats"]) == (mvm, repeats)]
            cells = [_from(found, name) for name in ("int8", "formats")]
            what = "forward" if mvm == "forward" else f"gradient, done {repeats} x"
            lines.append(f"| claim {1 + (key == 'feasible')} | {what} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _from(rows: list[dict[str, Any]], name: str) -> str:
    """The shortest contraction from which on the array is below a reference."""
    above = [row["contraction"] for row in rows if row["fj_per_mac"] >= row["references"][name]]
    later = [length for length in LENGTHS if length > max(above, default=0)]
    return f"{later[0]} elements" if later else "never"


def _predecessor(content: dict[str, Any]) -> str:
    lines = ["| network | recipe | all three on the array, over FP32 | weight gradients in FP32 |", "|---|---|---|---|"]
    for name in NETWORKS:
        for key in RECIPES:
            item = content["networks"][name][key]
            lines.append(
                f"| {name} | claim {1 + (key == 'feasible')} | {item['ratios_on_array']['fp32']:.1f} | "
                f"{item['ratio_without_weight_gradients']:.2f} |"
            )
    return "\n".join(lines)


def filled(page: str, content: dict[str, Any]) -> str:
    """The page with its tables between their marks."""
    for name, table in tables(content).items():
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", lambda m, t=table: m[1] + t + m[2], page, flags=re.DOTALL
        )
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="from the kept numbers alone")
    if not parser.parse_args().tables:
        KEPT.parent.mkdir(exist_ok=True)
        write_json(KEPT, count())
    content = json.loads(KEPT.read_text(encoding="utf-8"))
    for suffix in ("png", "svg"):
        draw_networks(content, IMAGES / f"cost_networks.{suffix}")
        draw_break_even(content, IMAGES / f"cost_break_even.{suffix}")
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), content))


if __name__ == "__main__":
    main()
