"""A slow and obvious reference for the array, in numpy float64, written from the formulas and nothing else.

X = sum_p c_p X_p, W = sum_j beta_j W_j; for every row tile, pass, plane, vector and column

    v    = gain * (v0 + inl(v0) + own_tjn(v0)) + offset,   v0 = dot / (rows_that_count * L)
    code = clip(round(v / lsb + sigma eps), lo, hi),     lsb = span * R / steps
    Y   += c_p * beta_j * rows_that_count * L * lsb * code
"""

import itertools

import numpy as np


def passes_of(values, coefficients, codes, magnitudes=None, differential=False):
    """X_p of each pass: the value over its coefficient without a table, else its magnitude's codes with its sign.

    Differential: codes above zero, then those below zero, turned.
    """
    values = np.asarray(values, np.float64)
    if not codes:
        out = [values / coefficients[0]]
    else:
        table = dict(zip(magnitudes or [4**k for k in range(len(codes))], codes, strict=True))
        table[0] = [0] * len(codes[0])
        rows = np.array([np.sign(v) * np.array(table[abs(v)]) for v in values.ravel()])
        out = [rows[:, p].reshape(values.shape) for p in range(rows.shape[1])]
    return [np.maximum(s * x, 0) for s in (1, -1) for x in out] if differential else out


BETA = {
    ("and", True, None): ([1, 2, 4, -8], 0.0),
    ("and", False, None): ([1, 2, 4, 8], 0.0),
    ("and", True, 5): ([4, 4, 3, 2, 1], -7.0),
    ("and", False, 5): ([4, 4, 4, 2, 1], 0.0),
    ("xnor", True, None): ([3.5, 2, 1, 0.5], 0.0),
    ("xnor", False, None): ([4, 2, 1, 0.5], 7.5),
    ("xnor", True, 5): ([2, 2, 1.5, 1, 0.5], 0.0),
    ("xnor", False, 5): ([2, 2, 2, 1, 0.5], 7.5),
}
"""Plane weights and centre by cells, sign and number of planes."""


def planes_of(values, cell, beta):
    """W_j found by trying every pattern of cells: independent of how the package encodes them.

    Where several patterns give a value, the heaviest planes are those that are set.
    """
    table = {}
    for pattern in itertools.product([1, 0] if cell == "and" else [1, -1], repeat=len(beta)):
        table.setdefault(float(np.dot(pattern, beta)), np.array(pattern))
    cells = np.array([table[float(v)] for v in np.ravel(values)])
    return [cells[:, j].reshape(np.shape(values)) for j in range(len(beta))]


