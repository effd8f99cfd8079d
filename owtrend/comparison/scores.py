"""Scores: a histogram beside its reference -> a number, its p-value, and which bins are to blame.

Their names are what people type and configuration holds: ``chi2_ndf``, ``ks``, ``bad_bins(4)``. What stands in the
brackets are the arguments behind the first, with defaults where they have any. A p-value is NaN where chance has no
say, or none that is known.
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

__all__ = ["DEFAULT", "SCORES", "names", "parse", "worst"]

Floats = NDArray[np.float64]


def chi2_ndf(pair: Pair) -> Result:
    """Chi2 by its degrees of freedom and its probability (``TH1::Chi2Test``; AutoDQM's is `mean_pull2`)."""
    chi2, ndf, _ = pair.chi2
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(np.where(ndf > 0, chi2 / ndf, np.nan), kernels.chi2_probability(chi2, ndf), pair.pulls)


def ks(pair: Pair) -> Result:
    """Kolmogorov distance, along all orders of the axes, and its probability (``KolmogorovTest``).

    With effective entries of both; ROOT 6.40 takes the sum of weights of the reference for them in two dimensions, and
    of both in three, where it also divides the distance by 6.
    """
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    data, variance, reference, its = pair.flat
    distance = pair.beside(
        lambda rows, one: kernels.kolmogorov(np.ascontiguousarray(rows.reshape(len(rows), -1)), one.ravel(), pair.shape)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        n, m = data.sum(axis=1) ** 2 / variance.sum(axis=1), reference.sum() ** 2 / its.sum()
    return Result(distance, kernels.kolmogorov_probability(distance, n, float(m)), pair.pulls)


def emd(pair: Pair) -> Result:
    """Earth mover's distance along the axis where it is largest, as a share of the axis; no p-value.

    In 2-D and 3-D that of the projections, which the distance in the plane is never less than.
    """
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    found = []
    for number, axis in enumerate(pair.axes):
        others = tuple(other for other in range(len(pair.shape)) if other != number)
        moved = pair.beside(partial(_transport, others, axis.centres))
        found.append(moved / (axis.edges[-1] - axis.edges[0]))
    return Result(np.max(found, axis=0), pair.missing, pair.pulls)


def js(pair: Pair) -> Result:
    """Jensen-Shannon distance, base 2: from 0, the same shape, to 1, no bin in common; no p-value."""
    if pair.kind == "values":
        return Result(pair.missing, pair.missing, pair.pulls)
    distance = pair.beside(lambda rows, one: kernels.jensen_shannon(rows.reshape(len(rows), -1), one.ravel()))
    return Result(distance, pair.missing, pair.pulls)


def max_pull(pair: Pair) -> Result:
    """The largest |pull|, and the probability of one as large in any of the bins used (look-elsewhere)."""
    largest = _largest(pair.pulls)
    return Result(largest, kernels.look_elsewhere(kernels.two_sided(largest), pair.used), pair.pulls)


def mean_pull2(pair: Pair) -> Result:
    """Mean squared pull of the bins used, which AutoDQM cuts on; no p-value, as its pulls are a little small."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.nansum(pair.pulls.reshape(len(pair.data), -1) ** 2, axis=1)
        return Result(np.where(pair.used > 0, total / pair.used, np.nan), pair.missing, pair.pulls)


def bad_bins(pair: Pair, limit: float = 5.0) -> Result:
    """How many bins have |pull| > limit, and the probability of as many by chance."""
    bad = np.abs(pair.pulls) > limit
    count, chance = pair.count(bad), float(kernels.two_sided(np.array([limit]))[0])
    p = kernels.at_least(count, pair.used, chance)
    return Result(count.astype(np.float64), p, np.where(bad, pair.pulls, 0.0))


def deviation(pair: Pair) -> Result:
    """Sum of |value - reference| by that of |reference|, scaled: O2's mean relative deviation, but a bin that
    is empty in the reference counts.
    """
    off = np.abs(pair.data - pair.expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = len(pair.data)
        total = np.nansum(np.abs(pair.expected).reshape(rows, -1), axis=1)
        return Result(np.nansum(off.reshape(rows, -1), axis=1) / total, pair.missing, pair.data - pair.expected)


def empty(pair: Pair) -> Result:
    """1 if nothing is in range where the reference has something, else 0; of components, if one of them has nothing.

    The p-value, where the scale t is known: of counts (1 + t)**-r, the probability that of r fills in all none is the
    slice's; of weighted contents that of Poisson counts, exp(-expected).
    """
    rows, of = len(pair.data), np.eye(pair.scale.shape[1])[pair.of]
    data, _, reference, _ = pair.flat
    filled = np.nan_to_num(np.abs(reference)) @ of
    silent = (((data != 0) & ~np.isnan(data)) @ of == 0) & (filled > 0)
    value = silent.any(axis=1)
    p = pair.missing
    if pair.known and pair.kind == "UU":
        p = np.exp(-np.log1p(pair.scale[:, 0]) * reference.sum())
    elif pair.known and pair.kind != "values":
        p = np.exp(-pair.expected.reshape(rows, -1).sum(axis=1))
    nothing = pair.count((pair.data != 0) & ~np.isnan(pair.data)) == 0
    blame = np.where(silent[:, pair.of], -reference * np.maximum(pair.scale.max(axis=1, keepdims=True), 0), 0.0)
    return Result(
        value.astype(np.float64), np.where(nothing, p, np.where(value, np.nan, 1.0)), blame.reshape(pair.data.shape)
    )


def stalled(pair: Pair) -> Result:
    """For how many rows, this one included, nothing was filled anywhere: a component that does not report."""
    run, runs = 0, []
    for gained in pair.entries:
        run = run + 1 if gained <= 0 else 0
        runs.append(np.nan if np.isnan(gained) else run)
    return Result(np.array(runs, dtype=np.float64), pair.missing, np.zeros_like(pair.pulls))


def outside(pair: Pair, low: float, high: float) -> Result:
    """How many bins have a content outside ``[low, high]`` (CMS ContentsYRange, ATLAS bin thresholds)."""
    wrong = (pair.data < low) | (pair.data > high)
    return Result(pair.count(wrong).astype(np.float64), pair.missing, np.where(wrong, pair.data, 0.0))


def x_outside(pair: Pair, low: float, high: float) -> Result:
    """Share of the content in bins whose centre along x is outside ``[low, high]`` (CMS ContentsXRange)."""
    return _axis_outside(pair, 0, low, high)


def y_outside(pair: Pair, low: float, high: float) -> Result:
    """Share of the content in bins whose centre along y is outside ``[low, high]``."""
    return _axis_outside(pair, 1, low, high)


def dead(pair: Pair, limit: float = 5.0, reach: float = 1) -> Result:
    """How many empty bins there are whose neighbours within ``reach`` say that they should not be.

    Empty with a pull below -limit; without a look at the reference (CMS DeadChannel, which takes any empty bin).
    """
    pulls = _beside_neighbours(pair, int(reach))
    wrong = (pair.data == 0) & (pulls < -limit)
    return Result(pair.count(wrong).astype(np.float64), pair.missing, np.where(wrong, pulls, 0.0))


def noisy(pair: Pair, limit: float = 5.0, reach: float = 1) -> Result:
    """How many bins have a pull above limit against the mean of their neighbours (CMS NoisyChannel, in errors)."""
    pulls = _beside_neighbours(pair, int(reach))
    return Result(pair.count(pulls > limit).astype(np.float64), pair.missing, np.where(pulls > limit, pulls, 0.0))


def strip_median(pair: Pair, limit: float = 5.0) -> Result:
    """How many bins are more than limit errors from the median of their strip (ATLAS BinsDiffFromStripMedian).

    A strip is all bins with the same x; in 1-D all bins. The error of a bin is at least that which the median has.
    """
    axes = tuple(range(2, pair.data.ndim)) if pair.data.ndim > 2 else (1,)
    median = np.nanmedian(pair.data, axis=axes, keepdims=True)
    rows = len(pair.data)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = pair.variance.reshape(rows, -1).sum(axis=1) / np.abs(pair.data.reshape(rows, -1).sum(axis=1))
        floor = 0.0 if pair.kind == "values" else weight.reshape(-1, *_ones(pair)) * np.abs(median)
        pulls = (pair.data - median) / np.sqrt(np.maximum(pair.variance, floor))
    wrong = np.abs(pulls) > limit
    return Result(pair.count(wrong).astype(np.float64), pair.missing, np.where(wrong, pulls, 0.0))


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
    """The score of a name such as ``ks`` or ``outside(0, 100)``.

    Raises
    ------
    NotFoundError
        If there is no such score; the text lists those there are.
    UsageError
        If what stands in the brackets are not the numbers that it takes.
    """
    match = _SPEC.fullmatch(spec.strip())
    if not match or match["name"] not in SCORES:
        raise NotFoundError(f"no score {spec!r}; there are {', '.join(SCORES)}")
    function = SCORES[match["name"]]
    takes = list(inspect.signature(function).parameters.values())[1:]
    told = [text for text in (match["inside"] or "").split(",") if text.strip()]
    least = sum(one.default is inspect.Parameter.empty for one in takes)
    try:
        numbers = [float(text) for text in told]
    except ValueError:
        numbers = []
    if len(numbers) != len(told) or not least <= len(told) <= len(takes):
        wants = ", ".join(one.name for one in takes) or "nothing"
        raise UsageError(f"{spec!r}: expected {wants} in the brackets, as numbers")
    return lambda pair: function(pair, *numbers)


def _largest(pulls: Floats) -> Floats:
    flat = np.abs(pulls.reshape(len(pulls), -1))
    return np.where(np.isfinite(flat).any(axis=1), np.nanmax(np.where(np.isnan(flat), -1, flat), axis=1), np.nan)


def _ones(pair: Pair) -> tuple[int, ...]:
    return (1,) * len(pair.shape)


def _transport(others: tuple[int, ...], centres: Floats, rows: Floats, one: Floats) -> Floats:
    """Along the axis that is none of the others."""
    return kernels.transport(rows.sum(axis=tuple(1 + other for other in others)), one.sum(axis=others), centres)


def _axis_outside(pair: Pair, axis: int, low: float, high: float) -> Result:
    if axis >= len(pair.shape) or pair.kind == "values":
        return Result(pair.missing, pair.missing, np.zeros_like(pair.pulls))
    centres = pair.axes[axis].centres
    lines = pair.data.sum(axis=tuple(1 + other for other in range(len(pair.shape)) if other != axis))
    wrong = (centres < low) | (centres > high)
    blamed = np.where(wrong.reshape(-1, *(1,) * (len(pair.shape) - 1 - axis)), pair.data, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Result(lines[:, wrong].sum(axis=1) / lines.sum(axis=1), pair.missing, blamed)


def _beside_neighbours(pair: Pair, reach: int) -> Floats:
    """Pull of each bin against the mean of its neighbours."""
    sums, number = kernels.neighbours(np.nan_to_num(pair.data), reach)
    if pair.kind in ("UU", "UW"):
        rows, scale = len(pair.data), 1 / number[:1].ravel()
        made = [
            kernels.exact_pulls(pair.data[t].reshape(-1, 1), sums[t].reshape(-1, 1), scale)[:, 0] for t in range(rows)
        ]
        return np.stack(made).reshape(pair.data.shape)
    variances, _ = kernels.neighbours(np.nan_to_num(pair.variance), reach)
    error = np.maximum(pair.variance, variances / number) + variances / number**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, (pair.data - sums / number) / np.sqrt(error), 0.0)


def worst(blame: Floats, ranks: int) -> tuple[NDArray[np.intp], Floats]:
    """The flat bins with the largest |blame| and it, largest first, each ``(time, rank)``; bin -1 where no more."""
    flat = blame.reshape(len(blame), -1)
    flat = np.where(np.isnan(flat), 0.0, flat)
    ranks = min(ranks, flat.shape[1])
    size = np.abs(flat)
    near = np.argpartition(-size, ranks - 1, axis=1)[:, :ranks] if ranks else np.empty((len(flat), 0), np.intp)
    order = np.take_along_axis(near, np.argsort(-np.take_along_axis(size, near, axis=1), axis=1, kind="stable"), axis=1)
    told = np.take_along_axis(flat, order, axis=1)
    return np.where(told == 0, -1, order), np.where(told == 0, np.nan, told)


def names(specs: Sequence[str] | None) -> Mapping[str, Callable[[Pair], Result]]:
    """Scores by the names that were asked for; the default ones if None."""
    return {spec: parse(spec) for spec in (DEFAULT if specs is None else specs)}
