"""Why a report was flagged, in words: which bins, how many counts, where how many are expected, beside what."""

from collections.abc import Sequence

import numpy as np

from owtrend.kernels.two_sample.chi2_moments import moments
from owtrend.kernels.two_sample.report import FIELDS
from owtrend.model.axis import Axis
from owtrend.outliers.monitor import LOOKS, SCORES, ReportScores, Sample

__all__ = ["counted", "place", "run_names", "span", "why"]

_FIELD = {name: number for number, name in enumerate(FIELDS)}


def why(
    finding: ReportScores, pair: tuple[Sample, Sample], axes: Sequence[Axis], runs: Sequence[int],
    names: Sequence[str] = (), cell: int | None = None,
) -> str:  # fmt: skip
    """One sentence.

    Parameters
    ----------
    pair
        What was compared, see `owtrend.outliers.monitor.Watched.pair`.
    runs
        The other runs that are the reference.
    names
        What the bins are called, where they are no bins of axes.
    cell
        Which of them is to be told, if it is not the one that is least likely.
    """
    number, score = finding.worst
    beside = {
        "other runs": f"beside {run_names(runs)}",
        "run so far": f"in the run so far, beside {run_names(runs)}",
        "this run": "beside this run before",
        "last reports": "in the last reports, beside this run before them",
    }[LOOKS[number]]
    told, means = finding.told, finding.means
    data, reference = pair
    ratio = told[0] / told[1]
    name = SCORES[score]
    if name == "bin":
        cell = int(told[_FIELD["bin_cell"]]) if cell is None else cell
        where = names[cell] if names else place(axes, cell)
        text = f"{where}: {counted(data.counts[cell], reference.counts[cell] * ratio)}"
    elif name == "window":
        axis, first, last = (int(told[_FIELD[f"strip_{part}"]]) for part in ("axis", "first", "last"))
        seen, its = (float(one.line(axis)[first : last + 1].sum()) for one in (data, reference))
        text = f"{span(axes, axis, first, last)}: {counted(seen, its * ratio)}"
    elif name == "shift":
        axis = int(told[_FIELD["shift_axis"]])
        side = "larger" if told[_FIELD["shift_sign"]] > 0 else "smaller"
        text = f"moved to {side} {_title(axes, axis)}: {_moved(data, reference, axes, axis)}"
    elif name == "chi2":
        expected, variance, _ = moments(told[:6])
        text = f"another shape: chi2 {told[3]:.0f} where {expected:.0f} ± {np.sqrt(variance):.0f} is expected"
    elif name == "profile_bin":
        cell = int(means[3])
        mean, its = (
            one.moments[1, cell] / one.moments[0, cell] for one in (data, reference) if one.moments is not None
        )
        text = f"{place(axes, cell)}: a mean of {mean:.4g} where {its:.4g} is expected"
    else:
        text = f"other means: chi2 {means[0]:.0f} of {means[1]:.0f} bins"
    return f"{text} ({beside}; {min(float(finding.z[finding.worst]), 999):.1f} sigma)"


def place(axes: Sequence[Axis], cell: int) -> str:
    """A cell, flat in ROOT's order with flow bins, in coordinates."""
    words = []
    for number, axis in enumerate(axes):
        cell, at = divmod(cell, len(axis) + 2)
        words.append(span(axes, number, at, at))
    return ", ".join(words)


def span(axes: Sequence[Axis], number: int, first: int, last: int) -> str:
    """Cells of an axis: 0 is the underflow."""
    axis, title = axes[number], _title(axes, number)
    if first == last and (label := axis.labels.get(first)):
        return f"{title} {label}".strip()
    if last == 0:
        return f"{title} below {axis.edges[0]:.6g}"
    if first > len(axis):
        return f"{title} from {axis.edges[-1]:.6g} on"
    low, high = axis.edges[max(first - 1, 0)], axis.edges[min(last, len(axis))]
    return f"{title} {low:.6g} to {high:.6g}"


def _title(axes: Sequence[Axis], number: int) -> str:
    return axes[number].title.strip() or "xyz"[number]


def counted(seen: float, expected: float) -> str:
    """What is there and what should be."""
    return f"{seen:,.0f} counts where {expected:,.{0 if expected >= 20 else 1}f} are expected"


def _moved(data: Sample, reference: Sample, axes: Sequence[Axis], number: int) -> str:
    """Mean along an axis of both, flow excluded."""
    means = []
    for one in (data, reference):
        line = one.line(number)[1:-1]
        means.append(float(line @ axes[number].centres / line.sum()) if line.sum() else np.nan)
    return f"a mean of {means[0]:.5g} where {means[1]:.5g} is expected"


def run_names(runs: Sequence[int]) -> str:
    """A few runs, told shortly."""
    if len(runs) == 1:
        return f"run {runs[0]}"
    return f"{len(runs)} runs, {min(runs)} to {max(runs)}" if runs else "no other run"
