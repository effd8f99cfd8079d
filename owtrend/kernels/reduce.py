"""Increments of a histogram -> its distribution along each axis, in one pass over the cells; moments and quantiles."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["lines", "moments", "quantiles"]

_FAST = {"reassoc", "nsz", "arcp", "contract"}


# Time innermost and fastest in memory, as the store gives it; cell by cell for each time it takes four times as long.
@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def lines(
    cells: NDArray[np.generic], previous: NDArray[np.int64], nx: int, ny: int, nz: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """What one histogram gained in each row, along each of its axes.

    Parameters
    ----------
    cells
        Shape ``(time, cell)``: ROOT's flat bins, x fastest, flow included.
    previous
        Shape ``(time,)``, of `owtrend.kernels.difference.previous_rows`: the row before, or below zero.
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
    restarts = np.flatnonzero(previous < 0)
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
                for restart in restarts:
                    gain[restart] = totals[restart]
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


@numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def quantiles(
    line: NDArray[np.float64], edges: NDArray[np.float64], probability: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the cumulated content reaches ``probability``, as ``TH1::GetQuantiles`` of ROOT 6.40 has it.

    Parameters
    ----------
    line
        Shape ``(bin, time)``, flow excluded.
    edges
        Of the bins, shape ``(bin + 1,)``.

    Returns
    -------
    :
        The quantile and the density there (content of the bin by its width, of all content), each ``(time,)``; NaN
        where a bin is negative or all are empty.
    """
    bins, times = line.shape
    total = np.zeros(times)
    valid = np.ones(times, dtype=np.bool_)
    for b in range(bins):
        for t in range(times):
            total[t] += line[b, t]
            valid[t] &= line[b, t] >= 0
    value = np.full(times, np.nan)
    density = np.full(times, np.nan)
    below = np.zeros(times)  # content of the bins before
    for b in range(bins):
        width = edges[b + 1] - edges[b]
        for t in range(times):
            upto = below[t] + line[b, t]
            if valid[t] and total[t] > 0 and line[b, t] > 0:
                before, after = below[t] / total[t], upto / total[t]
                if before < probability <= after:
                    density[t] = (after - before) / width
                    if after > probability:
                        value[t] = edges[b] + width * (probability - before) / (after - before)
                    elif probability == 1:
                        value[t] = edges[b + 1]
                    else:  # exactly at the end of a bin: its centre, or the middle of the empty ones behind it
                        last = b + 1
                        while last < bins and line[last, t] == 0:
                            last += 1
                        value[t] = (edges[b] + edges[b + 1]) / 2 if last == b + 1 else (edges[b + 1] + edges[last]) / 2
                elif probability == 0 and before == 0:
                    value[t] = edges[b]
                    density[t] = after / width
            below[t] = upto
    return value, density