def array_matmul(
    x,
    w,
    *,
    tiles,
    coefficients=(1.0,),
    codes=(),
    magnitudes=None,
    differential=False,
    cell="and",
    stored_signed=True,
    plane_count=None,
    rows=1152,
    levels=16,
    bits=8,
    unipolar=False,
    last_code=False,
    centre=0.0,
    ranges=None,
    replicate=False,
    segment=None,
    gain=None,
    offset=None,
    inl=None,
    own=None,
    sigma=None,
    slow=None,
    held=None,
    common=None,
    edges=None,
    rng=None,
    correction=None,
    multiplier=None,
):
    """Y [M, N] of x [M, K] and w [K, N]; `tiles` lists the row indices of every tile.

    gain, offset: [T, J, N]. sigma: in LSB of the range, [T, J, N], drawn by rng. inl: function of v; own: of (t, j, v),
    v [M, N], what single columns add to it. slow, common: in LSB at R = 1, [T, J, N]; slow times `held`, standard
    normal [T, M, J, N], which the caller keeps through an MVM and its repeats; common times a draw for each tile, pass
    and vector. edges: voltages in codes at which the codes above the lowest begin. ranges: R of each pass. centre:
    what is driven as code 0. What it and the planes' centre leave out of the product is added digitally.
    correction, multiplier: what the digital side subtracts, as a fraction of full scale, and multiplies by, [T, J, N].
    """
    span = 1.0 if unipolar else 2.0
    steps = 2**bits - (1 if last_code else 0)
    low, high = (0, 2**bits - 1) if unipolar else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    beta, middle = BETA[cell, stored_signed, plane_count]
    planes = planes_of(w - middle, cell, beta)
    drives = passes_of(x - centre, coefficients, codes, magnitudes, differential)
    ranges = [1.0] * len(drives) if ranges is None else ranges
    y = np.asarray(x, float) @ w - (x - centre) @ (w - middle)
    clipped = 0
    full_scales = []
    for index in tiles:
        counted = rows if segment is None else min(-(-len(index) // segment) * segment, rows)
        full_scales.append(levels * (counted / max(counted // len(index), 1) if replicate else counted))
    for t, (index, full_scale) in enumerate(zip(tiles, full_scales, strict=True)):
        for c, drive, reference in zip(coefficients, drives, ranges, strict=True):
            lsb = span * reference / steps
            alike = 0.0 if common is None else rng.standard_normal((len(x), 1)) / reference
            for j, (b, plane) in enumerate(zip(beta, planes, strict=True)):
                dot = drive[:, index] @ plane[index]
                v = v0 = dot / full_scale
                if inl is not None:
                    v = v + inl(v0)
                if own is not None:
                    v = v + own(t, j, v0)
                if gain is not None:
                    v = v * gain[t, j] + offset[t, j]
                noise = 0.0 if sigma is None else sigma[t, j] * rng.standard_normal(dot.shape)
                if common is not None:
                    noise = noise + common[t, j] * alike
                if slow is not None:
                    noise = noise + slow[t, j] * held[t, :, j] / reference
                ideal = inl is None and own is None and gain is None
                volts = (dot / (full_scale * lsb) if ideal else v / lsb) + noise
                raw = np.round(volts)
                if edges is not None:
                    counted = low + sum((volts >= edge).astype(float) for edge in edges)
                    raw = np.where((raw < low) | (raw > high), raw, counted)
                code = np.clip(raw, low, high)
                clipped += int(np.sum(code != raw))
                value = full_scale * lsb * code
                if correction is not None:
                    value = value - full_scale * correction[t, j]
                if multiplier is not None:
                    value = value * multiplier[t, j]
                # A converter that tells integers apart (lsb at most one unit of the dot product) is read as integers.
                y += c * b * (np.round(value) if full_scale * lsb <= 1 else value)
    return y, clipped


def even_tiles(units, rows, unit=1):
    """Row indices of each tile when `units` units of `unit` rows (row = position * units + u) are cut evenly."""
    count = -(-units // (rows // unit))
    size = -(-units // count)
    return [
        np.concatenate([np.arange(p * units + s, p * units + min(s + size, units)) for p in range(unit)])
        for s in range(0, units, size)
    ]


def conv_matrices(x, w, strides, padding, image_dilation, kernel_dilation, groups):
    """A 2-D convolution as a matrix product a group, by loops.

    Returns patches [G, B*OH*OW, kh*kw*C/G], kernels [G, kh*kw*C/G, N] and (OH, OW).
    """
    batch, height, width, channels = x.shape
    kh, kw, depth, outputs = w.shape
    (ah, aw), (rh, rw), (sh, sw) = image_dilation, kernel_dilation, strides
    big = np.zeros((batch, (height - 1) * ah + 1, (width - 1) * aw + 1, channels))
    big[:, ::ah, ::aw] = x
    big = np.pad(big, ((0, 0), *padding, (0, 0)))
    oh = (big.shape[1] - ((kh - 1) * rh + 1)) // sh + 1
    ow = (big.shape[2] - ((kw - 1) * rw + 1)) // sw + 1
    patches = np.zeros((groups, batch, oh, ow, kh, kw, depth))
    for g in range(groups):
        for i in range(oh):
            for j in range(ow):
                for a in range(kh):
                    for b in range(kw):
                        patches[g, :, i, j, a, b] = big[
                            :, i * sh + a * rh, j * sw + b * rw, g * depth : (g + 1) * depth
                        ]
    kernels = np.stack(np.split(w.reshape(kh * kw * depth, outputs), groups, axis=1))
    return patches.reshape(groups, batch * oh * ow, -1), kernels, (oh, ow)
