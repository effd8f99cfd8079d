"""Why a report was flagged, in words: which bins, their counts, the expected counts, and the runs compared with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample.chi2_moments import three_moments
from owtrend.model.axis import Axis
from owtrend.model.finding import BinRange, Score
from owtrend.model.wording import axis_title, bin_place, bin_range, counted, measured, percentage, run_names
from owtrend.outliers.monitor import COMPARISONS, MIN_ENTRIES, SCATTER, SCORES, Counts, ReportScores

__all__ = ["Reason", "Size", "compared_with", "reason", "relative_excess", "rms_difference", "still"]

Floats = NDArray[np.float64]
_CELLS, _LINES, _MEANS, _AXES = (SCATTER.index(name) for name in ("cells", "lines", "means", "axes"))
_OTHER_SPREAD = 0.1  # relative change of the spread of y that is worth a word
_TAILS = 5.0  # variance of the mean square of y, which may fall off slowly, by that of a normal variable


class Size(NamedTuple):
    """How large a deviation is, and its statistical error; see `owtrend.model.finding.Finding`."""

    value: float
    error: float


NO_SIZE = Size(math.nan, math.nan)


@dataclass(frozen=True)
class Reason:
    """Why a report was flagged; ``bins``, ``side`` and ``size`` as in `owtrend.model.finding.Finding`."""

    words: str
    bins: tuple[BinRange, ...] = ()
    side: int = 0
    size: Size = NO_SIZE


@dataclass(frozen=True, eq=False)
class _Compared:
    """Two groups of counts that differ; ``dispersion`` as of `owtrend.outliers.monitor.SCATTER`."""

    difference: np.void
    ratio: float
    data: Counts
    reference: Counts
    axes: Sequence[Axis]
    dispersion: Floats

    @property
    def groups(self) -> tuple[Counts, Counts]:
        return self.data, self.reference


def reason(
    scores: ReportScores, compared: tuple[Counts, Counts], axes: Sequence[Axis], runs: Sequence[int],
    dispersion: Floats,
) -> Reason:  # fmt: skip
    """One sentence on the score that says most, and where the report deviates.

    Parameters
    ----------
    compared
        Data and reference, see `owtrend.outliers.monitor.HistogramMonitor.compared`.
    runs
        The other runs that are the reference.
    dispersion
        See `owtrend.outliers.monitor.HistogramMonitor.dispersion`.
    """
    both = _Compared(scores.difference, scores.ratio, *compared, axes, dispersion)
    found = _REASONS[Score(SCORES[scores.worst[1]])](both)
    return replace(found, words=f"{found.words} ({compared_with(scores, runs)})")


def compared_with(scores: ReportScores, runs: Sequence[int]) -> str:
    """The comparison that says most, and how sure it is. Of two runs nobody knows which is the bad one."""
    against = run_names(runs) + ", the only one there is, which may be the bad one itself" * (len(runs) == 1)
    words = {
        "other runs": f"compared with {against}",
        "run so far": f"in the run so far, compared with {against}",
        "this run": "compared with this run so far",
        "last reports": "in the last reports, compared with this run before them",
    }[COMPARISONS[scores.worst[0]]]
    return f"{words}; {min(float(scores.z[scores.worst]), 999):.1f} sigma"


def still(report: Counts) -> str:
    """Words for a report that is the same increment again."""
    filled, total = int(np.count_nonzero(report.counts)), report.counts.sum()
    where = f"all {filled:,} bins that are filled gained" if filled > 1 else "its bin gained"
    return f"stuck: {where} exactly as many counts as in the report before, {total:,.0f} in all"


def relative_excess(seen: float, expected: float, ratio: float, dispersion: float) -> Size:
    """Excess of counts relative to the expected ones, of which at least one.

    ``ratio``: counts of the data by those of the reference that are expected to be one.
    """
    error = math.sqrt(dispersion * (max(seen, 1.0) + expected * ratio)) / max(expected, 1.0)
    return Size((seen - expected) / max(expected, 1.0), error)


def rms_difference(data: Floats, reference: Floats, dispersion: float) -> Size:
    """Root mean square of the relative differences of bins, weighted by their counts, without what scatter adds.

    Pearson's chi2 of two samples is on average its degrees of freedom times ``dispersion``, and n r / (n + r) times the
    mean square, n and r the totals.
    """
    both = data + reference
    filled = both > 0
    n, r = float(data.sum()), float(reference.sum())
    if not (n > 0 and r > 0):
        return NO_SIZE
    p, information = n / (n + r), n * r / (n + r)
    chi2 = float(((data[filled] - p * both[filled]) ** 2 / both[filled]).sum()) / (p * (1 - p))
    return _root(chi2, float(np.count_nonzero(filled) - 1), information, dispersion)


def _root(square: float, freedom: float, information: float, dispersion: float) -> Size:
    """Root of a mean square, from its sum with the scatter; of a small one as much as scatter may hide is the error."""
    mean = max(square - dispersion * freedom, 0.0) / information
    error2 = math.sqrt(2 * dispersion**2 * freedom + 4 * dispersion * information * mean) / information
    return Size(math.sqrt(mean), error2 / (2 * math.sqrt(max(mean, error2))) if error2 > 0 else 0.0)


def _mean(counts: Counts, axes: Sequence[Axis], number: int) -> float:
    """Mean along an axis, flow excluded."""
    line = counts.line(number)[1:-1]
    return float(line @ axes[number].centres / line.sum()) if line.sum() else np.nan


def _place(axes: Sequence[Axis], cell: int) -> tuple[BinRange, ...]:
    """A cell, flat in ROOT's order with flow bins, along each axis."""
    ranges = []
    for number, axis in enumerate(axes):
        cell, at = divmod(cell, len(axis) + 2)
        ranges.append(BinRange.from_axes(axes, number, at, at))
    return tuple(ranges)


