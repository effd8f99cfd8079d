"""Each point of a trend against those before it: what was to be expected, and how far off it is."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from owtrend.kernels.compiled import compiled
from owtrend.kernels.series.mad import mad_of_pulls

__all__ = ["against_line", "against_mean", "against_median", "chances"]

_EXCESS = 2.5  # by how many / sqrt(n) the scatter must exceed the errors before they are enlarged: 1 in 60 windows
_INFORMATION = 0.45  # degrees of freedom that the MAD of a point is worth, for scores from 3 to 5
_HUBER = 1.5


@compiled
def weighted_median(value: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Where half of the weight lies below; between two points their middle."""
    order = np.argsort(value)
    half, below = weight.sum() / 2, 0.0
    for rank in range(len(order)):
        below += weight[order[rank]]
        if below > half * (1 + 1e-12):
            return value[order[rank]]
        if below >= half * (1 - 1e-12):
            return (value[order[rank]] + value[order[min(rank + 1, len(order) - 1)]]) / 2
    return value[order[-1]]


@compiled
def _scale(pulls: NDArray[np.float64], parameters: int, given: bool) -> tuple[float, float]:
    """By which factor errors are too small, from pulls about a fit, and the degrees of freedom of scores."""
    n = len(pulls)
    scale = mad_of_pulls(pulls) * np.sqrt(n / (n - parameters))
    if given and scale < 1 + _EXCESS / np.sqrt(n):
        return 1.0, np.inf
    return scale, max(1.0, _INFORMATION * (n - parameters))


@compiled
def against_median(
    value: NDArray[np.float64], error: NDArray[np.float64], given: bool, window: int, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Each point against the weighted median and MAD of those before it.

    Parameters
    ----------
    value, error
        Shape ``(point,)``, of `owtrend.kernels.series.noise.usable_errors`; ``given``: whether errors are real. Then
        they are enlarged only where the past scatters more than they allow.
    window
        Points before it; 0: all.
    least
        Fewer points before it give NaN.

    Returns
    -------
    :
        ``expected``: the median with weights 1 / error, where no point counts more than a typical one: errors of counts
        shrink with a fault, and some faulty points would outweigh all others. ``sigma`` of the point about it, the
        uncertainty of the median included; ``freedom`` of Student's t that the score follows, inf for a normal one.
    """
    n = len(value)
    expected, sigma, freedom = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for i in range(max(least, 3), n):
        first = max(0, i - window) if window else 0
        past = value[first:i]
        if len(past) < max(least, 3):
            continue
        typical = np.median(error[first:i])
        its = np.maximum(error[first:i], typical)
        middle = weighted_median(past, 1 / its)
        scale, freedom[i] = _scale((past - middle) / its, 1, given)
        # Scatter beyond the errors does not shrink with them.
        more = (scale**2 - 1) * typical**2
        its = np.sqrt(its**2 + more)
        expected[i] = weighted_median(past, 1 / its)
        sigma[i] = np.sqrt(error[i] ** 2 + more + np.pi / 2 / (1 / its**2).sum())
    return expected, sigma, freedom


@compiled
def against_mean(
    value: NDArray[np.float64], error: NDArray[np.float64], window: int, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Each point against the plain mean of those before it, as TrendCheck of ALICE O2 QualityControl has it.

    Returns
    -------
    :
        ``expected``; ``sigma`` of a point about it, sqrt(max(s**2, error**2) + s**2 / n) with s the standard deviation
        of the n points; ``narrow``: TrendCheck's own, sqrt(s**2 / n + error**2), which leaves out how points scatter
        beyond their errors, so that it alarms on good data.
    """
    n = len(value)
    expected, sigma, narrow = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for i in range(max(least, 2), n):
        past = value[max(0, i - window) : i] if window else value[:i]
        if len(past) < max(least, 2):
            continue
        size = len(past)
        expected[i] = past.mean()
        variance, own = ((past - expected[i]) ** 2).sum() / (size - 1), error[i] ** 2
        sigma[i] = np.sqrt(max(variance, own) + variance / size)
        narrow[i] = np.sqrt(variance / size + own)
    return expected, sigma, narrow


@compiled
def against_line(
    value: NDArray[np.float64], error: NDArray[np.float64], given: bool, cause: NDArray[np.float64], window: int,
    least: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Each point against a line in ``cause``, such as the interaction rate, through those before it.

    The line is fitted with weights 1 / error**2, points beyond 1.5 sigma counting less (Huber). Where the past
    determines no slope, sigma grows with the distance in ``cause``, up to infinity. Parameters and results otherwise as
    of `against_median`.
    """
    n = len(value)
    expected, sigma, freedom = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for i in range(max(least, 4), n):
        first = max(0, i - window) if window else 0
        y, at = value[first:i], cause[first:i]
        if len(y) < max(least, 4):
            continue
        its = np.maximum(error[first:i], np.median(error[first:i]))  # as in `against_median`
        robust, scale = np.ones(len(y)), 1.0
        middle = level = slope = sw = sxx = 0.0
        for _ in range(8):
            w = robust / its**2
            sw = w.sum()
            middle, level = (w * at).sum() / sw, (w * y).sum() / sw
            sxx = (w * (at - middle) ** 2).sum()
            slope = (w * (at - middle) * (y - level)).sum() / sxx if sxx > 1e-18 * sw * (middle**2) else 0.0
            pulls = (y - level - slope * (at - middle)) / its
            scale, freedom[i] = _scale(pulls, 2, given)
            for j in range(len(y)):
                robust[j] = 1.0 if abs(pulls[j]) <= _HUBER * scale else _HUBER * scale / abs(pulls[j])
        away = cause[i] - middle
        far = 0.0 if abs(away) <= 1e-9 * abs(middle) else np.inf
        if sxx > 1e-18 * sw * middle**2:
            far = away**2 / sxx
        expected[i] = level + slope * away
        sigma[i] = scale * np.sqrt(error[i] ** 2 + 1 / sw + far)
    return expected, sigma, freedom


def chances(score: NDArray[np.float64], freedom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a score as far from 0, on either side, by Student's t; NaN stays."""
    far = -np.abs(score)
    with np.errstate(invalid="ignore"):
        return 2 * np.where(np.isinf(freedom), ndtr(far), stdtr(np.where(np.isinf(freedom), 1.0, freedom), far))
