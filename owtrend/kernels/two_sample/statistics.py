"""A histogram and a reference: pulls per bin, chi2, Kolmogorov, transport, divergence, on blocks ``(time, cell)``.

Cells here are bins in range only; the reference has one row. Contents are float64 even where they are counts. NaN
stands for undefined results: a distance from an empty histogram, the pull of a bin that has no error.
"""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = [
    "asymmetric_pulls", "at_least", "chi2", "chi2_probability", "exact_pulls", "gauss_pulls",
    "jensen_shannon", "kolmogorov", "kolmogorov_probability", "look_elsewhere",
    "neighbours", "transport", "two_sided",
]  # fmt: skip

Floats = NDArray[np.float64]

UU, UW, WW = 0, 1, 2  # both unweighted; only the first; none: as TH1::Chi2Test names them


def gauss_pulls(data: Floats, variance: Floats, reference: Floats, reference_variance: Floats, scale: Floats) -> Floats:
    """(d - t r) / sqrt(V), shape ``(time, cell)``: 0 where both are empty, NaN where there is no error.

    V is var(d) + t**2 var(r), but never less than what both together let expect if they agree, in fills of the mean
    weights w and u (the score test): (d / w + r / u) / (t / w + 1 / u) (t w + t**2 u), t (d + r) for counts. Without it
    one count where 8 are expected would be 7 errors off, and an empty bin had no error.
    """
    t = scale[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        w = variance.sum(axis=1, keepdims=True) / np.abs(data).sum(axis=1, keepdims=True)
        u = reference_variance.sum() / np.abs(reference).sum()
        w, u = np.where(w > 0, w, u), np.where(u > 0, u, w)
        agreed = (np.abs(data) / w + np.abs(reference) / u) / (t / w + 1 / u) * (t * w + t**2 * u)
        error = np.sqrt(np.fmax(variance + t**2 * reference_variance, agreed))
        pull = (data - t * reference) / error
    return np.where((data == 0) & (reference == 0), 0.0, np.where(np.isinf(pull), np.nan, pull))


def asymmetric_pulls(data: Floats, reference: Floats, scale: Floats) -> Floats:
    """As `gauss_pulls`, of counts, with the ends of the 68.3 % Poisson intervals that face each other as errors."""
    from scipy.special import gammaincinv

    tail, t = 0.15865525393145707, scale[:, None]
    values, places = np.unique(np.concatenate([data.ravel(), reference]), return_inverse=True)
    counts = np.maximum(values, 0)
    down = (values - np.where(counts > 0, gammaincinv(np.maximum(counts, 1e-9), tail), 0))[places]
    up = (gammaincinv(counts + 1, 1 - tail) - values)[places]
    size, expected = data.size, t * reference
    above = data > expected
    own_error = np.where(above, down[:size].reshape(data.shape), up[:size].reshape(data.shape))
    pull = (data - expected) / np.hypot(own_error, t * np.where(above, up[size:], down[size:]))
    return np.where((data == 0) & (reference == 0), 0.0, np.where((data < 0) | (reference < 0), np.nan, pull))


def exact_pulls(data: Floats, reference: Floats, scale: Floats) -> Floats:
    """Pull of two Poisson counts by the exact test of their ratio, shape ``(time, cell)``.

    Of d + r counts together d are binomial with p = t / (1 + t) (Przyborowski & Wilenski 1940); the pull is the z of
    the tail from d on, half of P(d) counted (mid-p), so that it is calibrated at small counts. Where the tail is below
    1e-290: the likelihood ratio of Li & Ma (1983), equation 17.
    """
    from scipy.special import betainc, gammaln, ndtri, xlogy

    t = np.broadcast_to(scale[:, None], data.shape)
    d, r = np.maximum(data, 0), np.broadcast_to(np.maximum(reference, 0), data.shape)
    n, p = d + r, t / (1 + t)
    point = np.exp(gammaln(n + 1) - gammaln(d + 1) - gammaln(r + 1) + xlogy(d, p) - xlogy(r, 1 + t))
    above = np.where(d > 0, betainc(np.maximum(d, 1e-9), r + 1, p), 1) - point / 2
    below = np.where(r > 0, betainc(np.maximum(r, 1e-9), d + 1, 1 - p), 1) - point / 2
    tail = np.minimum(above, below)
    expected = n * p
    ratio = 2 * (xlogy(d, d / np.where(expected > 0, expected, 1)) + xlogy(r, r / np.where(n > 0, n / (1 + t), 1)))
    with np.errstate(divide="ignore"):
        size = np.where(tail > 1e-290, -ndtri(np.clip(tail, 1e-300, 0.5)), np.sqrt(np.maximum(ratio, 0)))
    pull = np.where(above < below, size, -size)
    return np.where((data < 0) | (reference < 0), np.nan, np.where(n == 0, 0.0, pull))


@compiled(error_model="numpy")
def chi2(
    data: Floats, variance: Floats, reference: Floats, reference_variance: Floats, kind: int
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Chi2 of each row against the reference, by shape alone, as ``TH1::Chi2TestX`` of ROOT 6.40 has it.

    With sums n and m: UU, sum((m d - n r)**2 / (d + r)) / (n m), counts against counts; WW, sum((m d - n r)**2 / (n**2
    var(r) + m**2 var(d))); UW, the maximum-likelihood estimate of each bin's share from Poisson counts and a normal
    weighted sum (Gagunashvili, arXiv:physics/0605123).

    Parameters
    ----------
    data, variance
        Shape ``(time, cell)``; the variance of counts is not looked at.
    reference, reference_variance
        Shape ``(cell,)``.
    kind
        ``UU``, ``UW`` or ``WW``.

    Returns
    -------
    :
        Chi2, NaN where one is empty or (UW, WW) a bin has content and no error; degrees of freedom: bins that are not
        empty in both, less one; what to be careful of: 1 if a bin of the data, 2 if one of the reference has fewer
        than one count (UU, data of UW) or ten effective ones (else), 3 for both. Each ``(time,)``.
    """
    times, cells = data.shape
    value = np.zeros(times)
    ndf = np.full(times, cells - 1)
    weak = np.zeros(times, dtype=np.int64)
    m, its_variance = 0.0, 0.0
    for c in range(cells):
        m += reference[c]
        its_variance += reference_variance[c]
    for t in range(times):
        n, own_variance = 0.0, 0.0
        for c in range(cells):
            n += data[t, c]
            own_variance += variance[t, c]
        chi, few, its_few, undefined = 0.0, 0, 0, n == 0 or m == 0
        undefined |= kind == WW and own_variance <= 0 and its_variance <= 0
        for c in range(cells):
            d, r, v, w = data[t, c], reference[c], variance[t, c], reference_variance[c]
            if kind == UU:
                if -1 < d < 1 and -1 < r < 1:
                    ndf[t] -= 1
                    continue
                few += d < 1
                its_few += r < 1
                delta = m * d - n * r
                chi += delta * delta / (d + r)
                continue
            if d * d == 0 and r * r == 0:  # the square, as in ROOT: 1e-200 is nothing
                ndf[t] -= 1
                continue
            if kind == WW:
                if v == 0 and w == 0:
                    undefined = True
                    break
                delta = m * d - n * r
                chi += delta * delta / (n * n * w + m * m * v)
                few += v > 0 and d * d / v < 10
                its_few += w > 0 and r * r / w < 10
                continue
            if r * r == 0 and w == 0:
                if its_variance <= 0:
                    undefined = True
                    break
                w = its_variance / m
            few += d < 1
            its_few += w > 0 and r * r / w < 10
            first = m * r - n * w
            root = math.sqrt(first * first + 4 * m * m * d * w)
            while first + root == 0:  # as ROOT: a count more, and in all of the data, too
                n += 1
                d += 1
                first = m * r - n * w
                root = math.sqrt(first * first + 4 * m * m * d * w)
            share = (first + root) / (2 * m * m)
            chi += (d - share * n) ** 2 / (share * n)
            if w > 0:
                chi += (r - share * m) ** 2 / w
        value[t] = np.nan if undefined else chi / (n * m) if kind == UU else chi
        weak[t] = (few > 0) + 2 * (its_few > 0)
    return value, ndf, weak


@compiled(error_model="numpy")
def _largest_distance(data: Floats, reference: Floats) -> Floats:
    times, cells = data.shape
    out = np.zeros(times)
    m = reference.sum()
    for t in range(times):
        n = data[t].sum()
        a, b, most = 0.0, 0.0, 0.0
        for c in range(cells):
            a += data[t, c] / n
            b += reference[c] / m
            most = max(most, abs(a - b))
        out[t] = most if n != 0 and m != 0 else np.nan
    return out


def kolmogorov(data: Floats, reference: Floats, shape: Sequence[int]) -> Floats:
    """Largest distance of the cumulated shares, shape ``(time,)``; NaN where one is empty.

    Of several axes, ``shape`` bins each and the last fastest, the mean of the distances along all orders of them, as
    ``TH2::KolmogorovTest`` has it. (``TH3::KolmogorovTest`` of ROOT 6.40 divides it by 6 once more.)
    """
    orders = list(permutations(range(len(shape))))
    rows, one = data.reshape(len(data), *shape), reference.reshape(shape)
    found = [
        _largest_distance(
            np.ascontiguousarray(rows.transpose(0, *(1 + axis for axis in order))).reshape(len(data), -1),
            np.ascontiguousarray(one.transpose(order)).ravel(),
        )
        for order in orders
    ]
    mean: Floats = np.mean(found, axis=0)
    return mean


def transport(lines: Floats, reference: Floats, centres: Floats) -> Floats:
    """Earth mover's (first Wasserstein) distance of distributions along one axis, in its units; shape ``(time,)``.

    The integral of |F - G| with all content of a bin at its centre. NaN where one is empty.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        data_sums = np.cumsum(lines, axis=1) / lines.sum(axis=1, keepdims=True)
        reference_sums = np.cumsum(reference) / reference.sum()
    return np.abs(data_sums - reference_sums)[:, :-1] @ np.diff(centres)


def jensen_shannon(data: Floats, reference: Floats) -> Floats:
    """Jensen-Shannon distance of the shares, base 2: 0 for the same shape, 1 where no bin is shared; ``(time,)``.

    NaN where one is empty or has a negative bin.
    """
    from scipy.special import rel_entr

    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = data / data.sum(axis=1, keepdims=True), reference / reference.sum()
        middle = (p + q) / 2
        divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / (2 * math.log(2))
    return np.sqrt(np.where(np.isinf(divergence), np.nan, np.maximum(divergence, 0)))


def neighbours(values: Floats, reach: int) -> tuple[Floats, Floats]:
    """Sum of the bins within ``reach`` of each in all axes, itself left out, and how many these are.

    ``values`` has shape ``(time, x[, y[, z]])``; an axis ends where it ends (CMS wraps it round).
    """
    from scipy.ndimage import convolve

    window = np.ones((1, *(2 * reach + 1,) * (values.ndim - 1)))
    window[(0, *(reach,) * (values.ndim - 1))] = 0
    number = convolve(np.ones((1, *values.shape[1:])), window, mode="constant")
    return convolve(values, window, mode="constant"), np.broadcast_to(number, values.shape)


def chi2_probability(value: Floats, ndf: NDArray[np.int64]) -> Floats:
    """Probability of a larger chi2 (``TMath::Prob``): NaN without a value, 0 without degrees of freedom."""
    from scipy.special import chdtrc

    return np.where(np.isnan(value), np.nan, np.where(ndf > 0, chdtrc(np.maximum(ndf, 1), value), 0.0))


def kolmogorov_probability(distance: Floats, n: Floats, m: float) -> Floats:
    """Asymptotic probability of a larger distance of n and m effective entries, infinite for a known distribution.

    ROOT gives 0 for all that is less than 1e-40. As the bins tie fills together, good data have it above 0.05 more
    often than 95 times of 100.
    """
    from scipy.special import kolmogorov as survival

    with np.errstate(divide="ignore", invalid="ignore"):
        return survival(distance * np.sqrt(1 / (1 / n + 1 / m)))


def two_sided(pull: Floats) -> Floats:
    """Probability of a normal variable farther from 0."""
    from scipy.special import ndtr

    return 2 * ndtr(-np.abs(pull))


def look_elsewhere(p: Floats, trials: NDArray[np.int64]) -> Floats:
    """Probability that the smallest of so many independent p-values is this small: 1 - (1 - p)**trials."""
    with np.errstate(divide="ignore"):
        return -np.expm1(trials * np.log1p(-np.minimum(p, 1.0)))


def at_least(count: NDArray[np.int64], trials: NDArray[np.int64], p: float) -> Floats:
    """Probability of as many successes or more (binomial)."""
    from scipy.special import bdtrc

    return np.where(count > 0, bdtrc(np.maximum(count - 1, 0), np.maximum(trials, 1), p), 1.0)
