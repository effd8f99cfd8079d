"""Bins of two histograms: chi2 over all of them, the least likely single bin, and how far bins scatter."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.tails import clustered_tail

__all__ = ["BinDifference", "compare_bins", "typical"]

Floats = NDArray[np.float64]

_LOG_2 = 0.6931471805599453
_LEAST_FREE = 0.01  # of the variance of a bin with nearly all counts
_SOME = 128  # from which quartiles are taken
_BLOCK, _FEW_CELLS = 16, 256  # cells of a block; of histograms with fewer, a block has a quarter


class BinDifference(NamedTuple):
    """chi2 of ``bins`` merged bins with the sums of 1 / m and 1 / m**2; the least likely bin of ``trials``.

    ``dispersion``: variances divided by those of independent fills, known from ``freedom`` degrees of freedom.
    ``uneven``: the same of the variance of chi2, of some ``blocks`` of neighbours. ``plain``: dispersion with those
    bins that are far off.
    """

    bins: int
    chi2: float
    inverse: float
    inverse2: float
    log_p: float
    cell: int
    sign: float
    trials: int
    dispersion: float
    freedom: float
    uneven: float
    blocks: int
    plain: float


# Sums of some cells, in vector instructions: a loop that also looks for the largest takes four times as long.
@compiled(error_model="numpy", fastmath={"reassoc", "nsz", "arcp", "contract"})
def _block(
    data: Floats, reference: Floats, first: int, last: int, p: float, dispersion: float, spread: float
) -> tuple[float, float, float, float, float, float]:
    """The least m = d + r; of (d - m p)**2 / m, each divided by its variance, the largest and the sum, and the sum of
    those undivided; the sums of 1 / m and of 1 / m**2.
    """
    least, largest, total, plain, inverse, inverse2 = np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(first, last):
        m = data[c] + reference[c]
        off = data[c] - m * p
        width = dispersion + spread * m
        inverse_variance = 1 / (max(m, 1e-300) * width)  # one division for all: they take most of the time
        one, part = width * inverse_variance, off * off * inverse_variance
        least = min(least, m)
        largest = max(largest, part)
        total += part
        plain += part * width
        inverse += one
        inverse2 += one * one
    return least, largest, total, plain, inverse, inverse2


@compiled
def _too_likely(d: float, expected: float, log_p: float) -> bool:
    """Whether one or two counts where few are expected are certainly likelier than exp(log_p)."""
    return d > expected and d <= 2 and 1.5 * (expected - d * math.log(expected) + 0.7) < -log_p


@compiled(error_model="numpy")
def typical(ratios: Floats, weights: Floats) -> tuple[float, float, float, float]:
    """Mean of ``ratios``, chi2 over so many degrees of freedom (``weights``), without those that are far off.

    Returns
    -------
    :
        The mean; how many degrees of freedom it is known from; and how much larger than that of chi2 their variance is,
        as where neighbours go together. A fault in less than a quarter of them hardly moves the mean. Last the mean of
        all of them.
    """
    if len(ratios) == 0:
        return np.nan, 0.0, np.nan, np.nan
    step = len(ratios) // _SOME + 1  # sorting all of them would take longer than the rest
    some, theirs, whole = ratios[::step].copy(), weights[::step].copy(), weights.sum()
    order, passed, at = np.argsort(some), 0.0, 0
    quartiles = np.empty(2)  # the median and the one above it
    for number in range(2):
        while at < len(some) - 1 and passed + theirs[order[at]] <= (0.5 + 0.25 * number) * theirs.sum():
            passed += theirs[order[at]]
            at += 1
        quartiles[number] = some[order[at]]
    far = quartiles[0] + 8 * (quartiles[1] - quartiles[0]) + 1e-9
    total, known, every = 0.0, 0.0, 0.0
    for i in range(len(ratios)):
        every += ratios[i] * weights[i]
        if ratios[i] <= far:
            total += ratios[i] * weights[i]
            known += weights[i]
    # The upper half of a normal variable's middle half is 0.6745 sigma wide.
    uneven = ((quartiles[1] - quartiles[0]) / (0.6745 * total / known)) ** 2 / (2 * len(ratios) / whole)
    return total / known, known, uneven, every / whole


# Logarithms are taken only of bins that Pearson's chi2 finds unlikely.
@compiled(error_model="numpy")
def compare_bins(
    data: Floats, reference: Floats, total_counts: float, p: float, dispersion: float, merged: float, spread: float
) -> BinDifference:  # fmt: skip
    """Compare counts bin by bin, conditional on the sum m = d + r in each bin and on both totals.

    For chi2, neighbouring bins are merged until as much as one independent count is expected of them in both samples:
    with fewer, its tail is longer than any formula. Merging depends on m alone, on which all probabilities are
    conditional.

    Parameters
    ----------
    data, reference
        Counts, shape ``(cell,)``, not negative; they need not be whole numbers.
    total_counts, p
        All counts of both, and the fraction of the data in them.
    dispersion, merged, spread
        The variance of a bin is m p (1 - p) (dispersion + spread m p (1 - p)): that of independent fills, times
        clusters, and the variance of true relative differences. ``merged`` is the dispersion of merged neighbours. As
        both totals are fixed, a bin that has much of all counts is less free: its variance is less by that fraction.

    Returns
    -------
    :
        ``log_p`` is two-sided, before the trials factor; NaN with fewer than two filled bins.
    """
    variance = p * (1 - p)
    scale, spread = 1 / variance, spread * variance
    filled, bins, total, inverse, inverse2 = 0, 0, 0.0, 0.0, 0.0
    limit, best, cell, sign = 9 * variance, 0.0, -1, 0.0
    top, top_block = -1.0, 0
    fewest = dispersion / min(p, 1 - p)
    held, all_held = 0.0, 0.0  # of neighbours that are being merged
    block = _BLOCK if len(data) >= _FEW_CELLS else _BLOCK // 4
    ratios, weights, blocks = np.empty(len(data) // block + 1), np.empty(len(data) // block + 1), 0
    plain, plain_bins = 0.0, 0
    for first in range(0, len(data), block):
        last = min(first + block, len(data))
        least, largest, part, square, one, one2 = _block(data, reference, first, last, p, dispersion, spread)
        if largest > top:
            top, top_block = largest, first
        if largest > limit:
            for c in range(first, last):
                m = data[c] + reference[c]
                off = data[c] - m * p
                width = (dispersion + spread * m) * max(1 - m / total_counts, _LEAST_FREE)
                # A tail's z is at most the root of twice this; less than half of the best cannot be the least likely.
                if off * off > limit * max(1.0, -best / 9) * m * width and not _too_likely(data[c], m * p, best):
                    log_p = clustered_tail(data[c], reference[c], p, width)
                    if log_p < best:
                        best, cell, sign = log_p, c, math.copysign(1.0, off)
        if least >= fewest and all_held == 0:
            filled += last - first
            bins += last - first
            total += part
            inverse += one
            inverse2 += one2
            plain += square
            plain_bins += last - first
        else:
            for c in range(first, last):
                m = data[c] + reference[c]
                filled += m > 0
                held += data[c]
                all_held += m
                if all_held >= fewest or (c == len(data) - 1 and all_held > 0):
                    one = 1 / all_held
                    off = held - all_held * p
                    square = off * off * one
                    bins += 1
                    total += square / (merged + spread * all_held)
                    inverse += one
                    inverse2 += one * one
                    plain += square
                    plain_bins += 1
                    held, all_held = 0.0, 0.0
        if plain_bins >= block:
            ratios[blocks], weights[blocks] = plain * scale / plain_bins, plain_bins
            blocks += 1
            plain, plain_bins = 0.0, 0
    if plain_bins > 0:
        ratios[blocks], weights[blocks] = plain * scale / plain_bins, plain_bins
        blocks += 1
    if cell < 0:  # no bin stands out: the one that deviates most
        for c in range(top_block, min(top_block + block, len(data))):
            m = data[c] + reference[c]
            off = data[c] - m * p
            if off * off >= 0.999 * top * m * (dispersion + spread * m) and m > 0:
                cell, sign = c, math.copysign(1.0, off)
                width = (dispersion + spread * m) * max(1 - m / total_counts, _LEAST_FREE)
                best = clustered_tail(data[c], reference[c], p, width)
                break
    if filled < 2:
        return BinDifference(bins, total * scale, inverse, inverse2, np.nan, -1, 0.0, 0, np.nan, 0.0, np.nan, 0, np.nan)
    mean, known, uneven, plain = typical(ratios[:blocks], weights[:blocks])
    if bins > 1:  # one normalisation was free
        mean *= bins / (bins - 1)
        plain *= bins / (bins - 1)
    return BinDifference(
        bins, total * scale, inverse, inverse2, min(best + _LOG_2, 0.0), cell, sign, filled, mean,
        max(known - 1.0, 0.0), uneven, blocks, plain,
    )  # fmt: skip
