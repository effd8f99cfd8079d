"""One look at counts beside a counted reference: shape, single bins, strips of an axis and shifts, in one pass.

All are told the margins, d_j + r_j = m_j in each bin and both totals, so that one normalisation is free. Cells are in
ROOT's order, flow bins included, as what leaves an axis is told by them.
"""

import math
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample.beta_binomial import normal_quantile
from owtrend.kernels.two_sample.chi2_moments import three_moments, z_of_chi2

__all__ = ["FIELDS", "cumulated", "line_bounds", "log_upper", "look", "looks", "scores", "values", "verdict", "z_of"]

Floats = NDArray[np.float64]

# What `look` tells: those of `chi2_moments.pearson`; then of the least likely bin, strip, and shift the log of its
# probability (two-sided, as if it had been the only one), where it is, and how many there were to choose from.
FIELDS = (
    "n", "whole", "bins", "chi2", "inverse", "inverse2",
    "bin_log_p", "bin_cell", "bin_sign", "bin_trials",
    "strip_log_p", "strip_axis", "strip_first", "strip_last", "strip_sign", "strip_trials",
    "shift_log_p", "shift_axis", "shift_sign", "shift_trials",
)  # fmt: skip
_LOG_2PI = 1.8378770664093453
_BLOCK = 16  # cells
_SURELY = 1e-4  # from which on a probability is no nearer to 1: times so many bins it is but a bound


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
def _z_of(log_p: float) -> float:
    if log_p != log_p:
        return np.nan
    if log_p <= -0.6931471805599453:
        return normal_quantile(log_p)
    return -normal_quantile(math.log(max(-math.expm1(min(log_p, 0.0)), _SURELY)))


@numba.njit(nogil=True, cache=True)
def z_of(log_p: Floats) -> Floats:
    """Normal z with upper tails of exp(log_p): negative beyond a half, but not below -3.7; NaN stays."""
    out = np.empty_like(log_p)
    for i in range(log_p.size):
        out.flat[i] = _z_of(log_p.flat[i])
    return out


