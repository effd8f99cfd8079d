"""Why a report was flagged, in words: which bins, their counts, the expected counts, and the runs compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from owtrend.kernels.two_sample.chi2_moments import three_moments
from owtrend.model.axis import Axis
from owtrend.model.finding import BinRange, Score
from owtrend.model.wording import axis_title, bin_place, bin_range, counted, run_names
from owtrend.outliers.monitor import COMPARISONS, SCORES, Counts, ReportScores

__all__ = ["Reason", "compared_with", "reason"]


@dataclass(frozen=True)
class Reason:
    """Why a report was flagged; ``bins`` and ``side`` as in `owtrend.model.finding.Finding`."""

    words: str
    bins: tuple[BinRange, ...] = ()
    side: int = 0


def reason(
    scores: ReportScores, compared: tuple[Counts, Counts], axes: Sequence[Axis], runs: Sequence[int]
) -> Reason:  # fmt: skip
    """One sentence on the score that says most, and where the report deviates.

    Parameters
    ----------
    compared
        Data and reference, see `owtrend.outliers.monitor.HistogramMonitor.compared`.
    runs
        The other runs that are the reference.
    """
    found = _REASONS[Score(SCORES[scores.worst[1]])](scores.difference, scores.ratio, *compared, axes)
    return replace(found, words=f"{found.words} ({compared_with(scores, runs)})")


def compared_with(scores: ReportScores, runs: Sequence[int]) -> str:
    """The comparison that says most, and how sure it is."""
    words = {
        "other runs": f"compared with {run_names(runs)}",
        "run so far": f"in the run so far, compared with {run_names(runs)}",
        "this run": "compared with this run so far",
        "last reports": "in the last reports, compared with this run before them",
    }[COMPARISONS[scores.worst[0]]]
    return f"{words}; {min(float(scores.z[scores.worst]), 999):.1f} sigma"


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


def _bin(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    cell = int(difference["bin_cell"])
    words = f"{bin_place(axes, cell)}: {counted(data.counts[cell], reference.counts[cell] * ratio)}"
    return Reason(words, _place(axes, cell), int(np.sign(difference["bin_sign"])))


def _window(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    axis, first, last = (int(difference[f"window_{part}"]) for part in ("axis", "first", "last"))
    seen, known = (float(counts.line(axis)[first : last + 1].sum()) for counts in (data, reference))
    words = f"{bin_range(axes, axis, first, last)}: {counted(seen, known * ratio)}"
    return Reason(words, (BinRange.from_axes(axes, axis, first, last),), int(np.sign(difference["window_sign"])))


def _shift(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    axis = int(difference["shift_axis"])
    if axes[axis].labels:  # they have no order: the bin that deviates most says more
        return _bin(difference, ratio, data, reference, axes)
    side = "larger" if difference["shift_sign"] > 0 else "smaller"
    seen, known = (_mean(counts, axes, axis) for counts in (data, reference))
    words = f"shifted to {side} {axis_title(axes, axis)}: a mean of {seen:.5g} where {known:.5g} is expected"
    whole = BinRange.from_axes(axes, axis, 0, len(axes[axis]) + 1)
    return Reason(words, (whole,), 1 if difference["shift_sign"] > 0 else -1)


def _chi2(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    margins = (float(difference[part]) for part in ("data_total", "reference_total", "bins", "inverse", "inverse2"))
    expected, variance, _ = three_moments(*margins)
    shown = f"{expected:.0f} ± {np.sqrt(variance):.0f}"
    return Reason(f"different shape: chi2 {difference['chi2']:.0f} where {shown} is expected")


def _profile_bin(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    cell = int(difference["profile_cell"])
    seen, known = (c.moments[1, cell] / c.moments[0, cell] for c in (data, reference) if c.moments is not None)
    words = f"{bin_place(axes, cell)}: a mean of {seen:.4g} where {known:.4g} is expected"
    return Reason(words, _place(axes, cell), int(np.sign(difference["profile_sign"])))


def _profile_chi2(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> Reason:
    return Reason(f"different means: chi2 {difference['profile_chi2']:.0f} for {difference['profile_bins']} bins")


_REASONS: dict[Score, Callable[[np.void, float, Counts, Counts, Sequence[Axis]], Reason]] = {
    Score.BIN: _bin,
    Score.WINDOW: _window,
    Score.SHIFT: _shift,
    Score.CHI2: _chi2,
    Score.PROFILE_BIN: _profile_bin,
    Score.PROFILE_CHI2: _profile_chi2,
}
