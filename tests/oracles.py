"""Slow, plain twins of the kernels; shared by tests and benchmarks."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def increments(cumulative: NDArray, entries: NDArray) -> NDArray:
    """Gain per row: counts from zero first and where the entries fell."""
    gained = [cumulative[0]]
    for row in range(1, len(cumulative)):
        restarted = entries[row] < entries[row - 1]
        gained.append(cumulative[row] if restarted else cumulative[row] - cumulative[row - 1])
    return np.array(gained)


def previous_rows(entries: NDArray) -> NDArray:
    """Row that each row of a counter is a gain since, in a history in which entries that fall are the only restarts."""
    previous = np.arange(-1, len(entries) - 1)
    previous[1:][entries[1:] < entries[:-1]] = -1
    return previous


def lines(gained: NDArray, shape: Sequence[int]) -> list[NDArray]:
    """Along each axis the content of its bins, flow included, of one row of gained cells; ``shape`` without flow.

    Of a bin in range over the bins in range of the other axes, of a flow bin over all.
    """
    cube = gained.reshape([n + 2 for n in reversed(shape)]).T
    along = []
    for axis in range(len(shape)):
        others = tuple(other for other in range(len(shape)) if other != axis)
        inner = tuple(slice(1, -1) if other in others else slice(None) for other in range(len(shape)))
        line = cube[inner].sum(axis=others)
        line[[0, -1]] = cube.sum(axis=others)[[0, -1]]
        along.append(line)
    return along


def quantile(content: NDArray, edges: NDArray, probability: float) -> float:
    """By interpolation of the cumulated content; undefined where it reaches ``probability`` at the end of a bin."""
    cumulated = np.concatenate([[0.0], np.cumsum(content)]) / content.sum()
    upper = int(np.argmax(cumulated > probability))
    share = (probability - cumulated[upper - 1]) / (cumulated[upper] - cumulated[upper - 1])
    return float(edges[upper - 1] + share * (edges[upper] - edges[upper - 1]))


def mean_and_std_trend(cumulative: NDArray, centres: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of the increments of (time, bin) contents, the plain NumPy way."""
    gained = np.diff(cumulative, axis=0, prepend=0)
    total = gained.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (gained * centres).sum(axis=1) / total
        std = np.sqrt((gained * centres**2).sum(axis=1) / total - mean**2)
    return mean, std


def beta_binomial_pull(data: NDArray, reference: NDArray, tolerance: float) -> NDArray:
    """AutoDQM's pull of one row, by SciPy's probabilities; it ends at 37."""
    from scipy import stats

    s = 1 / np.sqrt(1 + (reference * tolerance**2) ** 2)
    r, whole, n = np.rint(s * reference), np.rint(s * reference.sum()), data.sum()
    mean = n * r / whole

    def log_p(counts: NDArray) -> NDArray:
        return stats.betabinom.logpmf(counts, n, r + 1, whole - r + 1)

    log_q = log_p(data) - np.maximum(log_p(np.floor(mean)), log_p(np.ceil(mean)))
    return np.sqrt(stats.chi2.isf(np.exp(np.minimum(log_q, 0)), 1)) * np.where(data < mean, -1, 1)


def log_choose(n: int, k: int) -> float:
    """ln(n over k), factor by factor."""
    return math.fsum(math.log((n - k + i) / i) for i in range(1, k + 1))


def neighbour_sum(values: NDArray, reach: int) -> NDArray:
    """Of a map, bin by bin."""
    total = np.zeros(values.shape)
    for at in np.ndindex(values.shape):
        window = tuple(slice(max(i - reach, 0), i + reach + 1) for i in at)
        total[at] = values[window].sum() - values[at]
    return total


def segments(value: NDArray, sigma: NDArray, penalty: float, shortest: int) -> list[int]:
    """Where segments begin in the best of all segmentations, tried one by one."""
    n, best, found = len(value), np.inf, []
    costs = {}
    for first, stop in itertools.combinations(range(n + 1), 2):
        one, weight = value[first:stop], 1 / sigma[first:stop] ** 2
        costs[first, stop] = (weight * (one - np.average(one, weights=weight)) ** 2).sum()
    for mask in range(2 ** max(n - 1, 0)):
        begins = [k for k in range(1, n) if mask >> (k - 1) & 1]
        pieces = list(itertools.pairwise([0, *begins, n])) if n else []
        if any(stop - first < shortest for first, stop in pieces):
            continue
        cost = penalty * len(begins) + sum(costs[piece] for piece in pieces)
        if cost < best - 1e-9:
            best, found = cost, begins
    return found
