"""One look at counts beside a counted reference: shape, single bins, strips of an axis and shifts, in one pass.

All are told the margins, d_j + r_j = m_j in each bin and both totals, so that one normalisation is free. Cells are in
ROOT's order, flow bins included, as what leaves an axis is told by them.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.beta_binomial import normal_quantile

__all__ = ["FIELDS", "line_bounds", "lines", "log_upper", "look", "values", "z_of"]

Floats = NDArray[np.float64]

# What `look` tells: those of `homogeneity.pearson`; then of the least likely bin, strip, and shift the log of its
# probability (two-sided, as if it had been the only one), where it is, and how many there were to choose from.
FIELDS = (
    "n", "whole", "bins", "chi2", "inverse", "inverse2",
    "bin_log_p", "bin_cell", "bin_sign", "bin_trials",
    "strip_log_p", "strip_axis", "strip_first", "strip_last", "strip_sign", "strip_trials",
    "shift_log_p", "shift_axis", "shift_sign", "shift_trials",
)  # fmt: skip
_LOG_2PI = 1.8378770664093453


@numba.njit(nogil=True, cache=True)
def log_upper(z: float) -> float:
    """Log of a normal variable's probability beyond z."""
    if z < 6:
        return math.log(0.5 * math.erfc(z * 0.7071067811865476))
    s = 1 / (z * z)
    return -0.5 * (z * z + _LOG_2PI) - math.log(z) + math.log1p(-s * (1 - 3 * s * (1 - 5 * s * (1 - 7 * s))))


@numba.njit(nogil=True, cache=True)
def _log_tail(d: float, r: float, p: float) -> float:
    """Log of the smaller tail of d of d + r counts with probability p each, d itself included."""
    m, q = d + r, 1 - p
    if d < m * p:  # the other side, mirrored
        d, r, p, q = r, d, q, p
    if m * p * q > 400 and r > 20:
        share = d / m
        w2 = 2 * (d * math.log(share / p) + r * math.log((1 - share) / q))
        if w2 < 1e-6:
            return -0.6931471805599453
        w = math.sqrt(w2)
        # Barndorff-Nielsen's r*, with half a count for the one that is included.
        low = (d - 0.5) / m
        w2 = 2 * m * (low * math.log(low / p) + (1 - low) * math.log((1 - low) / q))
        if low <= p or w2 < 1e-6:
            return -0.6931471805599453
        w = math.sqrt(w2)
        u = 2 * math.sinh(0.5 * math.log(low * q / ((1 - low) * p))) * math.sqrt(m * low * (1 - low))
        return log_upper(w + math.log(u / w) / w)
    log_point = math.lgamma(m + 1) - math.lgamma(d + 1) - math.lgamma(r + 1)
    log_point += (d * math.log(p) if d > 0 else 0.0) + (r * math.log(q) if r > 0 else 0.0)
    total, term, odds = 1.0, 1.0, p / q
    while r > 0:
        term *= odds * r / (d + 1)
        if term < 1e-12 * total:
            break
        total += term
        d += 1
        r -= 1
    return min(log_point + math.log(total), -0.0)


@numba.njit(nogil=True, cache=True)
def z_of(log_p: Floats) -> Floats:
    """Normal z with upper tails of exp(log_p): negative where that is more than a half, NaN stays."""
    out = np.empty_like(log_p)
    for i in range(log_p.size):
        one = log_p.flat[i]
        if one != one:
            out.flat[i] = np.nan
        elif one <= -0.6931471805599453:
            out.flat[i] = normal_quantile(one)
        else:
            rest = -math.expm1(min(one, 0.0))
            out.flat[i] = -normal_quantile(math.log(max(rest, 1e-300)))
    return out