def _bin(both: _Compared) -> Reason:
    cell = int(both.difference["bin_cell"])
    seen, expected = float(both.data.counts[cell]), float(both.reference.counts[cell] * both.ratio)
    size = relative_excess(seen, expected, both.ratio, both.dispersion[_CELLS])
    words = f"{bin_place(both.axes, cell)}: {_excess(seen, expected, size)}"
    return Reason(words, _place(both.axes, cell), int(np.sign(both.difference["bin_sign"])), size)


def _window(both: _Compared) -> Reason:
    axis, first, last = (int(both.difference[f"window_{part}"]) for part in ("axis", "first", "last"))
    seen, known = (float(counts.line(axis)[first : last + 1].sum()) for counts in (both.data, both.reference))
    expected = known * both.ratio
    size = relative_excess(seen, expected, both.ratio, both.dispersion[_LINES])
    words = f"{bin_range(both.axes, axis, first, last)}: {_excess(seen, expected, size)}"
    place = (BinRange.from_axes(both.axes, axis, first, last),)
    return Reason(words, place, int(np.sign(both.difference["window_sign"])), size)


def _excess(seen: float, expected: float, size: Size) -> str:
    """Counts where others are expected, with the relative excess where that says more."""
    words = counted(seen, expected)
    return f"{words}, {percentage(*size)}" if expected >= 1 and seen > 0 else words


def _shift(both: _Compared) -> Reason:
    axis, axes = int(both.difference["shift_axis"]), both.axes
    if axes[axis].labels:  # they have no order: the bin that deviates most says more
        return _bin(both)
    side = "larger" if both.difference["shift_sign"] > 0 else "smaller"
    seen, known = (_mean(counts, axes, axis) for counts in (both.data, both.reference))
    errors = [_mean_error(counts, axes, axis) for counts in (both.data, both.reference)]
    size = Size(seen - known, math.sqrt(both.dispersion[_AXES]) * math.hypot(*errors))
    words = (
        f"shifted to {side} {axis_title(axes, axis)}: a mean of {seen:.5g} where {known:.5g} is expected, "
        f"{measured(*size)}"
    )
    whole = BinRange.from_axes(axes, axis, 0, len(axes[axis]) + 1)
    return Reason(words, (whole,), 1 if both.difference["shift_sign"] > 0 else -1, size)


