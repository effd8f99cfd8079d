"""Scores of counts whose p-values hold at any occupancy: conditional on the totals, with no assumed distribution.

The p-values compare the histogram with random draws of as many fills from its own and the reference's together; see
`owtrend.kernels.two_sample.permutation`. With a weighted or a negative bin they are NaN.
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from owtrend.comparison.pair import Pair, Result
from owtrend.kernels.two_sample import chi2_moments as chi2_kernels
from owtrend.kernels.two_sample import permutation as kernels
from owtrend.kernels.two_sample.beta_binomial import log_factorials

__all__ = ["chi2_permutation", "homogeneity", "ks_permutation", "min_p"]

Floats = NDArray[np.float64]
ENOUGH = 20  # permutations as large or larger, then no more are drawn: p is known to 22 %


def homogeneity(pair: Pair) -> Result:
    """Pearson's chi2, as distance from its mean in standard deviations, and its probability at any occupancy.

    Mean, variance and skewness are exact over all ways to distribute the fills (Haldane 1940); the probability is from
    a gamma distribution with these three. With components, they are summed.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, pair.pulls)
    value, (mean, variance, skewness) = _homogeneity(pair)
    p, _ = chi2_kernels.tail(value, mean, variance, skewness)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(np.where(np.isnan(p), np.nan, (value - mean) / np.sqrt(variance)), p, pair.pulls)


def chi2_permutation(pair: Pair, draws: float = 999) -> Result:
    """Pearson's chi2 (as `chi2_ndf`, not divided), and its p-value from random permutations.

    Below 1 / (draws + 1) the p-value is that of `homogeneity`.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, pair.pulls)
    value, p, beyond = _permuted(pair, kernels.CHI2, draws)
    if beyond.any():
        chi2, moments = _homogeneity(pair)
        tail, _ = chi2_kernels.tail(chi2, *moments)
        p = np.where(beyond, np.fmin(p, tail), p)
    return Result(value, p, pair.pulls)


def ks_permutation(pair: Pair, draws: float = 999) -> Result:
    """Kolmogorov distance (as `ks`), and its p-value from random permutations.

    Below 1 / (draws + 1) the p-value is a bound: 2 exp(-2 D**2 n m / (n + m)) (Massart 1990, Wei & Dudley 2012) times
    the number of orders of the axes, as at least one order has a distance as large as their mean.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, pair.pulls)
    value, p, beyond = _permuted(pair, kernels.KOLMOGOROV, draws)
    n, m = pair.flat[0].sum(axis=1), pair.flat[2].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = 2 * len(_orders(pair)) * np.exp(-2 * value**2 * n * m / (n + m))
    return Result(value, np.where(beyond, np.fmin(p, bound), p), pair.pulls)


def min_p(pair: Pair) -> Result:
    """-log10 of the smallest p-value of any bin (Fisher's exact test), and the probability of one as small anywhere.

    The probability is a sum over the p-values that each bin could have at all (Westfall & Wolfinger 1997), so a
    thousand bins with one count cost nothing. The contribution of a bin is -log10 p, at most 300, negative for a
    deficit.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, np.zeros_like(pair.pulls))
    data, _, reference, _ = pair.flat
    table = log_factorials()
    tails = kernels.bin_tails(data, reference, pair.component, table)
    smallest = np.fmin.reduce(np.abs(tails), axis=1)
    with np.errstate(divide="ignore"):
        sizes = np.copysign(-np.log10(np.maximum(np.abs(tails), 1e-300)), tails)
        value = -np.log10(np.maximum(smallest, 1e-300))
    p = kernels.level(smallest, data, reference, pair.component, table)
    return Result(value, p, np.nan_to_num(sizes).reshape(pair.data.shape))


def _homogeneity(pair: Pair) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
    """Chi2 and its three moments, summed over the components that are not empty in either histogram."""
    totals = np.zeros((4, len(pair.data)))
    for data, _, reference, _ in pair.by_component:
        sums = chi2_kernels.pearson(data, reference)
        mean, variance, skewness = chi2_kernels.moments(sums)
        valid = np.isfinite(sums[:, 3]) & np.isfinite(variance)
        totals += np.where(valid, np.stack([sums[:, 3], mean, variance, skewness * variance**1.5]), 0.0)
    negative = (pair.flat[0] < 0).any(axis=1) | (pair.flat[2] < 0).any()
    value, mean, variance, third = np.where((totals[2] > 0) & ~negative, totals, np.nan)
    return value, (mean, variance, third / variance**1.5)


def _permuted(pair: Pair, kind: int, draws: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Statistic, its p-value from permutations, and where that is too small for them."""
    data, _, reference, _ = pair.flat
    return kernels.permutation(
        data, reference, pair.component, _orders(pair), kind, int(draws), ENOUGH, log_factorials()
    )


def _orders(pair: Pair) -> NDArray[np.intp]:
    """Cell numbers in all orders of the axes."""
    cells = np.arange(pair.reference.size).reshape(pair.shape)
    return np.stack([cells.transpose(axes).ravel() for axes in permutations(range(cells.ndim))])
