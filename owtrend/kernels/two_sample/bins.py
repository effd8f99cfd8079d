"""Bins of two histograms: Pearson's chi2 over all of them, and the least likely single bin, in one pass."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.tails import log_tail

__all__ = ["BinDifference", "compare_bins"]

Floats = NDArray[np.float64]

_LOG_2 = 0.6931471805599453
_BLOCK = 16  # cells


class BinDifference(NamedTuple):
    """chi2 of ``bins`` merged bins with the sums of 1 / m and 1 / m**2; the least likely bin of ``trials``."""

    bins: int
    chi2: float
    inverse: float
    inverse2: float
    log_p: float
    cell: int
    sign: float
    trials: int


# Sums of some cells, in vector instructions: a loop that also looks for the largest takes four times as long.
@compiled(error_model="numpy", fastmath={"reassoc", "nsz", "arcp", "contract"})
def _block(
    data: Floats, reference: Floats, first: int, last: int, p: float
) -> tuple[float, float, float, float, float]:
    """The least m = d + r; the largest of (d - m p)**2 / m, where m is not 0; sums of it, of 1 / m and of 1 / m**2."""
    least, largest, total, inverse, inverse2 = np.inf, 0.0, 0.0, 0.0, 0.0
    for c in range(first, last):
        m = data[c] + reference[c]
        off = data[c] - m * p
        one = 1 / max(m, 1e-300)
        part = off * off * one
        least = min(least, m)
        largest = max(largest, part)
        total += part
        inverse += one
        inverse2 += one * one
    return least, largest, total, inverse, inverse2


@compiled
def _too_likely(d: float, expected: float, log_p: float) -> bool:
    """Whether one or two counts where few are expected are certainly likelier than exp(log_p)."""
    return d > expected and d <= 2 and 1.5 * (expected - d * math.log(expected) + 0.7) < -log_p


# Logarithms are taken only of bins that Pearson's chi2 finds unlikely.
@compiled(error_model="numpy")
def compare_bins(data: Floats, reference: Floats, p: float) -> BinDifference:
    """Compare counts bin by bin, conditional on the sum m = d + r in each bin and on both totals.

    For chi2, neighbouring bins are merged until one count is expected of them in both samples: with fewer, its tail is
    longer than any formula. Merging depends on m alone, on which all probabilities are conditional.

    Parameters
    ----------
    data, reference
        Counts, shape ``(cell,)``, not negative; they need not be whole numbers.
    p
        Fraction of the data in all counts.

    Returns
    -------
    :
        ``log_p`` is two-sided, before the trials factor; NaN with fewer than two filled bins.
    """
    scale = 1 / (p * (1 - p))
    filled, bins, total, inverse, inverse2 = 0, 0, 0.0, 0.0, 0.0
    limit, best, cell, sign = 9 * p * (1 - p), 0.0, -1, 0.0
    top, top_block = -1.0, 0
    fewest = 1 / min(p, 1 - p)
    held, all_held = 0.0, 0.0  # of neighbours that are being merged
    for first in range(0, len(data), _BLOCK):
        last = min(first + _BLOCK, len(data))
        least, largest, part, one, square = _block(data, reference, first, last, p)
        if largest > top:
            top, top_block = largest, first
        if largest > limit:
            for c in range(first, last):
                m = data[c] + reference[c]
                off = data[c] - m * p
                # A tail's z is at most the root of twice this; less than half of the best cannot be the least likely.
                if off * off > limit * max(1.0, -best / 9) * m and not _too_likely(data[c], m * p, best):
                    log_p = log_tail(data[c], reference[c], p)
                    if log_p < best:
                        best, cell, sign = log_p, c, math.copysign(1.0, off)
        if least >= fewest and all_held == 0:
            filled += last - first
            bins += last - first
            total += part
            inverse += one
            inverse2 += square
            continue
        for c in range(first, last):
            m = data[c] + reference[c]
            filled += m > 0
            held += data[c]
            all_held += m
            if all_held >= fewest or (c == len(data) - 1 and all_held > 0):
                one = 1 / all_held
                off = held - all_held * p
                bins += 1
                total += off * off * one
                inverse += one
                inverse2 += one * one
                held, all_held = 0.0, 0.0
    if cell < 0:  # no bin stands out: the one that deviates most
        for c in range(top_block, min(top_block + _BLOCK, len(data))):
            m = data[c] + reference[c]
            off = data[c] - m * p
            if off * off >= 0.999 * top * m and m > 0:
                cell, sign, best = c, math.copysign(1.0, off), log_tail(data[c], reference[c], p)
                break
    if filled < 2:
        return BinDifference(bins, total * scale, inverse, inverse2, np.nan, -1, 0.0, 0)
    return BinDifference(bins, total * scale, inverse, inverse2, min(best + _LOG_2, 0.0), cell, sign, filled)
