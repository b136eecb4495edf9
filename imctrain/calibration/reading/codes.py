"""What the bits of a code mean: a signed number, two's complement read as unsigned, or offset binary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from imctrain.calibration.arrays import Floats
from imctrain.calibration.reading.setup import MeasurementSetup

if TYPE_CHECKING:
    import polars as pl

CodeForm = Literal["signed", "twos-complement", "offset-binary"]

NEAR = 0.15
"""Of the codes' span: how far from the nominal transfer half of the codes may lie, at most."""
CLEARLY = 3.0
LOOKED_AT = 4096
WORDS = (16, 24, 32)
"""Widths of words that narrower codes are stored in: two's complement then has the sign in all higher bits."""


def to_code(code: pl.Expr, form: CodeForm, bits: int) -> pl.Expr:
    """Signed codes; what is no pattern of so many bits is given as infinite, which no code is."""
    import polars as pl

    half, span = 2.0 ** (bits - 1), 2.0**bits
    if form == "offset-binary":
        return pl.when((code < 0) | (code >= span)).then(float("inf")).otherwise(code - half)
    signed = pl.when((code >= half) & (code < span)).then(code - span).otherwise(code)
    for word in WORDS:
        if word > bits:
            signed = pl.when((code >= 2.0**word - half) & (code < 2.0**word)).then(code - 2.0**word).otherwise(signed)
    return pl.when((code < 0) | (signed >= half)).then(float("inf")).otherwise(signed)


def signed_codes(code: Floats, form: CodeForm, bits: int) -> Floats:
    """`to_code` of an array."""
    import polars as pl

    table = pl.DataFrame({"code": code}, schema={"code": pl.Float64})
    return table.select(to_code(pl.col("code"), form, bits)).to_series().to_numpy()


def form_of(values: pl.DataFrame, setup: MeasurementSetup) -> CodeForm | None:
    """What patterns of bits mean, by how closely they then follow the input; None where that does not tell.

    Patterns below 2**(bits - 1) at inputs around 0 and above are the same as two's complement and as signed.
    """
    v, code = inputs_and_codes(values, setup)
    if code.size == 0:
        return "twos-complement"
    nominal = np.clip(v * setup.codes_per_v, setup.lowest, setup.highest)
    told: tuple[CodeForm, ...] = ("twos-complement", "offset-binary")
    forms = {form: distance(signed_codes(code, form, setup.bits), nominal, setup) for form in told}
    best, other = sorted(forms, key=lambda form: forms[form])
    return best if forms[best] < NEAR and forms[other] > CLEARLY * forms[best] else None


def distance(code: Floats, nominal: Floats, setup: MeasurementSetup) -> float:
    """How far from the nominal transfer half of the codes lie at most, as a fraction of the codes' span."""
    return float(np.median(np.abs(code - nominal))) / 2**setup.bits


def inputs_and_codes(values: pl.DataFrame, setup: MeasurementSetup) -> tuple[Floats, Floats]:
    """v / R and the code of some rows, evenly spread, that have both."""
    import polars as pl

    entrance = next((name for name in ("ideal", "dot") if name in values.columns), None)
    if entrance is None:
        return np.zeros(0), np.zeros(0)
    full = 1.0 if entrance == "ideal" else float((setup.rows or 1) * (setup.levels or 1))
    reference = pl.col("range") if "range" in values.columns else pl.lit(setup.range)
    some = values.gather_every(max(1, values.height // LOOKED_AT))
    taken = some.select((pl.col(entrance) / full / reference).alias("v"), pl.col("code").cast(pl.Float64)).drop_nulls()
    v, code = taken["v"].to_numpy(), taken["code"].to_numpy()
    finite = np.isfinite(v) & np.isfinite(code)
    return v[finite], code[finite]
