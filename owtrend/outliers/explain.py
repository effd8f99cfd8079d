"""Why a report was flagged, in words: which bins, their counts, the expected counts, and the runs compared with."""

from collections.abc import Callable, Sequence

import numpy as np

from owtrend.kernels.two_sample.chi2_moments import three_moments
from owtrend.model.axis import Axis
from owtrend.model.finding import Score
from owtrend.model.wording import axis_title, bin_place, bin_range, counted, run_names
from owtrend.outliers.monitor import COMPARISONS, SCORES, Counts, ReportScores

__all__ = ["compared_with", "reason"]


def reason(
    scores: ReportScores, compared: tuple[Counts, Counts], axes: Sequence[Axis], runs: Sequence[int]
) -> str:  # fmt: skip
    """One sentence on the score that says most.

    Parameters
    ----------
    compared
        Data and reference, see `owtrend.outliers.monitor.HistogramMonitor.compared`.
    runs
        The other runs that are the reference.
    """
    words = _WORDS[Score(SCORES[scores.worst[1]])](scores.difference, scores.ratio, *compared, axes)
    return f"{words} ({compared_with(scores, runs)})"


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


def _bin(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    cell = int(difference["bin_cell"])
    return f"{bin_place(axes, cell)}: {counted(data.counts[cell], reference.counts[cell] * ratio)}"


def _window(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    axis, first, last = (int(difference[f"window_{part}"]) for part in ("axis", "first", "last"))
    seen, known = (float(counts.line(axis)[first : last + 1].sum()) for counts in (data, reference))
    return f"{bin_range(axes, axis, first, last)}: {counted(seen, known * ratio)}"


def _shift(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    axis = int(difference["shift_axis"])
    side = "larger" if difference["shift_sign"] > 0 else "smaller"
    seen, known = (_mean(counts, axes, axis) for counts in (data, reference))
    return f"shifted to {side} {axis_title(axes, axis)}: a mean of {seen:.5g} where {known:.5g} is expected"


def _chi2(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    margins = (float(difference[part]) for part in ("data_total", "reference_total", "bins", "inverse", "inverse2"))
    expected, variance, _ = three_moments(*margins)
    return f"different shape: chi2 {difference['chi2']:.0f} where {expected:.0f} ± {np.sqrt(variance):.0f} is expected"


def _profile_bin(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    cell = int(difference["profile_cell"])
    seen, known = (c.moments[1, cell] / c.moments[0, cell] for c in (data, reference) if c.moments is not None)
    return f"{bin_place(axes, cell)}: a mean of {seen:.4g} where {known:.4g} is expected"


def _profile_chi2(difference: np.void, ratio: float, data: Counts, reference: Counts, axes: Sequence[Axis]) -> str:
    return f"different means: chi2 {difference['profile_chi2']:.0f} for {difference['profile_bins']} bins"


_WORDS: dict[Score, Callable[[np.void, float, Counts, Counts, Sequence[Axis]], str]] = {
    Score.BIN: _bin,
    Score.WINDOW: _window,
    Score.SHIFT: _shift,
    Score.CHI2: _chi2,
    Score.PROFILE_BIN: _profile_bin,
    Score.PROFILE_CHI2: _profile_chi2,
}
