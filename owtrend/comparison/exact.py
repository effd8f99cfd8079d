"""Scores of counts whose p-values hold at any occupancy: told the totals, and nothing about the distribution.

As many fills as the histogram has, dealt out of its own and the reference's together: that is what their p-values
compare it with; see `owtrend.kernels.two_sample.permutation`. With a weighted or a negative bin they are NaN.
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
ENOUGH = 20  # permutations as large: p is known to 22 %


def homogeneity(pair: Pair) -> Result:
    """Pearson's chi2 as its distance from the mean in standard deviations, and its probability at any occupancy.

    Mean, variance and skewness are those of all ways to deal out the fills (Haldane 1940); the probability is that of a
    gamma distribution with these three. Of components, sums of each.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, pair.pulls)
    value, (mean, variance, skewness) = _homogeneity(pair)
    p, _ = chi2_kernels.tail(value, mean, variance, skewness)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(np.where(np.isnan(p), np.nan, (value - mean) / np.sqrt(variance)), p, pair.pulls)


def chi2_permutation(pair: Pair, draws: float = 999) -> Result:
    """Pearson's chi2 (that of `chi2_ndf`, not divided), and its place among those of so many permutations.

    Below 1 / (draws + 1) the p-value of `homogeneity`.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, pair.pulls)
    value, p, beyond = _permuted(pair, kernels.CHI2, draws)
    if beyond.any():
        same, moments = _homogeneity(pair)
        far, _ = chi2_kernels.tail(same, *moments)
        p = np.where(beyond, np.fmin(p, far), p)
    return Result(value, p, pair.pulls)


def ks_permutation(pair: Pair, draws: float = 999) -> Result:
    """Kolmogorov distance as that of `ks`, and its place among those of so many permutations.

    Below 1 / (draws + 1) a bound: 2 exp(-2 D**2 n m / (n + m)) (Massart 1990, Wei & Dudley 2012) for each order of the
    axes, one of which has a distance as large as their mean.
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

    The probability adds up what each bin could have had at all (Westfall & Wolfinger 1997), so that a thousand bins
    with one count cost nothing. The blame of a bin is -log10 p, at most 300, negative where there is too little.
    """
    if pair.kind != "UU":
        return Result(pair.missing, pair.missing, np.zeros_like(pair.pulls))
    data, _, reference, _ = pair.flat
    table = log_factorials()
    tails = kernels.bin_tails(data, reference, pair.of, table)
    smallest = np.fmin.reduce(np.abs(tails), axis=1)
    with np.errstate(divide="ignore"):
        sizes = np.copysign(-np.log10(np.maximum(np.abs(tails), 1e-300)), tails)
        value = -np.log10(np.maximum(smallest, 1e-300))
    p = kernels.level(smallest, data, reference, pair.of, table)
    return Result(value, p, np.nan_to_num(sizes).reshape(pair.data.shape))


def _homogeneity(pair: Pair) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
    """Chi2 and its three moments; the sums over all components that are empty in neither."""
    totals = np.zeros((4, len(pair.data)))
    for data, _, reference, _ in pair.parts:
        sums = chi2_kernels.pearson(data, reference)
        mean, variance, skewness = chi2_kernels.moments(sums)
        known = np.isfinite(sums[:, 3]) & np.isfinite(variance)
        made = np.stack([sums[:, 3], mean, variance, skewness * variance**1.5])
        totals += np.where(known, made, 0.0)
    negative = (pair.flat[0] < 0).any(axis=1) | (pair.flat[2] < 0).any()
    value, mean, variance, third = np.where((totals[2] > 0) & ~negative, totals, np.nan)
    return value, (mean, variance, third / variance**1.5)


def _permuted(pair: Pair, kind: int, draws: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    data, _, reference, _ = pair.flat
    return kernels.permutation(data, reference, pair.of, _orders(pair), kind, int(draws), ENOUGH, log_factorials())


def _orders(pair: Pair) -> NDArray[np.intp]:
    """The cells in all orders of the axes."""
    cells = np.arange(pair.reference.size).reshape(pair.shape)
    return np.stack([cells.transpose(axes).ravel() for axes in permutations(range(cells.ndim))])
