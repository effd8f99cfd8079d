"""Slow, plain twins of the kernels; shared by tests and benchmarks."""

import itertools
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


def bin_sums(gained: NDArray, shape: Sequence[int], centres: Sequence[NDArray]) -> list[float]:
    """tsumw, tsumw2, tsumwx, tsumwx2, tsumwy, ... of one row of gained cells, in range; ``shape`` without flow."""
    sums = [0.0] * 8
    strides = np.cumprod([1, *(n + 2 for n in shape[:-1])])
    for bins in itertools.product(*(range(1, n + 1) for n in shape)):
        content = float(gained[int(np.dot(bins, strides))])
        sums[0] += content
        sums[1] += abs(content)
        for axis, bin_ in enumerate(bins):
            sums[2 + 2 * axis] += content * centres[axis][bin_ - 1]
            sums[3 + 2 * axis] += content * centres[axis][bin_ - 1] ** 2
    return sums


def mean_and_std_trend(cumulative: NDArray, centres: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of the increments of (time, bin) contents, the plain NumPy way."""
    gained = np.diff(cumulative, axis=0, prepend=0)
    total = gained.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (gained * centres).sum(axis=1) / total
        std = np.sqrt((gained * centres**2).sum(axis=1) / total - mean**2)
    return mean, std
