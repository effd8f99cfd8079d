"""Pearson's chi2 of counts and a counted reference, with its moments by chance at any occupancy.

Given the sums d_j + r_j = m_j in each bin and both totals, the counts d_j are multivariate hypergeometric if the shapes
are the same. The mean and the variance of chi2 are then known exactly, however few the counts are, and its third
cumulant very nearly, so that its tail is that of a gamma distribution with the same three (Pearson's type III).
"""

import math

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["chances", "moments", "pearson", "tail", "three_moments", "z_of_chi2"]

Floats = NDArray[np.float64]


@compiled(error_model="numpy")
def pearson(data: Floats, reference: Floats) -> Floats:
    """Chi2 of homogeneity of each row and what its moments need, shape ``(time, 6)``.

    In order: n and R, the totals of row and reference; k, the bins that are not empty in both; chi2, sum((R d - n
    r)**2 / (d + r)) / (n R), NaN where one is empty; the sums of 1 / m and of 1 / m**2 over those bins, m = d + r.

    Parameters
    ----------
    data
        Counts, shape ``(time, cell)``, not negative.
    reference
        Counts, shape ``(cell,)``; may be no whole numbers.
    """
    times, cells = data.shape
    out = np.empty((times, 6))
    whole = 0.0
    for c in range(cells):
        whole += reference[c]
    for t in range(times):
        n = 0.0
        for c in range(cells):
            n += data[t, c]
        p = n / (n + whole)
        bins, total, inverse, inverse2 = 0, 0.0, 0.0, 0.0
        for c in range(cells):
            d = data[t, c]
            m = d + reference[c]
            if m > 0:
                one = 1 / m
                off = d - m * p
                bins += 1
                total += off * off * one
                inverse += one
                inverse2 += one * one
        out[t, 0], out[t, 1], out[t, 2] = n, whole, bins
        out[t, 3] = total / (p * (1 - p)) if n > 0 and whole > 0 else np.nan
        out[t, 4], out[t, 5] = inverse, inverse2
    return out


@compiled(error_model="numpy")
def three_moments(n: float, whole: float, k: float, h: float, h2: float) -> tuple[float, float, float]:
    """Mean, variance and skewness of chi2; see `moments`, with n and R, k, sum(1 / m) and sum(1 / m**2)."""
    total, f = n + whole, n * whole
    mean = (k - 1) * total / (total - 1)
    uneven = max(total * h - k * k, 0.0)
    regular = 2 * total * (k - 1) * (total - k) * (f - total + 1)
    variance = (total - 1) * (total * (total + 1) - 6 * f) * uneven + regular
    variance *= total**2 / (f * (total - 1) ** 2) / ((total - 2) * (total - 3))
    w, c = f / total**2, (whole - n) / total
    slope = k * c / (total * w)
    third = 8 * k + (12 * (1 - 6 * w) + 10 * c * c) * h / w + (1 - 30 * w + 120 * w * w) * h2 / w**2
    third += 3 * slope**2 * ((1 - 6 * w) * k + 2 * total * w) - slope**3 * c * total * w
    third -= 3 * slope * c * (8 * k + (1 - 12 * w) * h / w)
    if not (total > 3 and variance > 1e-9 * mean * mean):  # the margins leave nothing, or rounding, to chance
        return mean, np.nan, np.nan
    return mean, variance, third * (k - 1) / k / variance**1.5


@compiled(error_model="numpy")
def z_of_chi2(chi2: float, mean: float, variance: float, skewness: float, freedom: float = np.inf) -> float:
    """Normal z of a gamma variable of these moments: Wilson & Hilferty, Proc. Natl. Acad. Sci. 17 (1931) 684.

    If its unit was learned from so many degrees of freedom, of a ratio of two: Paulson, Ann. Math. Stat. 13 (1942) 233.
    """
    shape = 4 / max(skewness, 1e-3) ** 2
    ratio = max(1 + (chi2 - mean) / math.sqrt(variance * shape), 0.0)
    a, b, root = 1 / (9 * shape), 2 / (9 * max(freedom, 0.5)), ratio ** (1 / 3)
    return ((1 - b) * root - (1 - a)) / math.sqrt(b * root * root + a)


@compiled(error_model="numpy")
def _all_moments(sums: Floats) -> Floats:
    out = np.empty((len(sums), 3))
    for i in range(len(sums)):
        out[i] = three_moments(sums[i, 0], sums[i, 1], sums[i, 2], sums[i, 4], sums[i, 5])
    return out


def moments(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, variance and skewness of chi2, given the margins; each ``(...,)``.

    With N = n + R and f = n R the mean is (k - 1) N / (N - 1), and the variance, with e = N sum(1 / m) - k**2, is N**2
    ((N - 1) (N (N + 1) - 6 f) e + 2 N (k - 1) (N - k) (f - N + 1)) / (f (N - 1)**2 (N - 2) (N - 3)): Haldane,
    Biometrika 31 (1940) 346, written so that large terms do not cancel. The third cumulant is that of the squared
    deviations of binomial counts, of each less its projection on the count, as the total is fixed.

    Parameters
    ----------
    sums
        Of `pearson`, shape ``(..., 6)``.
    """
    found = _all_moments(np.ascontiguousarray(sums.reshape(-1, 6), dtype=np.float64))
    mean, variance, skewness = found.T.reshape(3, *sums.shape[:-1])
    return mean, variance, skewness


def chances(sums: Floats) -> tuple[Floats, Floats]:
    """Probability of a chi2 as large or larger, and its normal z, which goes on where that underflows; ``(...,)``.

    NaN where one is empty, or nothing is left to chance: one bin, or a single count.
    """
    return tail(sums[..., 3], *moments(sums))


def tail(value: Floats, mean: Floats, variance: Floats, skewness: Floats) -> tuple[Floats, Floats]:
    """As `chances`, of any chi2 with these moments: of a sum of independent ones they are known, too."""
    from scipy.special import gammaincc, ndtri

    with np.errstate(divide="ignore", invalid="ignore"):
        off = (value - mean) / np.sqrt(variance)
        shape = 4 / np.maximum(skewness, 1e-3) ** 2
        ratio = np.maximum(1 + off / np.sqrt(shape), 0)
        p = gammaincc(shape, shape * ratio)
        # Wilson & Hilferty's cube root for what is too small to be a number.
        far = (np.cbrt(ratio) - (1 - 1 / (9 * shape))) * np.sqrt(9 * shape)
        z = np.where(p > 1e-290, -ndtri(np.clip(p, 1e-300, 1 - 1e-16)), far)
    known = np.isfinite(off)
    return np.where(known, p, np.nan), np.where(known, z, np.nan)
