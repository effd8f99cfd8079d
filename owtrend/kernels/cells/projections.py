"""Increments of a histogram -> its distribution along each axis, in one pass over the cells; numbers made of those."""

import math

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["fullest", "lines", "moments", "quantiles"]


# Time innermost and fastest in memory, as the store gives it; cell by cell for each time it takes four times as long.
# No fast mathematics: the last digit of a row would depend on how many rows are taken at once.
@compiled
def lines(
    cells: NDArray[np.generic], previous: NDArray[np.int64], nx: int, ny: int, nz: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Increments of one histogram in each row, along each of its axes.

    Parameters
    ----------
    cells
        Shape ``(time, cell)``: ROOT's flat bins, x fastest, flow included.
    previous
        Shape ``(time,)``, of `owtrend.kernels.cells.difference.chained`: the row before as a rule, or below zero.
    nx, ny, nz
        Bins in range; 0 for an axis that is not there.

    Returns
    -------
    :
        ``changed`` ``(time,)``: whether any bin did. ``whole`` ``(2, time)``: the sum of all bins, flow included, and
        of the absolute contents in range. ``along`` ``(nx + 2 [+ ny + 2 [+ nz + 2]], time)``: the sums over the other
        axes, in range only, for each bin of x, then y, then z; for its own flow bins over all bins of the others.
    """
    times = len(cells)
    first_y = nx + 2
    first_z = first_y + ny + 2 * (ny > 0)
    along = np.zeros((first_z + nz + 2 * (nz > 0), times))
    changed = np.zeros(times, dtype=np.bool_)
    whole = np.zeros((2, times))
    others = np.flatnonzero(previous != np.arange(times) - 1)  # few
    gain = np.zeros(times)
    inner = np.zeros(times)  # of a line of cells along x: in range
    row = np.zeros(times)  # all of it
    cell = 0
    for iz in range(nz + 2 if nz else 1):
        z_inside = nz == 0 or 1 <= iz <= nz
        for iy in range(ny + 2 if ny else 1):
            y_inside = ny == 0 or 1 <= iy <= ny
            inner[:] = 0.0
            row[:] = 0.0
            for ix in range(nx + 2):
                totals = cells[:, cell]
                cell += 1
                gain[0] = totals[0]
                for t in range(1, times):
                    gain[t] = float(totals[t]) - float(totals[t - 1])
                for other in others:
                    before = previous[other]
                    gain[other] = float(totals[other]) - (float(totals[before]) if before >= 0 else 0.0)
                x_inside = 1 <= ix <= nx
                here = along[ix]
                if x_inside and y_inside and z_inside:
                    for t in range(times):
                        changed[t] |= gain[t] != 0
                        inner[t] += gain[t]
                        here[t] += gain[t]
                        whole[1, t] += abs(gain[t])
                else:
                    for t in range(times):
                        changed[t] |= gain[t] != 0
                        row[t] += gain[t]
                    if not x_inside:
                        for t in range(times):
                            here[t] += gain[t]
            for t in range(times):
                whole[0, t] += inner[t] + row[t]
            if ny and (not y_inside or z_inside):
                of_y = along[first_y + iy]
                for t in range(times):
                    of_y[t] += inner[t] if y_inside else row[t]
            if nz and (not z_inside or y_inside):
                of_z = along[first_z + iz]
                for t in range(times):
                    of_z[t] += inner[t] if z_inside else row[t]
    return changed, whole, along


@compiled(error_model="numpy")
def moments(
    line: NDArray[np.float64], centres: NDArray[np.float64], mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Third and fourth standardised moments of a distribution, and the variance of each for one entry.

    Parameters
    ----------
    line
        Shape ``(bin, time)``, flow excluded.
    centres
        Of the bins.
    mean, std
        Shape ``(time,)``: what the moments are taken about and in units of.

    Returns
    -------
    :
        Shape ``(4, time)``; not finite where there is no content or spread. The variances are the mean squares of the
        influence functions of skewness and kurtosis; for a normal distribution 6 and 24.
    """
    bins, times = line.shape
    out = np.zeros((4, times))
    total = np.zeros(times)
    scale = 1 / std
    for b in range(bins):
        for t in range(times):
            z = (centres[b] - mean[t]) * scale[t]
            cube = line[b, t] * z * z * z
            total[t] += line[b, t]
            out[0, t] += cube
            out[1, t] += cube * z
    for t in range(times):
        out[0, t] /= total[t]
        out[1, t] /= total[t]
    for b in range(bins):
        for t in range(times):
            z = (centres[b] - mean[t]) * scale[t]
            skew, fourth = out[0, t], out[1, t]
            of_skew = z * z * z - 3 * z - skew - 1.5 * skew * (z * z - 1)
            of_fourth = z * z * z * z - fourth - 4 * skew * z - 2 * fourth * (z * z - 1)
            out[2, t] += line[b, t] * of_skew * of_skew
            out[3, t] += line[b, t] * of_fourth * of_fourth
    for t in range(times):
        out[2, t] /= total[t]
        out[3, t] /= total[t]
    return out


@compiled(error_model="numpy")
def quantiles(
    line: NDArray[np.float64], edges: NDArray[np.float64], probability: float, effective: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the cumulated content reaches ``probability``, as ``TH1::GetQuantiles`` of ROOT 6.40 has it, and its error.

    Parameters
    ----------
    line
        Shape ``(bin, time)``, flow excluded.
    edges
        Of the bins, shape ``(bin + 1,)``.
    effective
        Entries, shape ``(time,)``.

    Returns
    -------
    :
        The quantile, and half of what lies between those of p - s and p + s, with the error s = sqrt(p (1 - p) / n) of
        the cumulated content (Woodruff, J. Am. Stat. Assoc. 47 (1952) 635); each ``(time,)``. NaN where a bin is
        negative or all are empty. The density of the one bin at p would do where all bins are full, but of a sparse
        histogram it is that of a bin which happens to hold an entry.
    """
    bins, times = line.shape
    total = np.zeros(times)
    valid = np.ones(times, dtype=np.bool_)
    for b in range(bins):
        for t in range(times):
            total[t] += line[b, t]
            valid[t] &= line[b, t] >= 0
    value = np.full(times, np.nan)
    lower = np.full(times, np.nan)
    upper = np.full(times, np.nan)
    spread = np.sqrt(probability * (1 - probability) / effective)
    below = np.zeros(times)  # content of the bins before, and its share
    before = np.zeros(times)
    for b in range(bins):
        width = edges[b + 1] - edges[b]
        for t in range(times):
            if not (valid[t] and line[b, t] > 0):
                continue
            below[t] += line[b, t]
            after = below[t] / total[t]
            per_share = width / (after - before[t])
            if np.isnan(lower[t]) and after >= probability - spread[t]:
                lower[t] = edges[b] + per_share * max(probability - spread[t] - before[t], 0.0)
            if not before[t] > probability + spread[t]:
                upper[t] = edges[b] + per_share * (min(probability + spread[t], after) - before[t])
            if before[t] < probability <= after:
                if after > probability:
                    value[t] = edges[b] + per_share * (probability - before[t])
                elif probability == 1:
                    value[t] = edges[b + 1]
                else:  # exactly at the end of a bin: its centre, or the middle of the empty ones behind it
                    last = b + 1
                    while last < bins and line[last, t] == 0:
                        last += 1
                    value[t] = (edges[b] + edges[b + 1]) / 2 if last == b + 1 else (edges[b + 1] + edges[last]) / 2
            elif probability == 0 and before[t] == 0:
                value[t] = edges[b]
            before[t] = after
    return value, (upper - lower) / 2


_STEPS = 96  # of the distribution of a maximum, from 6 errors below it to 6 above


@compiled(error_model="numpy")
def fullest(
    line: NDArray[np.float64], variance: NDArray[np.float64], centres: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spread of the content of the fullest bin, and of its place, when all bins vary independently and normally.

    The maximum M of bins n_j is distributed as F(M) = product of Phi((M - n_j) / s_j); it is in bin j with the chance
    P_j, the integral of F phi_j / Phi_j. A bin that is 12 errors below the maximum takes no part.

    Parameters
    ----------
    line, variance
        Shape ``(bin, time)``, flow excluded.
    centres
        Of the bins.

    Returns
    -------
    :
        The standard deviation of M, and that of the place (sum of P_j x_j**2 less the square of its mean), each
        ``(time,)``; NaN where nothing is above zero.
    """
    bins, times = line.shape
    content = np.full(times, np.nan)
    place = np.full(times, np.nan)
    near = np.empty(bins, dtype=np.intp)
    lower, upper, chance = np.empty(bins), np.empty(bins), np.empty(bins)
    for t in range(times):
        most = 0
        for b in range(1, bins):
            if line[b, t] > line[most, t]:
                most = b
        top, width = line[most, t], np.sqrt(variance[most, t])
        if not (top > 0 and width > 0):
            continue
        count = 0
        for b in range(bins):
            if variance[b, t] > 0 and top - line[b, t] < 6 * (width + np.sqrt(variance[b, t])):
                near[count] = b
                count += 1
        step = 12 * width / _STEPS
        chance[:count] = 0.0
        total = first = second = 0.0
        for k in range(_STEPS + 1):
            at = top + (k - _STEPS / 2) * step
            logarithm = 0.0
            for j in range(count):
                b = near[j]
                lower[j] = upper[j]
                upper[j] = 0.5 * math.erfc((line[b, t] - at) / math.sqrt(2 * variance[b, t]))
                if k:
                    logarithm += math.log(max((lower[j] + upper[j]) / 2, 1e-300))
            if k == 0:
                continue
            here = 0.0
            for j in range(count):
                middle = max((lower[j] + upper[j]) / 2, 1e-300)
                part = (upper[j] - lower[j]) * math.exp(logarithm - math.log(middle))
                chance[j] += part
                here += part
            off = (k - 0.5 - _STEPS / 2) * step
            total += here
            first += here * off
            second += here * off * off
        content[t] = np.sqrt(max(second / total - (first / total) ** 2, 0.0))
        mean = square = 0.0
        for j in range(count):
            off = centres[near[j]] - centres[most]
            mean += chance[j] / total * off
            square += chance[j] / total * off * off
        place[t] = np.sqrt(max(square - mean**2, 0.0))
    return content, place
