"""Means of two profiles, bin by bin."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.bins import typical
from owtrend.kernels.two_sample.tails import log_upper

__all__ = ["MeanDifference", "compare_means"]

Floats = NDArray[np.float64]

_LOG_2 = 0.6931471805599453
_BLOCK, _FEW_CELLS = 16, 256  # bins of a block; of histograms with fewer cells, a block has a quarter


class MeanDifference(NamedTuple):
    """Sum of the squared pulls of ``bins`` means, and the least likely of them.

    ``information``: mean n r / (n + r) of entries, the inverse variance of the difference of two means in units of
    the spread of y; ``dispersion``, ``freedom`` and ``plain`` as of `owtrend.kernels.two_sample.bins.BinDifference`.
    """

    chi2: float
    bins: int
    log_p: float
    cell: int
    sign: float
    information: float
    dispersion: float
    freedom: float
    plain: float


@compiled(error_model="numpy")
def compare_means(
    data: Floats, reference: Floats, min_entries: float, dispersion: float, spread: float
) -> MeanDifference:  # fmt: skip
    """Compare means bin by bin: Welch's pull, with the spread of both samples together.

    Parameters
    ----------
    data, reference
        Bin entries, sums of y and of y**2; shape ``(3, cell)``.
    min_entries
        Entries that a bin needs in the data, and in the reference; of clusters, as many more.
    dispersion, spread
        By how much the variance of a pull exceeds 1: clusters, and the variance of true differences, in units of the
        spread of y.

    Returns
    -------
    :
        ``log_p`` is two-sided, before the trials factor, which is ``bins``; NaN without such bins.
    """
    total, bins, whole, fewest = 0.0, 0, 0.0, min_entries * dispersion
    top, cell, sign = 0.0, -1, 0.0
    block = _BLOCK if data.shape[1] >= _FEW_CELLS else _BLOCK // 4
    ratios, weights = np.zeros(data.shape[1] // block + 1), np.zeros(data.shape[1] // block + 1)
    for c in range(data.shape[1]):
        n, r = data[0, c], reference[0, c]
        if not (n >= fewest and r >= fewest):
            continue
        mean, known = data[1, c] / n, reference[1, c] / r
        squares = max(data[2, c] - n * mean * mean, 0.0) + max(reference[2, c] - r * known * known, 0.0)
        variance = squares / (n + r - 2)
        if not variance > 1e-12 * (known * known + mean * mean):
            continue
        freedom = n + r - 2
        pull = (mean - known) / math.sqrt(variance * (1 / n + 1 / r))
        # A t variable made a normal one (Wallace 1959).
        pull = math.copysign(math.sqrt(freedom * math.log1p(pull * pull / freedom)), pull)
        pull *= (8 * freedom + 1) / (8 * freedom + 3)
        ratios[bins // block] += pull * pull
        weights[bins // block] += 1
        both = n * r / (n + r)
        width = dispersion + spread * both
        pull /= math.sqrt(width)
        if mean * known > 0 and variance < 9 * known * known:
            # Amplitudes fall off slowly to one side: means of gamma variables with this spread, whose ratio is F (a
            # normal one by Paulson, Ann. Math. Stat. 13 (1942) 233). The less significant of both pulls counts.
            a, b = width * variance / (9 * known * known * n), width * variance / (9 * known * known * r)
            root = (mean / known) ** (1 / 3)
            other = ((1 - b) * root - (1 - a)) / math.sqrt(b * root * root + a)
            if abs(other) < abs(pull):
                pull = other
        total += pull * pull
        whole += both
        bins += 1
        if abs(pull) > top:
            top, cell, sign = abs(pull), c, math.copysign(1.0, pull)
    if bins == 0:
        return MeanDifference(np.nan, 0, np.nan, -1, 0.0, 0.0, np.nan, 0.0, np.nan)
    blocks = (bins - 1) // block + 1
    mean, known, _, plain = typical(ratios[:blocks] / weights[:blocks], weights[:blocks])
    log_p = min(log_upper(top) + _LOG_2, 0.0)
    return MeanDifference(total, bins, log_p, cell, sign, whole / bins, mean, known, plain)
