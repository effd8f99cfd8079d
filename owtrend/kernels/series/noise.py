"""Scatter of the points of a trend around a level that may move now and then, from successive differences."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.series.mad import nan_median

__all__ = ["clipped", "noise", "spread", "usable_errors"]

_CUT = 2.5  # winsorising point of differences, in sigma
_CONSISTENT = 1 / 0.977560  # 1 / E[min(Z**2, _CUT**2)] of a normal Z
_SCALE_EXCESS = 2.0  # by how many / sqrt(n) the scatter must exceed the errors before they are enlarged
_LAG_EXCESS = 4.0  # by how many / sqrt(n) a correlation must exceed zero before it counts
_MOST_CORRELATED = 0.9


def usable_errors(value: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Errors all positive and finite, and whether they are real.

    A point without one (NaN, 0, infinite) gets the median of the others; when more than half have none, all are 1.
    """
    n = len(value)
    good = np.isfinite(error) & (error > 0)
    if 2 * good.sum() < n or n == 0:
        return np.ones(n), False
    return np.where(good, error, np.median(error[good])), True


@compiled
def spread(differences: NDArray[np.float64]) -> float:
    """Robust standard deviation about zero: winsorised at 2.5 sigma, consistent for normal numbers.

    Its relative error is that of a plain standard deviation times 1.03; one in five gross outliers do not break it.
    Where more than two thirds are 0 it is their root mean square.
    """
    size = len(differences)
    if size == 0:
        return 0.0
    square = np.sort(differences**2)
    s2 = square[min(size - 1, int(0.6827 * size))]
    if s2 == 0:
        return np.sqrt(square.mean())
    for _ in range(20):
        before, limit, total = s2, _CUT**2 * s2, 0.0
        for one in square:
            total += min(one, limit)
        s2 = _CONSISTENT * total / size
        if abs(s2 - before) < 1e-9 * before:
            break
    return np.sqrt(s2)


@compiled
def noise(value: NDArray[np.float64], error: NDArray[np.float64], given: bool) -> tuple[float, float, bool]:
    """By which factor errors must be multiplied to be those of independent points.

    Parameters
    ----------
    value, error
        Shape ``(point,)``, in order of time, of `usable_errors`.
    given
        Whether the errors are real. Then they are enlarged only where the scatter of successive differences exceeds
        them by more than chance does (in one series of a hundred).

    Returns
    -------
    :
        ``factor``; ``correlation`` from one point to the next, 0 where it is not significant and positive;
        ``estimated``: whether the factor was taken from the points rather than 1.

    Notes
    -----
    With phi the lag-1 correlation, the variance of differences at lag 2 is (1 + phi) times that at lag 1
    (Chakar et al., Bernoulli 23 (2017) 1408, eq. 4), whatever the level does at a few points; the variance of a mean
    is then that of independent points times (1 + phi) / (1 - phi).
    """
    n = len(value)
    if n < 4:
        return 1.0, 0.0, not given
    one = spread((value[1:] - value[:-1]) / np.sqrt(error[1:] ** 2 + error[:-1] ** 2))
    two = spread((value[2:] - value[:-2]) / np.sqrt(error[2:] ** 2 + error[:-2] ** 2))
    if one == 0:
        return 1.0, 0.0, not given
    phi = min((two / one) ** 2 - 1, _MOST_CORRELATED)
    if phi < _LAG_EXCESS / np.sqrt(n):
        phi = 0.0
    scale = one * np.sqrt(1 + phi) / (1 - phi)
    if given and phi == 0 and one < 1 + _SCALE_EXCESS / np.sqrt(n):
        return 1.0, 0.0, False
    return scale, phi, True


def clipped(value: NDArray[np.float64], sigma: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Values no further than ``limit`` sigma from the median of the five around them (fewer at the ends).

    Sigma is the largest of the five: a precise point is not drawn to poor ones. A step of at least three points keeps
    its place; a lone spike does not pass for one.
    """
    if not len(value):
        return value.copy()
    reach = 2 if len(value) > 4 else 1
    padded = np.pad([value, sigma], ((0, 0), (reach, reach)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    middle, most = nan_median(around[0].T), limit * np.nanmax(around[1], axis=1)
    return np.minimum(np.maximum(value, middle - most), middle + most)
