"""Rates of components compared with each other, when each reports at times of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHASE", "RateSeries", "deviations"]

Floats = NDArray[np.float64]

PHASE = 1.25  # snapshot spacings: timing uncertainty of the counts in a window, the other components' included
TOLERANCE = 0.03  # relative change of a rate that is not significant
WINDOWS = 6  # reports


@dataclass(frozen=True, eq=False)
class RateSeries:
    """Reports of one component, each array ``(report,)``.

    Parameters
    ----------
    times, counts
        Times of the reports [s], and all counts up to each.
    blur
        How much earlier they may have been made [s]: the time since the snapshot before.
    missed
        Whether that is longer than usual, because snapshots are missing.
    deadline
        Until when another component must report to be compared with [s]; never falls.
    ratio_error
        Relative error of the expected ratios.
    """

    times: Floats
    counts: Floats
    blur: Floats
    missed: NDArray[np.bool_]
    deadline: Floats
    ratio_error: Floats


def deviations(
    components: Sequence[RateSeries], ratios: Floats, since: Sequence[int]
) -> tuple[list[Floats], list[Floats], list[NDArray[np.bool_]]]:
    """Deviation of the rate of each component in each report from the median of the others.

    Over the last one to six reports j to k, the log of the ratio of its counts to those of each other component,
    interpolated in time, less the expected one: their ratio in other runs, or before j in this one. The median over the
    others is reduced by the timing uncertainty, `PHASE` snapshots over the window, and by `TOLERANCE`; what remains is
    divided by its counting error. A result depends on what came up to its deadline only.

    Parameters
    ----------
    ratios
        Log of the ratio of each component's counts to those of each other in other runs; NaN where it is not known.
    since
        Of each component the first report that is wanted.

    Returns
    -------
    :
        Per component: normal z, 0 within the tolerance, NaN where there is no comparison; relative deviation; and
        whether it is from other runs. Each ``(report,)``.
    """
    scores, sizes, by_other_runs = [], [], []
    for number, (component, first) in enumerate(zip(components, since, strict=True)):
        count = len(component.times)
        others = [other for other in range(len(components)) if other != number]
        z, size, by_pool = np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, dtype=bool)
        if others and first < count:
            theirs = np.stack([_between(component, components[other]) for other in others])
            begun = np.array([components[other].times[0] for other in others])
            for k in range(max(first, 1), count):
                enough = max(2.0, np.count_nonzero(begun <= component.times[k]) / 2)
                for j in range(max(0, k - WINDOWS), k):
                    for pool in (True, False):
                        expected = ratios[number, others] if pool else None
                        deviation = _off(component, theirs, j, k, expected, enough)
                        if deviation is not None and not z[k] >= deviation[0]:
                            z[k], size[k], by_pool[k] = *deviation, pool
        scores.append(z)
        sizes.append(size)
        by_other_runs.append(by_pool)
    return scores, sizes, by_other_runs


def _between(component: RateSeries, other: RateSeries) -> Floats:
    """Counts of another component up to each report of this one, by interpolation.

    NaN where that is not between two reports of known time, the second of them before the deadline.
    """
    times, at = component.times, other.times
    right = np.searchsorted(at, times).clip(max=len(at) - 1)
    left = np.where(at[right] == times, right, np.maximum(right - 1, 0))
    between = np.interp(times, at, other.counts, left=np.nan, right=np.nan)
    unknown = other.missed[right] | other.missed[left] | (at[right] > component.deadline)
    return np.where(unknown, np.nan, between)


def _off(
    component: RateSeries, theirs: Floats, j: int, k: int, expected: Floats | None, enough: float
) -> tuple[float, float] | None:  # fmt: skip
    """Normal z and relative deviation in one window; None if there is no comparison with ``enough`` others."""
    times, counts = component.times, component.counts
    unsure = PHASE * (component.blur[j] + component.blur[k]) / 2
    increment = max(counts[k] - counts[j], 0.5)
    other = theirs[:, k] - theirs[:, j]
    allowed, variance = unsure / (times[k] - times[j]) + TOLERANCE, 1 / increment
    known = np.isfinite(other) & (other > 0)
    if expected is not None:
        baseline, allowed = expected, allowed + component.ratio_error[k]
    else:
        there = np.isfinite(theirs[:, : j + 1]).sum(axis=0)
        first = int(np.argmax(there))  # where most of the others have begun, too
        if first >= j:
            return None
        counts_before, before = counts[j] - counts[first], theirs[:, j] - theirs[:, first]
        known &= np.isfinite(before) & (before > 0)
        if counts_before <= 0:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            baseline = np.log(counts_before / before)
        allowed, variance = allowed + unsure / (times[j] - times[first]), variance + 1 / counts_before
    known &= np.isfinite(baseline)
    if known.sum() < enough:
        return None
    offs = np.sort(np.log(increment / other[known]) - baseline[known])
    low, high = float(offs[(len(offs) - 1) // 2]), float(offs[len(offs) // 2])
    off = 0.0 if low < 0 < high else min(low, high, key=abs)  # of an even number the middle one that is less off
    variance += float(np.median(1 / other[known]))
    return max(abs(off) - allowed, 0.0) / float(np.sqrt(variance)), float(np.expm1(off))
