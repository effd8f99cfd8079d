"""How improbable a score is, told those of good reports: counted among them, extrapolated beyond."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["chances"]

Floats = NDArray[np.float64]
LEAST = 20  # scores from which on there is a tail to fit
_SHARE = 5  # every fifth belongs to it, but at least ten
_SHAPES = np.linspace(-0.25, 0.5, 31)
_SCALES = np.geomspace(0.2, 5.0, 41)  # by the mean excess
_LEVEL = 0.9


def chances(known: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Chance that a good report scores as high, and the ends of the 90 % interval of that chance.

    Up to the highest fifth of the known scores it is counted: (1 + as high) / (1 + all), which holds for any
    distribution if the new report is like the known ones (Vovk, Gammerman, Shafer, Algorithmic Learning in a Random
    World, 2005, sect. 2.2), with Clopper and Pearson's interval. Beyond, excesses follow a generalised Pareto
    distribution (Pickands, Ann. Statist. 3 (1975) 119) whose shape may be -0.25 to 0.5; the chance is the mean over all
    shapes and scales by their likelihood, not that of the best, so that few known scores do not claim what they cannot
    tell, and that nothing is impossible.

    Parameters
    ----------
    known
        Scores of good reports that the model had not seen, ``(report,)``; NaN is left out.
    scores
        Any shape; NaN gives NaN.

    Returns
    -------
    :
        Chance, low end, high end. With fewer than 20 known scores nothing is extrapolated; with none all are NaN.
    """
    ordered = np.sort(known[np.isfinite(known)])
    n, x = len(ordered), np.asarray(scores, dtype=np.float64)
    if n == 0:
        nothing = np.full(x.shape, np.nan)
        return nothing, nothing, nothing
    above = n - np.searchsorted(ordered, x, side="left")
    p = (1.0 + above) / (1.0 + n)
    tail = (1 - _LEVEL) / 2
    low = np.where(above > 0, stats.beta.ppf(tail, np.maximum(above, 1), n - above + 1), 0.0)
    high = np.where(above < n, stats.beta.ppf(1 - tail, above + 1, np.maximum(n - above, 1)), 1.0)
    if n >= LEAST:
        members = max(10, n // _SHARE)
        threshold = ordered[n - members - 1]
        far = x > threshold
        p[far], low[far], high[far] = _beyond(ordered[n - members :] - threshold, x[far] - threshold, n)
    unknown = np.isnan(x)
    return np.where(unknown, np.nan, p), np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def _beyond(excess: Floats, x: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """The same for excesses over the threshold, of which there are some among ``n`` known scores."""
    rate, mean = (1.0 + len(excess)) / (1.0 + n), float(excess.mean())
    if mean <= 0:  # all the same: what is higher has not been seen
        low = np.where(x > 0, 0.0, rate)
        return np.where(x > 0, 1 / (1.0 + n), rate), low, np.full(x.shape, rate)
    shape, scale = (grid.ravel() for grid in np.meshgrid(_SHAPES, _SCALES * mean, indexing="ij"))
    likely = stats.genpareto.logpdf(excess[:, None], shape, scale=scale).sum(axis=0)
    weight = np.exp(likely - likely.max())
    weight /= weight.sum()
    left = stats.genpareto.sf(x[:, None], shape, scale=scale)
    order = np.argsort(left, axis=1)
    grown = np.cumsum(weight[order], axis=1)
    ends = []
    for level in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2):
        at = np.minimum((grown < level).sum(axis=1), len(weight) - 1)
        ends.append(rate * left[np.arange(len(x)), order[np.arange(len(x)), at]])
    return rate * (left @ weight), ends[0], ends[1]
