"""Steps noticed while points come in: each from the points up to it, never from later ones."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.series.noise import noise

__all__ = ["alarms"]

BEFORE = 10  # points at the old level that a step needs
AFTER = 3  # points at the new one
WINDOW = 60  # how far back a step is looked for
LEARNED = 20  # points before the first alarm where errors are not given
_CLIP = 3.0  # sigma from the median of the last points at which a point counts no further
_NEAR = 25  # those points
_KNOWN = 200  # points that the noise is taken from
_ANEW = 5  # how often
_UNSURE = 8.0  # by how many / (points of the noise) a threshold is raised where the noise is estimated


@compiled
def alarms(
    value: NDArray[np.float64], error: NDArray[np.float64], given: bool, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """When a step is noticed, point by point.

    At each point the generalised likelihood ratio of two levels against one since the last step, the greatest over all
    places of the step in the last 60 points; both levels unknown, errors as of `owtrend.kernels.series.noise.noise` of
    the points so far.

    Returns
    -------
    :
        ``raised``, the point at which each alarm came; ``begins``, the first point after the step as it looked then;
        ``strength``, the ratio, chi2 gained.

    References
    ----------
    Hawkins, Qiu, Kang, J. Quality Technology 35 (2003) 355; Siegmund, Venkatraman, Ann. Stat. 23 (1995) 255.
    """
    n = len(value)
    raised, begins, strength = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    found, reset = 0, 0
    x = np.empty(n)
    factor, estimated = 1.0, not given
    for t in range(n):
        if t < LEARNED or t % _ANEW == 0:
            first = max(0, t + 1 - _KNOWN)
            factor, _, estimated = noise(value[first : t + 1], error[first : t + 1], given)
        x[t] = value[t]
        if t - reset >= 5:
            near = np.median(value[max(reset, t - _NEAR) : t])
            reach = _CLIP * factor * max(error[t], np.median(error[max(reset, t - _NEAR) : t]))
            x[t] = min(max(value[t], near - reach), near + reach)
        if t - reset + 1 < BEFORE + AFTER or (not given and t + 1 < LEARNED):
            continue
        w = wx = whole = whole_x = 0.0
        for i in range(reset, t + 1):
            whole += 1 / error[i] ** 2
            whole_x += x[i] / error[i] ** 2
        best, where = 0.0, t
        for k in range(t, max(reset + BEFORE, t + 1 - WINDOW) - 1, -1):
            w += 1 / error[k] ** 2
            wx += x[k] / error[k] ** 2
            if k > t + 1 - AFTER:
                continue
            ratio = (wx - whole_x * w / whole) ** 2 * whole / (w * (whole - w))
            if ratio > best:
                best, where = ratio, k
        best /= factor**2
        limit = threshold
        if estimated:
            limit *= 1 + _UNSURE / min(t + 1, _KNOWN)
        if best >= limit:
            raised[found], begins[found], strength[found] = t, where, best
            found += 1
            reset = where
    return raised[:found], begins[:found], strength[:found]
