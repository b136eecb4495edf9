"""Search for balanced mappings: integer pass coefficients of least norm that reach every value of an operand.

Wanted: c_1 >= ... >= c_P >= 1 with, for each target value y > 0, codes x_p of the DAC and sum_p c_p x_p = y, minimising
sum c_p^2 (the noise gain squared). Codes are -L..L, where a value and its negative are reached together, or 0..L. Since
y <= L * sum c_p, sum c_p >= S = ceil(max y / L), and by Cauchy-Schwarz no solution has a norm below S / sqrt(P). The
search enumerates coefficient tuples in shells of rising norm from that bound and stops at the first shell that holds a
solution, so the answer is optimal.

Radix-4 operands have the targets 4**0 .. 4**(K-1) and a number of passes that is asked for. For the macro's L = 16,
K = 7, P = 3 it is (87, 85, 84), norm 147.82 against the bound 147.80. Shells grow without end where no mapping exists,
so the search gives up after MAX_CANDIDATES tuples.

Integer operands have the targets 1 .. top and the fewest passes that reach them all (`fewest_passes`): there the powers
of a base are always a solution, and the search finds those of less norm, such as (3, 1) for 0..15 with codes 0..4.
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


def _reachable(coefficients: tuple[int, ...], lowest: int, levels: int, targets: tuple[int, ...]) -> bool:
    """Whether every target is a sum of c_p x_p with lowest <= x_p <= levels, by dynamic programming on a bit set."""
    total = sum(coefficients)
    zero = -lowest * total
    reached = 1 << zero  # bit i stands for the value i - zero
    for c in coefficients:
        grown = 0
        for x in range(lowest, levels + 1):
            grown |= reached << (c * x) if x >= 0 else reached >> (-c * x)
        reached = grown
    return all(y <= levels * total and reached >> (zero + y) & 1 for y in targets)


def _search(targets: tuple[int, ...], lowest: int, levels: int, passes: int, end: int) -> tuple[int, ...] | None:
    """Coefficients of least norm, largest first; None if no norm^2 below `end` or none of MAX_CANDIDATES tuples has
    them. Of equal norms, those with the smallest largest coefficient."""
    least_sum = -(-max(targets) // levels)
    low = max(least_sum * least_sum // passes, passes)
    seen = 0
    while low < end:
        high = min(low + max(low // 100, 8), end + 1)
        shell = list(itertools.islice(_tuples(passes, least_sum, low, high), MAX_CANDIDATES - seen))
        for _, coefficients in sorted(shell):
            if _reachable(coefficients, lowest, levels, targets):
                return coefficients
        seen += len(shell)
        if seen >= MAX_CANDIDATES:
            return None
        low = high
    return None


@functools.cache
def search_balanced(levels: int, exponents: int, passes: int) -> tuple[int, ...] | None:
    """Coefficients for radix-4 magnitudes, largest first, or None if none is found in MAX_CANDIDATES tuples.

    Args:
        levels: L, the top input code.
        exponents: K; magnitudes are 4**0 .. 4**(K-1).
        passes: P.
    """
    top = 4 ** (exponents - 1)
    if passes == 1:
        return (1,) if top <= levels else None
    # Beyond the norm of one coefficient a magnitude (c_k = 4**k) nothing is gained by looking.
    end = sum(16**k for k in range(exponents)) + 1 if passes >= exponents else top * top + passes
    return _search(tuple(4**k for k in range(exponents)), -levels, levels, passes, end)


def fewest_passes(levels: int, top: int, *, signed: bool) -> int:
    """The fewest passes whose codes reach all of 0..top: P passes have n^P combinations, n = 2 L + 1 or L + 1.

    Of signed codes' combinations, half reach negative values. The powers of n need no more passes than that.
    """
    count = 2 * levels + 1 if signed else levels + 1
    combinations = 2 * top + 1 if signed else top + 1
    passes = 1
    while count**passes < combinations:
        passes += 1
    return passes


@functools.cache
def search_integers(levels: int, top: int, *, signed: bool) -> tuple[int, ...]:
    """Coefficients for all integers 0..top (and their negatives, where codes are signed), largest first.

    Args:
        levels: L. signed: codes are -L..L, else 0..L.
    """
    passes = fewest_passes(levels, top, signed=signed)
    base = 2 * levels + 1 if signed else levels + 1
    powers = tuple(base**p for p in reversed(range(passes)))
    lowest = -levels if signed else 0
    found = _search(tuple(range(1, top + 1)), lowest, levels, passes, sum(c * c for c in powers))
    return found or powers


@functools.cache
def even_codes(
    coefficients: tuple[int, ...], lowest: int, levels: int, targets: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """codes[i][p] of each target: of all exact codes, those that spread it most evenly over the passes.

    Even means the smallest largest |x_p|, then the smallest sum of squares: small codes swing the columns least, so
    they clip last, and share gain errors between passes.
    """
    partial: dict[int, tuple[tuple[int, int], tuple[int, ...]]] = {0: ((0, 0), ())}
    remaining = list(itertools.accumulate(reversed(coefficients), initial=0))[::-1]
    top = max(targets)
    for p, c in enumerate(coefficients):
        grown: dict[int, tuple[tuple[int, int], tuple[int, ...]]] = {}
        reach = levels * remaining[p + 1]
        for value, ((largest, squares), codes) in partial.items():
            for x in range(lowest, levels + 1):
                total = value + c * x
                if not -reach <= total <= top + reach:
                    continue
                cost = (max(largest, abs(x)), squares + x * x)
                if total not in grown or cost < grown[total][0]:
                    grown[total] = (cost, (*codes, x))
        partial = grown
    return tuple(partial[y][1] for y in targets)


def balanced_codes(coefficients: tuple[int, ...], levels: int, exponents: int) -> tuple[tuple[int, ...], ...]:
    """codes[k][p] of each radix-4 magnitude, see `even_codes`."""
    return even_codes(coefficients, -levels, levels, tuple(4**k for k in range(exponents)))