@lru_cache(maxsize=4096)
def line_bounds(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Where each axis begins among what `cumulated` gives, and the end, ``(axis + 1,)``, told the cells of each."""
    return np.cumsum([0, *(size + 1 for size in sizes)]).astype(np.int64)


@numba.njit(nogil=True, cache=True)
def cumulated(cells: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Along each axis the sums of the first 0, 1, ... of its cells, over all others; one axis behind the other.

    ``cells`` flat, ``sizes`` the cells of x[, y[, z]]. Of any strip the content is one subtraction.
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


# Sums of some cells, in vector instructions: a loop that also looks for the largest takes four times as long.
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "arcp", "contract"})
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


@numba.njit(nogil=True, cache=True)
def _too_likely(d: float, expected: float, log_p: float) -> bool:
    """Whether a single count or two where few are expected are sure to be likelier than exp(log_p)."""
    return d > expected and d <= 2 and 1.5 * (expected - d * math.log(expected) + 0.7) < -log_p


# What needs logarithms is asked only of bins that Pearson's chi2 tells of.
@numba.njit(nogil=True, cache=True, error_model="numpy")
def look(
    data: Floats, reference: Floats, data_sums: Floats, reference_sums: Floats, bounds: NDArray[np.int64]
) -> Floats:
    """See `FIELDS`. Log-probabilities are NaN where there is nothing to tell.

    For chi2 neighbouring bins are one until one count is expected of them: who has fewer makes its tail longer than any
    formula. That is decided by d + r alone, which all probabilities are told.

    A strip is a block of bins of the line along an axis: all other axes are summed over. Lengths are 1, 2 (not in
    1-D), 4, 8, ... to half the axis, half overlapping. A shift is Mann & Whitney's rank sum along
    an axis, with ties as they are.

    Parameters
    ----------
    data, reference
        Counts, shape ``(cell,)``, not negative; they need not be whole numbers.
    data_sums, reference_sums, bounds
        Of `cumulated` and `line_bounds`.
    """
    out = np.full(20, np.nan)
    axes = len(bounds) - 1
    n, whole = data_sums[bounds[1] - 1], reference_sums[bounds[1] - 1]
    out[0], out[1] = n, whole
    out[9] = out[15] = out[19] = 0
    if not (n > 0 and whole > 0):
        return out
    p = n / (n + whole)
    scale = 1 / (p * (1 - p))
    filled, bins, total, inverse, inverse2 = 0, 0, 0.0, 0.0, 0.0
    limit, best, cell, sign = 9 * p * (1 - p), 0.0, -1, 0.0
    top, top_block = -1.0, 0
    fewest = 1 / min(p, 1 - p)
    held, all_held = 0.0, 0.0  # of neighbours that have too few alone
    for first in range(0, len(data), _BLOCK):
        last = min(first + _BLOCK, len(data))
        least, largest, part, one, square = _block(data, reference, first, last, p)
        if largest > top:
            top, top_block = largest, first
        if largest > limit:
            for c in range(first, last):
                m = data[c] + reference[c]
                off = data[c] - m * p
                # A tail's z is at most the root of twice this; what is less than half of the best can not be it.
                if off * off > limit * max(1.0, -best / 9) * m and not _too_likely(data[c], m * p, best):
                    log_p = _log_tail(data[c], reference[c], p)
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
    if cell < 0:  # no bin stands out: the one that does most
        for c in range(top_block, min(top_block + _BLOCK, len(data))):
            m = data[c] + reference[c]
            off = data[c] - m * p
            if off * off >= 0.999 * top * m and m > 0:
                cell, sign, best = c, math.copysign(1.0, off), _log_tail(data[c], reference[c], p)
                break
    out[2], out[3], out[4], out[5] = bins, total * scale, inverse, inverse2
    if filled < 2:
        return out
    out[6], out[7], out[8], out[9] = min(best + 0.6931471805599453, 0.0), cell, sign, filled
    trials, best = 0, 0.0
    for axis in range(axes):
        first, last = bounds[axis], bounds[axis + 1] - 1
        length = 1 if axes > 1 else 4
        while length <= (last - first) // 2:
            for begin in range(first, last, max(length // 2, 1)):
                end = min(begin + length, last)
                d, r = data_sums[end] - data_sums[begin], reference_sums[end] - reference_sums[begin]
                off, m = d - (d + r) * p, d + r
                trials += m > 0
                if off * off > limit * max(1.0, -best / 9) * m:
                    log_p = _log_tail(d, r, p)
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
        below, own, spread, ranked = 0.0, 0.0, 0.0, 0
        for i in range(bounds[axis], bounds[axis + 1] - 1):
            d, to = data_sums[i + 1] - data_sums[i], data_sums[i + 1] + reference_sums[i + 1]
            rank = 0.5 * (below + to - everything)
            own += d * rank
            spread += (to - below) * rank * rank
            ranked += to > below
            below = to
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def scores(told: Floats, means: tuple[float, float, float, float, float, float]) -> Floats:
    """Normal z of shape, bin, strip, shift, means and mean, and chi2 by what is expected of it; NaN where none is.

    Parameters
    ----------
    told, means
        Of `look` and `values`.
    """
    out = np.full(7, np.nan)
    if told[2] > 1:
        mean, variance, skewness = three_moments(told[0], told[1], told[2], told[4], told[5])
        # Of two bins, or of one count where hardly any is expected, chi2 has a few values only: bins tell more.
        if variance > 0.05 * (told[2] - 1) and skewness < 3.5:
            out[0] = z_of_chi2(told[3], mean, variance, skewness)
            out[6] = told[3] / mean
    for score, field in ((1, 6), (2, 10), (3, 16)):
        trials = told[19] if field == 16 else told[field + 3] if field == 6 else told[15]
        if trials > 0:
            out[score] = _z_of(told[field] + math.log(trials))
    if means[1] > 0:
        out[4] = ((means[0] / means[1]) ** (1 / 3) - (1 - 2 / (9 * means[1]))) * math.sqrt(4.5 * means[1])
        out[5] = _z_of(means[2] + math.log(means[5]))
    return out


@numba.njit(nogil=True, cache=True)
def verdict(
    seen: Floats, location: Floats, scale: Floats, telling: tuple[int, ...], nearly: float
) -> tuple[Floats, float, int, int]:
    """All scores against all references as one.

    Parameters
    ----------
    seen
        Rows of `scores`, shape ``(look, score + 1)``.
    location, scale
        What is usual of each z, ``(look, score)``.
    telling, nearly
        Scores by how much they tell, and the share of the largest z with which one is preferred to it.

    Returns
    -------
    :
        z, told what is usual; of the least probable for as many as there are; look and score that tell most, -1 if
        there is none.
    """
    looks, count = location.shape
    z = np.empty((looks, count))
    largest, trials = -np.inf, 0
    best, at = np.full(count, -np.inf), np.zeros(count, dtype=np.int64)
    for i in range(looks):
        for j in range(count):
            z[i, j] = (seen[i, j] - location[i, j]) / scale[i, j]
            if z[i, j] == z[i, j]:
                trials += 1
                if z[i, j] > best[j]:
                    best[j], at[j] = z[i, j], i
                largest = max(largest, z[i, j])
    if trials == 0:
        return z, np.nan, -1, -1
    total = _z_of(min(log_upper(largest) + math.log(trials), 0.0))
    score = 0
    for j in telling:
        if best[j] >= min(nearly * largest, largest):
            score = j
            break
    return z, total, at[score], score


@numba.njit(nogil=True, cache=True)
def looks(
    report: Floats, report_sums: Floats, report_moments: Floats, pool: Floats, pool_sums: Floats, pool_moments: Floats,
    good: Floats, good_sums: Floats, good_moments: Floats, last: Floats, last_sums: Floats, last_moments: Floats,
    older: Floats, older_sums: Floats, older_moments: Floats, bounds: NDArray[np.int64], excess: Floats, least: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """A report beside all its references in one call; see `owtrend.outliers.monitor.LOOKS`.

    Parameters
    ----------
    report, pool, good, last, older
        Counts, their sums along the axes (`cumulated`) and moments of a profile, ``(3, cell)``; what there is not has
        no cells.
    excess
        By which counts are divided in each look.
    least
        See `values`.

    Returns
    -------
    :
        `scores` of each look, ``(look, 7)``, NaN where there is none; `look` ``(look, 20)``; `values` ``(look, 6)``.
    """
    seen, told, means = np.full((4, 7), np.nan), np.full((4, 20), np.nan), np.full((4, 6), np.nan)
    for number in range(4):
        other, other_sums, other_moments = pool, pool_sums, pool_moments
        data, data_sums, data_moments = report, report_sums, report_moments
        if number == 1 and len(good):
            data, data_sums, data_moments = good + report, good_sums + report_sums, good_moments + report_moments
        elif number == 1:
            continue
        elif number == 2:
            other, other_sums, other_moments = good, good_sums, good_moments
        elif number == 3:
            other, other_sums, other_moments = older, older_sums, older_moments
            if len(older):
                data, data_sums, data_moments = last + report, last_sums + report_sums, last_moments + report_moments
        if not len(other):
            continue
        if excess[number] != 1:
            share = 1 / excess[number]
            data, data_sums, data_moments = data * share, data_sums * share, data_moments * share
            other, other_sums, other_moments = other * share, other_sums * share, other_moments * share
        told[number] = look(data, other, data_sums, other_sums, bounds)
        found = values(data_moments, other_moments, least)
        for i in range(6):
            means[number, i] = found[i]
        seen[number] = scores(told[number], found)
        seen[number, 6] *= excess[number]
    return seen, told, means
