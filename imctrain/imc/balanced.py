"""Search for the balanced mapping: integer pass coefficients of least norm that reach every radix-4 magnitude.

Wanted: c_1 >= ... >= c_P >= 1 with, for each k < K, codes |x_p| <= L and sum_p c_p x_p = 4**k, minimising
sum c_p^2 (the noise gain squared). Since 4**(K-1) <= L * sum c_p, sum c_p >= S = ceil(4**(K-1) / L), and by
Cauchy-Schwarz no solution has a norm below S / sqrt(P). The search enumerates coefficient tuples in shells of
rising norm from that bound and stops at the first shell that holds a solution, so the answer is optimal.
For the macro's L = 16, K = 7, P = 3 it is
(87, 85, 84), norm 147.82 against the bound 147.80.

Shells grow without end where no mapping exists, so the search gives up after MAX_CANDIDATES tuples.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

MAX_CANDIDATES = 200_000


def norm_bound(levels: int, exponents: int, passes: int) -> float:
    """The smallest sqrt(sum c^2) that any mapping with these levels and passes can have."""
    return 4 ** (exponents - 1) / levels / math.sqrt(passes)


def _tuples(passes: int, least_sum: int, low: int, high: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(norm^2, c) for non-increasing c >= 1 with sum >= least_sum and low <= norm^2 < high."""

    def extend(prefix: tuple[int, ...], total: int, norm: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        left = passes - len(prefix)
        if left == 0:
            if total >= least_sum and norm >= low:
                yield norm, prefix
            return
        missing = max(least_sum - total, left)
        # The rest can add at most sqrt(left * norm budget) to the sum.
        top = math.isqrt(max(high - 1 - norm - (left - 1), 0))
        if prefix:
            top = min(top, prefix[-1])
        for c in range(-(-missing // left), top + 1):
            rest = high - 1 - norm - c * c
            if rest < left - 1 or (missing - c > 0 and (left == 1 or (missing - c) ** 2 > (left - 1) * rest)):
                continue
            yield from extend((*prefix, c), total + c, norm + c * c)

    yield from extend((), 0, 0)


def _reachable(coefficients: tuple[int, ...], levels: int, exponents: int) -> bool:
    """Whether every 4**k is a sum of c_p x_p with |x_p| <= levels, by dynamic programming on a bit set."""
    bound = levels * sum(coefficients)
    reached = 1 << bound  # bit i stands for the value i - bound
    for c in coefficients:
        grown = 0
        for x in range(levels + 1):
            grown |= reached << (c * x) | reached >> (c * x)
        reached = grown
    return all(bound + 4**k <= 2 * bound and reached >> (bound + 4**k) & 1 for k in range(exponents))


@functools.cache
def search_balanced(levels: int, exponents: int, passes: int) -> tuple[int, ...] | None:
    """Coefficients of least norm, largest first, or None if none is found in MAX_CANDIDATES tuples.

    Args:
        levels: L, the top input code.
        exponents: K; magnitudes are 4**0 .. 4**(K-1).
        passes: P.
    """
    top = 4 ** (exponents - 1)
    if passes == 1:
        return (1,) if top <= levels else None
    least_sum = -(-top // levels)
    low = max(least_sum * least_sum // passes, passes)
    # Beyond the norm of one coefficient a magnitude (c_k = 4**k) nothing is gained by looking.
    end = sum(16**k for k in range(exponents)) + 1 if passes >= exponents else top * top + passes
    seen = 0
    while low < end:
        high = min(low + max(low // 100, 8), end + 1)
        shell = list(itertools.islice(_tuples(passes, least_sum, low, high), MAX_CANDIDATES - seen))
        for _, coefficients in sorted(shell):
            if _reachable(coefficients, levels, exponents):
                return coefficients
        seen += len(shell)
        if seen >= MAX_CANDIDATES:
            return None
        low = high
    return None


@functools.cache
def balanced_codes(coefficients: tuple[int, ...], levels: int, exponents: int) -> tuple[tuple[int, ...], ...]:
    """codes[k][p] of each magnitude: of all exact codes, those that spread it most evenly over the passes.

    Even means the smallest largest |x_p|, then the smallest sum of squares: small codes swing the columns least, so
    they clip last, and share gain errors between passes.
    """
    partial: dict[int, tuple[tuple[int, int], tuple[int, ...]]] = {0: ((0, 0), ())}
    remaining = list(itertools.accumulate(reversed(coefficients), initial=0))[::-1]
    top = 4 ** (exponents - 1)
    for p, c in enumerate(coefficients):
        grown: dict[int, tuple[tuple[int, int], tuple[int, ...]]] = {}
        reach = levels * remaining[p + 1]
        for value, ((largest, squares), codes) in partial.items():
            for x in range(-levels, levels + 1):
                total = value + c * x
                if not -reach <= total <= top + reach:
                    continue
                cost = (max(largest, abs(x)), squares + x * x)
                if total not in grown or cost < grown[total][0]:
                    grown[total] = (cost, (*codes, x))
        partial = grown
    return tuple(partial[4**k][1] for k in range(exponents))
