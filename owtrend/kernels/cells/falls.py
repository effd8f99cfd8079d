"""Rows in which a cell is lower than in the row before: fills never lower one."""

import math

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["expected_falls", "fell"]


# Time innermost, as it is fastest in memory; an integer comparison fills whole vectors where a float one fills half.
@compiled
def fell(cells: NDArray[np.generic], tolerance: float) -> NDArray[np.bool_]:
    """True for each row that has a cell below its value in the row before, shape ``(time,)``; NaN never is.

    Parameters
    ----------
    cells
        Shape ``(time, cell)``.
    tolerance
        Relative rounding of the cells, 0 for counts.
    """
    times, size = cells.shape
    lower = np.zeros(times, dtype=np.bool_)
    for c in range(size):
        column = cells[:, c]
        if tolerance == 0:
            for t in range(1, times):
                lower[t] |= column[t] < column[t - 1]
        else:
            for t in range(1, times):
                before = float(column[t - 1])
                lower[t] |= float(column[t]) < before - tolerance * abs(before)
    return lower


def expected_falls(counts: NDArray[np.float64], scale: float) -> float:
    """Number of bins expected to be lower in an independent histogram of the same shape with ``scale`` times the fills.

    Of a bin with n fills it is the chance of a normal variable with mean (scale - 1) n and variance (scale + scale**2)
    n to be below zero. Another shape has more falls.
    """
    filled = counts[counts > 0]
    if not len(filled) or scale <= 0:
        return float(len(filled))
    z = (scale - 1) * np.sqrt(filled) / math.sqrt(scale + scale**2)
    return 0.5 * sum(math.erfc(value / math.sqrt(2)) for value in z.tolist())
