"""Why a report was flagged, in words: which bins, their counts, the expected counts, and the runs compared with."""

from collections.abc import Sequence

import numpy as np

from owtrend.kernels.two_sample.chi2_moments import three_moments
from owtrend.model.axis import Axis
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
    found, ratio = scores.difference, scores.ratio
    data, reference = compared
    name = SCORES[scores.worst[1]]
    if name == "bin":
        cell = int(found["bin_cell"])
        text = f"{bin_place(axes, cell)}: {counted(data.counts[cell], reference.counts[cell] * ratio)}"
    elif name == "window":
        axis, first, last = (int(found[f"window_{part}"]) for part in ("axis", "first", "last"))
        seen, known = (float(counts.line(axis)[first : last + 1].sum()) for counts in compared)
        text = f"{bin_range(axes, axis, first, last)}: {counted(seen, known * ratio)}"
    elif name == "shift":
        axis = int(found["shift_axis"])
        side = "larger" if found["shift_sign"] > 0 else "smaller"
        seen, known = (_mean(counts, axes, axis) for counts in compared)
        text = f"shifted to {side} {axis_title(axes, axis)}: a mean of {seen:.5g} where {known:.5g} is expected"
    elif name == "chi2":
        margins = (float(found[part]) for part in ("data_total", "reference_total", "bins", "inverse", "inverse2"))
        expected, variance, _ = three_moments(*margins)
        text = f"different shape: chi2 {found['chi2']:.0f} where {expected:.0f} ± {np.sqrt(variance):.0f} is expected"
    elif name == "profile_bin":
        cell = int(found["profile_cell"])
        seen, known = (
            counts.moments[1, cell] / counts.moments[0, cell] for counts in compared if counts.moments is not None
        )
        text = f"{bin_place(axes, cell)}: a mean of {seen:.4g} where {known:.4g} is expected"
    else:
        text = f"different means: chi2 {found['profile_chi2']:.0f} for {found['profile_bins']} bins"
    return f"{text} ({compared_with(scores, runs)})"


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