def line_bounds(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each axis' line begins and ends among all, shape ``(axis + 1,)``; ``sizes`` has cells per axis."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@numba.njit(nogil=True, cache=True)
def lines(cells: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Sums along each axis, one behind the other; ``cells`` flat, ``sizes`` the cells of x[, y[, z]]."""
    nx = sizes[0]
    ny = sizes[1] if len(sizes) > 1 else 1
    nz = sizes[2] if len(sizes) > 2 else 1
    out = np.zeros(sizes.sum())
    at = 0
    for k in range(nz):
        plane = 0.0
        for j in range(ny):
            row = 0.0
            for i in range(nx):
                value = cells[at]
                out[i] += value
                row += value
                at += 1
            if len(sizes) > 1:
                out[nx + j] += row
            plane += row
        if len(sizes) > 2:
            out[nx + ny + k] += plane
    return out


# Cells pass once, at 1.6 ns each; what needs logarithms is asked only of bins that Pearson's chi2 tells of.
@numba.njit(nogil=True, cache=True, error_model="numpy")
def look(
    data: Floats, reference: Floats, data_lines: Floats, reference_lines: Floats, bounds: NDArray[np.int64]
) -> Floats:
    """See `FIELDS`. Log-probabilities are NaN where there is nothing to tell.

    For chi2 neighbouring bins are one until one count is expected of them: who has fewer makes its tail longer than any
    formula. That is decided by d + r alone, which all probabilities are told.

    A strip is a block of bins of the line along an axis: all other axes are summed over. Their lengths are 1 (not in
    1-D, where that is a bin), 2, 4, ... to half the axis, half overlapping. A shift is Mann & Whitney's rank sum along
    an axis, with ties as they are.

    Parameters
    ----------
    data, reference
        Counts, shape ``(cell,)``, not negative; they need not be whole numbers.
    data_lines, reference_lines, bounds
        Of `lines` and `line_bounds`.
    """
    out = np.full(20, np.nan)
    axes = len(bounds) - 1
    n, whole = 0.0, 0.0
    for i in range(bounds[0], bounds[1]):
        n += data_lines[i]
        whole += reference_lines[i]
    out[0], out[1] = n, whole
    out[9] = out[15] = out[19] = 0
    if not (n > 0 and whole > 0):
        return out
    p = n / (n + whole)
    scale = 1 / (p * (1 - p))
    filled, bins, total, inverse, inverse2 = 0, 0, 0.0, 0.0, 0.0
    limit, best, cell, sign = 9 * p * (1 - p), 0.0, -1, 0.0
    top, top_at = -1.0, -1
    fewest = 1 / min(p, 1 - p)
    held, all_held = 0.0, 0.0  # of neighbours that have too few alone
    for c in range(len(data)):
        d = data[c]
        m = d + reference[c]
        if m > 0:
            filled += 1
            off = d - m * p
            square = off * off
            if square > top * m:
                top, top_at = square / m, c
            if square > limit * m:
                log_p = _log_tail(d, reference[c], p)
                if log_p < best:
                    best, cell, sign = log_p, c, math.copysign(1.0, off)
            held += d
            all_held += m
            if all_held >= fewest:
                one = 1 / all_held
                off = held - all_held * p
                bins += 1
                total += off * off * one
                inverse += one
                inverse2 += one * one
                held, all_held = 0.0, 0.0
    if all_held > 0:
        one = 1 / all_held
        off = held - all_held * p
        bins += 1
        total += off * off * one
        inverse += one
        inverse2 += one * one
    if cell < 0 and top_at >= 0:
        cell, sign = top_at, math.copysign(1.0, data[top_at] - p * (data[top_at] + reference[top_at]))
        best = _log_tail(data[top_at], reference[top_at], p)
    out[2], out[3], out[4], out[5] = bins, total * scale, inverse, inverse2
    if filled < 2:
        return out
    out[6], out[7], out[8], out[9] = min(best + 0.6931471805599453, 0.0), cell, sign, filled
    trials, best = 0, 0.0
    mine, all_of_both = np.zeros(bounds[-1] + 1), np.zeros(bounds[-1] + 1)
    for i in range(bounds[-1]):
        mine[i + 1] = mine[i] + data_lines[i]
        all_of_both[i + 1] = all_of_both[i] + data_lines[i] + reference_lines[i]
    for axis in range(axes):
        first, last = bounds[axis], bounds[axis + 1]
        length = 1 if axes > 1 else 2
        while length <= (last - first) // 2:
            for begin in range(first, last, max(length // 2, 1)):
                end = min(begin + length, last)
                d, m = mine[end] - mine[begin], all_of_both[end] - all_of_both[begin]
                if m > 0:
                    trials += 1
                    off = d - m * p
                    if off * off > limit * m:
                        log_p = _log_tail(d, max(m - d, 0.0), p)
                        if log_p < best:
                            best = log_p
                            out[11], out[12], out[13] = axis, begin - first, end - first - 1
                            out[14] = math.copysign(1.0, off)
            length *= 2
    out[15] = trials
    if trials > 0:
        out[10] = min(best + 0.6931471805599453, 0.0)
    everything = n + whole
    tested = 0
    for axis in range(axes):
        first, last = bounds[axis], bounds[axis + 1]
        below, own, spread, ranked = 0.0, 0.0, 0.0, 0
        for i in range(first, last):
            m = data_lines[i] + reference_lines[i]
            if m > 0:
                rank = below + 0.5 * m - 0.5 * everything
                own += data_lines[i] * rank
                spread += m * rank * rank
                below += m
                ranked += 1
        if ranked < 2 or not (n >= 8 and whole >= 8):
            continue
        tested += 1
        z = own / math.sqrt(p * (1 - p) * spread * everything / (everything - 1))
        log_p = log_upper(abs(z)) + 0.6931471805599453
        if not log_p >= out[16]:
            out[16], out[17], out[18] = log_p, axis, math.copysign(1.0, z)
    out[19] = tested
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def values(data: Floats, reference: Floats, least: float) -> tuple[float, float, float, float, float, float]:
    """Means of a profile beside those of a reference, bin by bin: Welch's pull with the spread of both together.

    Parameters
    ----------
    data, reference
        Bin entries, sums of y and of y**2; shape ``(3, cell)``.
    least
        Entries that a bin needs in the data, and in the reference.

    Returns
    -------
    :
        Sum of the squared pulls and their number; log of the probability of the largest, two-sided, as if it had been
        the only one, its cell, its sign, and how many there were.
    """
    total, number = 0.0, 0
    top, cell, sign = 0.0, -1, 0.0
    for c in range(data.shape[1]):
        n, r = data[0, c], reference[0, c]
        if not (n >= least and r >= least):
            continue
        mean, its = data[1, c] / n, reference[1, c] / r
        squares = max(data[2, c] - n * mean * mean, 0.0) + max(reference[2, c] - r * its * its, 0.0)
        variance = squares / (n + r - 2)
        if not variance > 1e-12 * (its * its + mean * mean):
            continue
        freedom = n + r - 2
        pull = (mean - its) / math.sqrt(variance * (1 / n + 1 / r))
        # A t variable made a normal one (Wallace 1959).
        pull = math.copysign(math.sqrt(freedom * math.log1p(pull * pull / freedom)), pull)
        pull *= (8 * freedom + 1) / (8 * freedom + 3)
        if mean * its > 0 and variance < 9 * its * its:
            # Amplitudes fall off slowly to one side: means of gamma variables with this spread, whose ratio is F (a
            # normal one by Paulson, Ann. Math. Stat. 13 (1942) 233). The less sure of both counts.
            a, b = variance / (9 * its * its * n), variance / (9 * its * its * r)
            root = (mean / its) ** (1 / 3)
            other = ((1 - b) * root - (1 - a)) / math.sqrt(b * root * root + a)
            if abs(other) < abs(pull):
                pull = other
        total += pull * pull
        number += 1
        if abs(pull) > top:
            top, cell, sign = abs(pull), c, math.copysign(1.0, pull)
    if number == 0:
        return np.nan, 0.0, np.nan, -1.0, 0.0, 0.0
    return total, float(number), min(log_upper(top) + 0.6931471805599453, 0.0), float(cell), sign, float(number)
