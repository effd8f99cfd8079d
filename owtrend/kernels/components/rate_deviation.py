"""Rates of components compared with each other, when each reports at times of its own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHASE", "deviations"]

Floats = NDArray[np.float64]

PHASE = 1.25  # snapshot spacings: timing uncertainty of the counts in a window, the other components' included
TOLERANCE = 0.03  # relative change of a rate that is not significant
WINDOWS = 6  # reports


def deviations(
    at: Sequence[Floats], counted: Sequence[Floats], blur: Sequence[Floats], ratios: Floats, ratio_error: float
) -> tuple[list[Floats], list[Floats], list[NDArray[np.bool_]]]:
    """Deviation of the rate of each component in each report from the median of the others.

    Over the last one to six reports j to k, the log of the ratio of its counts to those of each other component,
    interpolated in time, less the expected one: their ratio in other runs, or before j in this one. The median over the
    others is reduced by the timing uncertainty, `PHASE` snapshots over the window, and by `TOLERANCE`; what remains is
    divided by its counting error.

    Parameters
    ----------
    at, counted
        Per component the times of its reports [s], and all counts up to each.
    blur
        Per component and report how much earlier that may have been [s]: the time since the snapshot before.
    ratios
        Log of the ratio of each component's counts to those of each other in other runs; NaN where it is not known.
    ratio_error
        Relative error of that.

    Returns
    -------
    :
        Per component: normal z, 0 within the tolerance, NaN where there is no comparison; relative deviation; and
        whether it is from other runs. Each ``(report,)``.
    """
    scores, sizes, by_other_runs = [], [], []
    sharp = 1.5 * float(np.median(np.concatenate(blur)))
    for component, (times, counts) in enumerate(zip(at, counted, strict=True)):
        others = [number for number in range(len(at)) if number != component and len(at[number]) > 1]
        z, size, by_pool = np.full(len(times), np.nan), np.full(len(times), np.nan), np.zeros(len(times), dtype=bool)
        if len(others) >= 2 and len(times) > 1:
            theirs = np.stack([_between(times, at[other], counted[other], blur[other] > sharp) for other in others])
            expected = ratios[component, others]
            for k in range(1, len(times)):
                for j in range(max(0, k - WINDOWS), k):
                    unsure = PHASE * (blur[component][j] + blur[component][k]) / 2
                    for pool in (True, False):
                        deviation = _off(times, counts, theirs, j, k, expected if pool else None, unsure, ratio_error)
                        if deviation is not None and not z[k] >= deviation[0]:
                            z[k], size[k], by_pool[k] = *deviation, pool
        scores.append(z)
        sizes.append(size)
        by_other_runs.append(by_pool)
    return scores, sizes, by_other_runs


def _between(times: Floats, at: Floats, counted: Floats, blurred: NDArray[np.bool_]) -> Floats:
    """Counts up to other times, by interpolation; NaN where that is not between two reports of known time."""
    right = np.searchsorted(at, times).clip(1, len(at) - 1)
    between = np.interp(times, at, counted, left=np.nan, right=np.nan)
    return np.where(blurred[right] | blurred[right - 1], np.nan, between)


def _off(
    times: Floats, counts: Floats, theirs: Floats, j: int, k: int, expected: Floats | None, unsure: float,
    ratio_error: float,
) -> tuple[float, float] | None:  # fmt: skip
    """Normal z and relative deviation in one window; None if there is no comparison."""
    increment = max(counts[k] - counts[j], 0.5)
    other = theirs[:, k] - theirs[:, j]
    allowed, variance = unsure / (times[k] - times[j]) + TOLERANCE, 1 / increment
    known = np.isfinite(other) & (other > 0)
    if expected is not None:
        baseline, allowed = expected, allowed + ratio_error
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
    if known.sum() < max(2, len(other) / 2):
        return None
    offs = np.sort(np.log(increment / other[known]) - baseline[known])
    low, high = float(offs[(len(offs) - 1) // 2]), float(offs[len(offs) // 2])
    off = 0.0 if low < 0 < high else min(low, high, key=abs)  # of an even number the middle one that is less off
    variance += float(np.median(1 / other[known]))
    return max(abs(off) - allowed, 0.0) / float(np.sqrt(variance)), float(np.expm1(off))