def _mean_error(counts: Counts, axes: Sequence[Axis], number: int) -> float:
    """Standard deviation along an axis, of independent fills, divided by the root of their number."""
    line = counts.line(number)[1:-1]
    total = float(line.sum())
    if not total > 0:
        return math.nan
    off = axes[number].centres - line @ axes[number].centres / total
    return math.sqrt(float(line @ off**2)) / total


def _chi2(both: _Compared) -> Reason:
    margins = (
        float(both.difference[part]) for part in ("data_total", "reference_total", "bins", "inverse", "inverse2")
    )
    expected, variance, _ = three_moments(*margins)
    size = rms_difference(both.data.counts, both.reference.counts, both.dispersion[_CELLS])
    shown = f"chi2 {both.difference['chi2']:.0f} where {expected:.0f} ± {np.sqrt(variance):.0f} is expected"
    return Reason(f"different shape: bins differ by {percentage(*size, signed=False)}, {shown}", size=size)


def _profile_bin(both: _Compared) -> Reason:
    cell = int(both.difference["profile_cell"])
    (n, seen, spread), (r, known, other) = (_moments(counts, [cell])[:, 0].tolist() for counts in both.groups)
    size = Size(seen - known, math.sqrt(both.dispersion[_MEANS] * (spread + other) / (n + r) * (1 / n + 1 / r)))
    words = f"{bin_place(both.axes, cell)}: a mean of {seen:.4g} where {known:.4g} is expected, {measured(*size)}"
    return Reason(words, _place(both.axes, cell), int(np.sign(both.difference["profile_sign"])), size)


def _profile_chi2(both: _Compared) -> Reason:
    enough = np.logical_and(*(counts.counts >= MIN_ENTRIES for counts in both.groups))
    (n, seen, spread), (r, known, other) = (_moments(counts, np.flatnonzero(enough)) for counts in both.groups)
    weights = n * r / (n + r)
    square = float((weights * (seen - known) ** 2).sum())
    variance = float(((spread + other) / (n + r)).mean()) if len(n) else 0.0
    size = _root(square / variance, float(len(n)), float(weights.sum()) / variance, both.dispersion[_MEANS]) \
        if variance > 0 else NO_SIZE  # fmt: skip
    chi2 = f"chi2 {both.difference['profile_chi2']:.0f} for {both.difference['profile_bins']} bins"
    wider, error = _spread_change(n, spread, r, other)
    if abs(wider) > max(_OTHER_SPREAD, 5 * error):
        words = f"the spread of y within the bins changed by {percentage(wider, error)}"
        return Reason(f"{words}; their means differ by {measured(*size, signed=False)}, {chi2}", size=size)
    return Reason(f"different means: they differ by {measured(*size, signed=False)}, {chi2}", size=size)


def _spread_change(n: Floats, squares: Floats, r: Floats, others: Floats) -> Size:
    """Relative change of the standard deviation of y within bins, from entries and sums of squares of both samples."""
    freedom, other_freedom = float((n - 1).sum()), float((r - 1).sum())
    if not (others.sum() > 0 and squares.sum() > 0 and min(freedom, other_freedom) > 0):
        return NO_SIZE
    change = math.sqrt(squares.sum() / freedom / (others.sum() / other_freedom)) - 1
    return Size(change, (1 + change) * math.sqrt(_TAILS * (1 / freedom + 1 / other_freedom) / 2))


def _moments(counts: Counts, cells: Sequence[int] | NDArray[np.intp]) -> Floats:
    """Entries, mean of y, and sum of squares about it of some bins of a profile, ``(3, cell)``."""
    assert counts.moments is not None
    n, total, squares = counts.moments[:, cells]
    return np.stack([n, total / n, np.maximum(squares - total**2 / n, 0.0)])


_REASONS: dict[Score, Callable[[_Compared], Reason]] = {
    Score.BIN: _bin,
    Score.WINDOW: _window,
    Score.SHIFT: _shift,
    Score.CHI2: _chi2,
    Score.PROFILE_BIN: _profile_bin,
    Score.PROFILE_CHI2: _profile_chi2,
}
