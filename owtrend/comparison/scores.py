"""Scores of a histogram against its reference: a number, its p-value, and the contribution of each bin.

People and configuration name them: ``chi2_ndf``, ``ks``, ``bad_bins(4)``. The numbers in brackets are the arguments
after the first, where they differ from the defaults. A p-value is NaN where none is defined or known.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from owtrend.comparison.exact import chi2_permutation, homogeneity, ks_permutation, min_p
from owtrend.comparison.pair import Pair, Result
from owtrend.errors import NotFoundError, UsageError
from owtrend.kernels.two_sample import statistics as kernels

__all__ = ["DEFAULT", "SCORES", "by_name", "parse", "worst_bins"]

Floats = NDArray[np.float64]


def chi2_ndf(pair: Pair) -> Result:
    """Chi2 per degree of freedom and its probability (``TH1::Chi2Test``; AutoDQM's is `mean_pull2`)."""
    chi2, ndf, _ = pair.chi2
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(np.where(ndf > 0, chi2 / ndf, np.nan), kernels.chi2_probability(chi2, ndf), pair.pulls)


def ks(pair: Pair) -> Result:
    """Kolmogorov distance, averaged over all orders of the axes, and its probability (``KolmogorovTest``).

    Uses the effective entries of both. ROOT 6.40 uses the sum of weights instead: of the reference in two dimensions,
    of both in three, where it also divides the distance by 6.
    """
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    data, variance, reference, reference_variance = pair.flat
    distance = pair.against_reference(
        lambda rows, scaled: kernels.kolmogorov(
            np.ascontiguousarray(rows.reshape(len(rows), -1)), scaled.ravel(), pair.shape
        )
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        n, m = data.sum(axis=1) ** 2 / variance.sum(axis=1), reference.sum() ** 2 / reference_variance.sum()
    return Result(distance, kernels.kolmogorov_probability(distance, n, float(m)), pair.pulls)


def emd(pair: Pair) -> Result:
    """Earth mover's distance along the axis where it is largest, as a fraction of the axis; no p-value.

    In 2-D and 3-D the distance of the projections, a lower bound of the full distance.
    """
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    distances = []
    for number, axis in enumerate(pair.axes):
        others = tuple(other for other in range(len(pair.shape)) if other != number)
        moved = pair.against_reference(partial(_transport, others, axis.centres))
        distances.append(moved / (axis.edges[-1] - axis.edges[0]))
    return Result(np.max(distances, axis=0), pair.missing, pair.pulls)


def js(pair: Pair) -> Result:
    """Jensen-Shannon distance, base 2: from 0, the same shape, to 1, no bin in common; no p-value."""
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    distance = pair.against_reference(
        lambda rows, scaled: kernels.jensen_shannon(rows.reshape(len(rows), -1), scaled.ravel())
    )
    return Result(distance, pair.missing, pair.pulls)


def max_pull(pair: Pair) -> Result:
    """The largest |pull|, and the probability of one as large in any of the bins used (trials factor)."""
    largest = _largest(pair.pulls)
    return Result(largest, kernels.look_elsewhere(kernels.two_sided(largest), pair.used), pair.pulls)


def mean_pull2(pair: Pair) -> Result:
    """Mean squared pull of the bins used, which AutoDQM cuts on; no p-value, as its pulls are slightly too small."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.nansum(pair.pulls.reshape(len(pair.data), -1) ** 2, axis=1)
        return Result(np.where(pair.used > 0, total / pair.used, np.nan), pair.missing, pair.pulls)


def bad_bins(pair: Pair, limit: float = 5.0) -> Result:
    """Number of bins with |pull| > limit, and the probability of as many by chance."""
    bad = np.abs(pair.pulls) > limit
    count, chance = pair.count_bins(bad), float(kernels.two_sided(np.array([limit]))[0])
    p = kernels.at_least(count, pair.used, chance)
    return Result(count.astype(np.float64), p, np.where(bad, pair.pulls, 0.0))


def deviation(pair: Pair) -> Result:
    """Sum of |value - reference| over the sum of |reference|, scaled.

    O2's mean relative deviation, except that bins empty in the reference count.
    """
    difference = np.abs(pair.data - pair.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = len(pair.data)
        total = np.nansum(np.abs(pair.expected).reshape(rows, -1), axis=1)
        return Result(np.nansum(difference.reshape(rows, -1), axis=1) / total, pair.missing, pair.data - pair.expected)


def empty(pair: Pair) -> Result:
    """1 if the slice, or one of its components, is empty in range where the reference is not, else 0.

    The p-value, where the scale t is known: for counts (1 + t)**-r, the probability that none of r fills in all belongs
    to the slice; for weighted contents exp(-expected), as for Poisson counts.
    """
    rows, in_component = len(pair.data), np.eye(pair.scale.shape[1])[pair.component]
    data, _, reference, _ = pair.flat
    filled = np.nan_to_num(np.abs(reference)) @ in_component
    silent = (((data != 0) & ~np.isnan(data)) @ in_component == 0) & (filled > 0)
    value = silent.any(axis=1)
    p = pair.missing
    if pair.scale_known and pair.kind == "UU":
        p = np.exp(-np.log1p(pair.scale[:, 0]) * reference.sum())
    elif pair.scale_known and pair.kind != "values":
        p = np.exp(-pair.expected.reshape(rows, -1).sum(axis=1))
    nothing = pair.count_bins((pair.data != 0) & ~np.isnan(pair.data)) == 0
    expected = reference * np.maximum(pair.scale.max(axis=1, keepdims=True), 0)
    missing = np.where(silent[:, pair.component], -expected, 0.0).reshape(pair.data.shape)
    return Result(value.astype(np.float64), np.where(nothing, p, np.where(value, np.nan, 1.0)), missing)


def stalled(pair: Pair) -> Result:
    """Number of rows in a row, this one included, without any fill: a component that does not report."""
    length, lengths = 0, []
    for entries in pair.entries:
        length = length + 1 if entries <= 0 else 0
        lengths.append(np.nan if np.isnan(entries) else length)
    return Result(np.array(lengths, dtype=np.float64), pair.missing, np.zeros_like(pair.pulls))


def outside(pair: Pair, low: float, high: float) -> Result:
    """Number of bins with a content outside ``[low, high]`` (CMS ContentsYRange, ATLAS bin thresholds)."""
    wrong = (pair.data < low) | (pair.data > high)
    return Result(pair.count_bins(wrong).astype(np.float64), pair.missing, np.where(wrong, pair.data, 0.0))


def x_outside(pair: Pair, low: float, high: float) -> Result:
    """Fraction of the content in bins whose centre along x is outside ``[low, high]`` (CMS ContentsXRange)."""
    return _axis_outside(pair, 0, low, high)


def y_outside(pair: Pair, low: float, high: float) -> Result:
    """Fraction of the content in bins whose centre along y is outside ``[low, high]``."""
    return _axis_outside(pair, 1, low, high)


def dead(pair: Pair, limit: float = 5.0, reach: float = 1) -> Result:
    """Number of empty bins with a pull below -limit against the mean of their neighbours within ``reach``.

    The reference is not used (CMS DeadChannel, which counts any empty bin).
    """
    pulls = _neighbour_pulls(pair, int(reach))
    wrong = (pair.data == 0) & (pulls < -limit)
    return Result(pair.count_bins(wrong).astype(np.float64), pair.missing, np.where(wrong, pulls, 0.0))


def noisy(pair: Pair, limit: float = 5.0, reach: float = 1) -> Result:
    """Number of bins with a pull above limit against the mean of their neighbours (CMS NoisyChannel, in errors)."""
    pulls = _neighbour_pulls(pair, int(reach))
    return Result(pair.count_bins(pulls > limit).astype(np.float64), pair.missing, np.where(pulls > limit, pulls, 0.0))


def strip_median(pair: Pair, limit: float = 5.0) -> Result:
    """Number of bins more than limit errors from the median of their strip (ATLAS BinsDiffFromStripMedian).

    A strip is all bins with the same x; in 1-D all bins. The error of a bin is at least the error of the median.
    """
    axes = tuple(range(2, pair.data.ndim)) if pair.data.ndim > 2 else (1,)
    median = np.nanmedian(pair.data, axis=axes, keepdims=True)
    rows = len(pair.data)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = pair.variance.reshape(rows, -1).sum(axis=1) / np.abs(pair.data.reshape(rows, -1).sum(axis=1))
        floor = 0.0 if pair.kind == "values" else weight.reshape(-1, *_ones(pair)) * np.abs(median)
        pulls = (pair.data - median) / np.sqrt(np.maximum(pair.variance, floor))
    wrong = np.abs(pulls) > limit
    return Result(pair.count_bins(wrong).astype(np.float64), pair.missing, np.where(wrong, pulls, 0.0))


SCORES: dict[str, Callable[..., Result]] = {
    "chi2_ndf": chi2_ndf,
    "ks": ks,
    "emd": emd,
    "js": js,
    "max_pull": max_pull,
    "mean_pull2": mean_pull2,
    "bad_bins": bad_bins,
    "homogeneity": homogeneity,
    "chi2_permutation": chi2_permutation,
    "ks_permutation": ks_permutation,
    "min_p": min_p,
    "deviation": deviation,
    "empty": empty,
    "stalled": stalled,
    "outside": outside,
    "x_outside": x_outside,
    "y_outside": y_outside,
    "dead": dead,
    "noisy": noisy,
    "strip_median": strip_median,
}
DEFAULT = ("chi2_ndf", "ks", "emd", "js", "max_pull", "bad_bins", "empty")
_SPEC = re.compile(r"(?P<name>\w+)(?:\((?P<inside>.*)\))?")


def parse(spec: str) -> Callable[[Pair], Result]:
    """Score by a name such as ``ks`` or ``outside(0, 100)``.

    Raises
    ------
    NotFoundError
        If there is no such score; the text lists those there are.
    UsageError
        If the numbers in brackets are not those that the score takes.
    """
    match = _SPEC.fullmatch(spec.strip())
    if not match or match["name"] not in SCORES:
        raise NotFoundError(f"no score {spec!r}; there are {', '.join(SCORES)}")
    function = SCORES[match["name"]]
    parameters = list(inspect.signature(function).parameters.values())[1:]
    texts = [text for text in (match["inside"] or "").split(",") if text.strip()]
    required = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if len(numbers) != len(texts) or not required <= len(texts) <= len(parameters):
        wants = ", ".join(parameter.name for parameter in parameters) or "nothing"
        raise UsageError(f"{spec!r}: expected {wants} in the brackets, as numbers")
    return lambda pair: function(pair, *numbers)


def _largest(pulls: Floats) -> Floats:
    flat = np.abs(pulls.reshape(len(pulls), -1))
    return np.where(np.isfinite(flat).any(axis=1), np.nanmax(np.where(np.isnan(flat), -1, flat), axis=1), np.nan)


def _ones(pair: Pair) -> tuple[int, ...]:
    return (1,) * len(pair.shape)


def _transport(others: tuple[int, ...], centres: Floats, rows: Floats, reference: Floats) -> Floats:
    """Earth mover's distance along one axis; ``others`` are summed over."""
    return kernels.transport(rows.sum(axis=tuple(1 + other for other in others)), reference.sum(axis=others), centres)


def _axis_outside(pair: Pair, axis: int, low: float, high: float) -> Result:
    if axis >= len(pair.shape) or pair.kind == "values":
        return Result(pair.missing, pair.missing, np.zeros_like(pair.pulls))
    centres = pair.axes[axis].centres
    lines = pair.data.sum(axis=tuple(1 + other for other in range(len(pair.shape)) if other != axis))
    wrong = (centres < low) | (centres > high)
    contents = np.where(wrong.reshape(-1, *(1,) * (len(pair.shape) - 1 - axis)), pair.data, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(lines[:, wrong].sum(axis=1) / lines.sum(axis=1), pair.missing, contents)


def _neighbour_pulls(pair: Pair, reach: int) -> Floats:
    """Pull of each bin against the mean of its neighbours."""
    sums, number = kernels.neighbours(np.nan_to_num(pair.data), reach)
    if pair.kind in ("UU", "UW"):
        rows, scale = len(pair.data), 1 / number[:1].ravel()
        pulls = [
            kernels.exact_pulls(pair.data[t].reshape(-1, 1), sums[t].reshape(-1, 1), scale)[:, 0] for t in range(rows)
        ]
        return np.stack(pulls).reshape(pair.data.shape)
    variances, _ = kernels.neighbours(np.nan_to_num(pair.variance), reach)
    error = np.maximum(pair.variance, variances / number) + variances / number**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, (pair.data - sums / number) / np.sqrt(error), 0.0)


def worst_bins(contribution: Floats, ranks: int) -> tuple[NDArray[np.intp], Floats]:
    """Flat numbers of the bins that contribute most, and their contributions, largest first, each ``(time, rank)``.

    Bin -1 and NaN where no further bin contributes.
    """
    flat = contribution.reshape(len(contribution), -1)
    flat = np.where(np.isnan(flat), 0.0, flat)
    ranks = min(ranks, flat.shape[1])
    size = np.abs(flat)
    near = np.argpartition(-size, ranks - 1, axis=1)[:, :ranks] if ranks else np.empty((len(flat), 0), np.intp)
    order = np.take_along_axis(near, np.argsort(-np.take_along_axis(size, near, axis=1), axis=1, kind="stable"), axis=1)
    largest = np.take_along_axis(flat, order, axis=1)
    return np.where(largest == 0, -1, order), np.where(largest == 0, np.nan, largest)


def by_name(specs: Sequence[str] | None) -> Mapping[str, Callable[[Pair], Result]]:
    """The requested scores by name; the default ones if None."""
    return {spec: parse(spec) for spec in (DEFAULT if specs is None else specs)}
