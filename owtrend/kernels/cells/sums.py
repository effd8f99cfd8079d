"""Sums over bins, always in the same order."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["summed", "summed_within"]


@compiled
def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the bins of ``(bin, time)``, bin after bin.

    NumPy chooses the order by shape and strides, and so the last digit of a row would depend on the rows around it.
    """
    total = np.zeros(values.shape[1])
    for row in values:
        for t in range(len(total)):
            total[t] += row[t]
    return total


@compiled
def summed_within(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the last dim of ``(time, bin, other)``, one after the other; shape ``(bin, time)``."""
    total = np.zeros((values.shape[1], values.shape[0]))
    for t in range(values.shape[0]):
        for number in range(values.shape[1]):
            for other in range(values.shape[2]):
                total[number, t] += values[t, number, other]
    return total
