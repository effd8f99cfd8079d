"""Two histograms along their axes: cumulative sums, the least likely window of neighbouring bins, and shifts."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.bins import typical
from owtrend.kernels.two_sample.tails import clustered_tail, log_upper

__all__ = ["ShiftDifference", "WindowDifference", "line_bounds", "line_sums", "worst_shift", "worst_window"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_LOG_2 = 0.6931471805599453
_MIN_COUNTS = 8  # of a sample whose shift is tested
_SHORTEST = 4  # bins of a window in 1-D: shorter ones are not tested
_LEAST_FREE = 0.01  # of the variance of a window with nearly all counts
_LONGEST = 16  # bins of a window that shows how windows scatter


class WindowDifference(NamedTuple):
    """The least likely window of ``trials``: bins ``first`` to ``last`` of an axis.

    ``information``: mean m p (1 - p), the inverse variance of the logarithm of d / r of a window of independent fills;
    ``dispersion``, ``freedom`` and ``plain`` as of `owtrend.kernels.two_sample.bins.BinDifference`.
    """

    log_p: float
    axis: int
    first: int
    last: int
    sign: float
    trials: int
    information: float
    dispersion: float
    freedom: float
    plain: float


class ShiftDifference(NamedTuple):
    """The least likely shift of ``trials``, to larger values with a ``sign`` of 1.

    ``dispersion``: mean square of the shifts in units of those of independent fills.
    """

    log_p: float
    axis: int
    sign: float
    trials: int
    dispersion: float


@lru_cache(maxsize=4096)
def line_bounds(sizes: tuple[int, ...]) -> Numbers:
    """Index at which each axis begins in `line_sums`, and the end, ``(axis + 1,)``; ``sizes``: cells of each axis."""
    return np.cumsum([0, *(size + 1 for size in sizes)]).astype(np.int64)


@compiled
def line_sums(cells: Floats, sizes: Numbers) -> Floats:
    """Sums of the first 0, 1, ... cells along each axis, over all others; one axis after the other.

    ``cells`` flat, ``sizes`` the cells of x[, y[, z]]. The content of any window is one subtraction.
    """
    axes = len(sizes)
    nx = sizes[0]
    ny = sizes[1] if axes > 1 else 1
    nz = sizes[2] if axes > 2 else 1
    out = np.zeros(sizes.sum() + axes)
    of_y, of_z = nx + 2, nx + ny + 3
    at = 0
    for k in range(nz):
        plane = 0.0
        for j in range(ny):
            row = 0.0
            for i in range(nx):
                value = cells[at]
                out[i + 1] += value
                row += value
                at += 1
            if axes > 1:
                out[of_y + j] += row
            plane += row
        if axes > 2:
            out[of_z + k] += plane
    at = 0
    for size in sizes:
        for i in range(at + 1, at + size + 1):
            out[i] += out[i - 1]
        at += size + 1
    return out


@compiled(error_model="numpy")
def worst_window(
    data: Floats, reference: Floats, bounds: Numbers, p: float, dispersion: float, spread: float
) -> WindowDifference:  # fmt: skip
    """The least likely window: a block of bins along an axis, summed over all other axes.

    Lengths are 1, 2 (not in 1-D), 4, 8, ... to half the axis, half overlapping from the first bin in range on, as the
    channels of modules lie. Underflow and overflow are windows of length 1.

    Parameters
    ----------
    data, reference, bounds
        `line_sums` and `line_bounds`.
    p
        Fraction of the data in all counts.
    dispersion, spread
        As of `owtrend.kernels.two_sample.bins.compare_bins`, of windows.

    Returns
    -------
    :
        ``log_p`` is two-sided, before the trials factor; NaN without a filled window. ``axis`` is -1 where no window
        stands out.
    """
    variance = p * (1 - p)
    limit, best, fewest = 9 * variance, 0.0, 2 * dispersion / variance
    worst_axis, worst_first, worst_last, sign, trials = -1, -1, -1, 0.0, 0
    axes, everything = len(bounds) - 1, data[bounds[1] - 1] + reference[bounds[1] - 1]
    ratios, count, freedom, whole = np.empty(4 * bounds[-1]), 0, 0.0, 0.0
    for axis in range(axes):
        first, last = bounds[axis], bounds[axis + 1] - 1
        length = 1 if axes > 1 else _SHORTEST
        while length <= (last - first) // 2:
            start, stop = (first + 1, last - 1) if length > 1 else (first, last)  # without and with the flow bins
            for begin in range(start, stop, max(length // 2, 1)):
                end = min(begin + length, stop)
                d, r = data[end] - data[begin], reference[end] - reference[begin]
                off, m = d - (d + r) * p, d + r
                trials += m > 0
                if m > fewest and length <= _LONGEST and 2 * m < everything:  # the sum of all windows is free
                    ratios[count] = off * off / (m * variance * (1 - m / everything))
                    whole += m * variance
                    count += 1
                    freedom += 0.5 if length > 1 else 1.0  # they overlap
                width = (dispersion + spread * variance * m) * max(1 - m / everything, _LEAST_FREE)
                if off * off > limit * max(1.0, -best / 9) * m * width:
                    log_p = clustered_tail(d, r, p, width)
                    if log_p < best:
                        best, sign = log_p, math.copysign(1.0, off)
                        worst_axis, worst_first, worst_last = axis, begin - first, end - first - 1
            length *= 2
    log_p = min(best + _LOG_2, 0.0) if trials > 0 else np.nan
    mean, known, _, plain = typical(ratios[:count], np.ones(count))
    freedom *= 0.5 * known / max(count, 1)  # as those of one length do with those of the next
    return WindowDifference(
        log_p, worst_axis, worst_first, worst_last, sign, trials, whole / max(count, 1), mean,
        max(freedom - axes, 0.0), plain,
    )  # fmt: skip


@compiled(error_model="numpy")
def worst_shift(
    data: Floats, reference: Floats, bounds: Numbers, dispersion: float, spread: float
) -> ShiftDifference:  # fmt: skip
    """The least likely shift along an axis: Mann & Whitney's rank sum, with ties.

    Parameters and results as of `worst_window`.
    """
    n, whole = data[bounds[1] - 1], reference[bounds[1] - 1]
    p, everything = n / (n + whole), n + whole
    least, worst_axis, sign, trials, total = np.nan, -1, 0.0, 0, 0.0
    for axis in range(len(bounds) - 1):
        below, rank_sum, squares, ranked = 0.0, 0.0, 0.0, 0
        for i in range(bounds[axis], bounds[axis + 1] - 1):
            d, to = data[i + 1] - data[i], data[i + 1] + reference[i + 1]
            rank = 0.5 * (below + to - everything)
            rank_sum += d * rank
            squares += (to - below) * rank * rank
            ranked += to > below
            below = to
        if ranked < 2 or not (n >= _MIN_COUNTS and whole >= _MIN_COUNTS):
            continue
        trials += 1
        z = rank_sum / math.sqrt(p * (1 - p) * squares * everything / (everything - 1))
        total += z * z
        z /= math.sqrt(dispersion + spread * p * (1 - p) * everything)
        log_p = log_upper(abs(z)) + _LOG_2
        if not log_p >= least:
            least, worst_axis, sign = log_p, axis, math.copysign(1.0, z)
    return ShiftDifference(least, worst_axis, sign, trials, total / max(trials, 1))
