"""P-value of a score given the scores of good reports: counted among them, extrapolated beyond."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["tail_probability"]

Floats = NDArray[np.float64]
LEAST = 20  # scores needed to fit a tail
_TAIL, _TAIL_LEAST = 5, 10  # the tail is the highest fifth, but at least ten
_SHAPES = np.linspace(-0.25, 0.5, 31)
_SCALES = np.geomspace(0.2, 5.0, 41)  # in units of the mean excess
_LEVEL = 0.9


def tail_probability(known: Floats, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Probability that a good report scores as high, and the ends of its 90 % interval.

    Up to the highest fifth of the known scores it is counted: (1 + as high) / (1 + all), which holds for any
    distribution if the new report is like the known ones (Vovk, Gammerman, Shafer, Algorithmic Learning in a Random
    World, 2005, sect. 2.2), with Clopper and Pearson's interval. Beyond, excesses follow a generalised Pareto
    distribution (Pickands, Ann. Statist. 3 (1975) 119) with shape -0.25 to 0.5. The probability is averaged over shapes
    and scales with their likelihood: the best fit alone would claim too much from few known scores, and could be 0.

    Parameters
    ----------
    known
        Scores of good reports that the model had not seen, ``(report,)``; NaN is ignored.
    scores
        Any shape; NaN gives NaN.

    Returns
    -------
    :
        Probability, low end, high end. With fewer than 20 known scores nothing is extrapolated; with none all are NaN.
    """
    from scipy import stats

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
        members = max(_TAIL_LEAST, n // _TAIL)
        threshold = ordered[n - members - 1]
        far = x > threshold
        p[far], low[far], high[far] = _beyond(ordered[n - members :] - threshold, x[far] - threshold, n)
    unknown = np.isnan(x)
    return np.where(unknown, np.nan, p), np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def _beyond(excess: Floats, x: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """The same for excesses ``x`` over the threshold, given those of the tail and the number of known scores."""
    from scipy import stats

    rate, mean = (1.0 + len(excess)) / (1.0 + n), float(excess.mean())
    if mean <= 0:  # all equal: no higher score is known
        low = np.where(x > 0, 0.0, rate)
        return np.where(x > 0, 1 / (1.0 + n), rate), low, np.full(x.shape, rate)
    shape, scale = (grid.ravel() for grid in np.meshgrid(_SHAPES, _SCALES * mean, indexing="ij"))
    log_likelihood = stats.genpareto.logpdf(excess[:, None], shape, scale=scale).sum(axis=0)
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    survival = stats.genpareto.sf(x[:, None], shape, scale=scale)
    order = np.argsort(survival, axis=1)
    cumulative = np.cumsum(weight[order], axis=1)
    rows, ends = np.arange(len(x)), []
    for level in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2):
        rank = np.minimum((cumulative < level).sum(axis=1), len(weight) - 1)
        ends.append(rate * survival[rows, order[rows, rank]])
    return rate * (survival @ weight), ends[0], ends[1]
