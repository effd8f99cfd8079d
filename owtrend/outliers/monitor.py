"""One histogram, report by report: each compared with other runs and with its own run so far.

The same object serves live data and years of archive; it takes increments in order of time. Reports that are flagged
never become part of a reference.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample import report as kernels
from owtrend.outliers.null_model import COMPARISONS, SCORES, NullModel

__all__ = ["COMPARISONS", "RECENT", "SCORES", "Counts", "HistogramMonitor", "ReportScores", "RunningCounts"]

Floats = NDArray[np.float64]

RECENT = 4  # reports that are tested together
_NO_CELLS, _NO_MOMENTS = np.empty(0), np.empty((3, 0))
_RELEARN_AFTER = 4  # reports
# Scores by how much they say about where it is; one is preferred to the largest z from 70 % of that on.
_MOST_SPECIFIC = tuple(map(SCORES.index, ("bin", "profile_bin", "window", "shift", "profile_chi2", "chi2")))
_NEARLY_LARGEST = 0.7
_MIN_ENTRIES = 10.0  # of a bin whose mean is compared


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of a histogram in one report, in several, or in a reference.

    Parameters
    ----------
    counts
        Flat, flow included, in ROOT's order. Weighted contents: the number of unweighted fills with the same relative
        error. Profiles: bin entries.
    sizes
        Cells along x[, y[, z]].
    moments
        Profiles: bin entries, sums of y and of y**2, shape ``(3, cell)``.
    reports
        Number of reports that were added.
    """

    counts: Floats
    sizes: NDArray[np.int64]
    moments: Floats | None = None
    reports: int = 1

    @cached_property
    def cumulated(self) -> Floats:
        """Cumulative sums along each axis, see `owtrend.kernels.two_sample.report.cumulated`."""
        return kernels.cumulated(self.counts, self.sizes)

    def line(self, axis: int) -> Floats:
        """Counts along an axis, flow included, summed over all others."""
        first, last = self.bounds[axis : axis + 2]
        return np.diff(self.cumulated[first:last])

    @property
    def bounds(self) -> NDArray[np.int64]:
        return kernels.line_bounds(tuple(self.sizes.tolist()))


@dataclass(eq=False)
class RunningCounts:
    """A sum of `Counts` that grows."""

    counts: Floats
    sizes: NDArray[np.int64]
    cumulated: Floats
    moments: Floats | None
    reports: int

    @classmethod
    def from_counts(cls, first: "Counts | RunningCounts", *others: "Counts | RunningCounts") -> Self:
        """The sum of all given."""
        moments = None if first.moments is None else first.moments.copy()
        total = cls(first.counts.copy(), first.sizes, first.cumulated.copy(), moments, first.reports)
        for other in others:
            total.add(other)
        return total

    def add(self, other: "Counts | RunningCounts", sign: int = 1) -> None:
        """Add, or with a ``sign`` of -1 subtract."""
        add = np.add if sign > 0 else np.subtract
        add(self.counts, other.counts, out=self.counts)
        add(self.cumulated, other.cumulated, out=self.cumulated)
        if self.moments is not None and other.moments is not None:
            add(self.moments, other.moments, out=self.moments)
        self.reports += sign * other.reports

    def to_counts(self) -> Counts:
        """A copy of the present sum."""
        moments = None if self.moments is None else self.moments.copy()
        counts = Counts(self.counts.copy(), self.sizes, moments, self.reports)
        vars(counts)["cumulated"] = self.cumulated.copy()
        return counts


@dataclass(frozen=True, eq=False)
class ReportScores:
    """Scores of one report.

    Parameters
    ----------
    raw
        Normal z of each score by counting statistics alone, then chi2 divided by its expectation; ``(comparison,
        score + 1)``; NaN where there is none.
    z
        Normal z of each score, conditional on the null model, ``(comparison, score)``.
    total
        Normal z of the least likely score, after the trials factor of all of them.
    worst
        Comparison and score that say most: among those with nearly the largest z the most specific one.
    told, means
        `owtrend.kernels.two_sample.report.FIELDS` of the worst comparison, and of a profile `values`.
    """

    raw: Floats
    z: Floats
    total: float
    worst: tuple[int, int]
    told: Floats
    means: Floats


@dataclass(eq=False)
class HistogramMonitor:
    """One binning of a histogram in one run.

    Parameters
    ----------
    reference
        Other runs, added; None if there are none.
    null_model
        Learned from other runs; None if they are too few.
    scores
        Numbers of the `SCORES` that make sense; None: all.
    """

    reference: Counts | None = None
    null_model: NullModel | None = None
    scores: tuple[int, ...] | None = None
    accepted: RunningCounts | None = None
    raw: list[Floats] = field(default_factory=list)
    _latest: RunningCounts | None = None  # the last accepted reports, and all accepted ones before them
    _earlier: RunningCounts | None = None
    _own_null: tuple[int, NullModel] = field(default_factory=lambda: (0, NullModel.counting()))
    _recent: deque[Counts] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def test(self, report: Counts) -> ReportScores | None:
        """Compare a report with its references; None if there is no reference, or no counts."""
        null = self.null_model or self._null_from_reports()
        groups = report, self.reference, self.accepted, self._latest, self._earlier
        parts = [part for group in groups for part in _parts(group)]
        raw, told, means = kernels.looks(*parts, report.bounds, null.overdispersion, _MIN_ENTRIES)
        if self.scores is not None:
            raw[:, [score for score in range(len(SCORES)) if score not in self.scores]] = np.nan
        z, total, comparison, score = kernels.verdict(raw, null.location, null.scale, _MOST_SPECIFIC, _NEARLY_LARGEST)
        if comparison < 0:
            return None
        self.raw.append(raw)
        return ReportScores(raw, z, total, (comparison, score), told[comparison], means[comparison])

    def accept(self, report: Counts) -> None:
        """Add a good report to the references."""
        if self._latest is not None and self._earlier is not None:
            oldest = self._recent[0]
            self._earlier.add(oldest)
            self._latest.add(oldest, -1)
            self._latest.add(report)
        if self.accepted is None:
            self.accepted = RunningCounts.from_counts(report)
        else:
            self.accepted.add(report)
        self._recent.append(report)
        if self._earlier is None and self.accepted.reports > RECENT:
            self._latest = RunningCounts.from_counts(*self._recent)
            self._earlier = RunningCounts.from_counts(self.accepted)
            self._earlier.add(self._latest, -1)

    def compared(self, scores: ReportScores, report: Counts) -> tuple[Counts, Counts]:
        """Data and reference of the comparison that says most; to be called before the report is accepted."""
        comparison = scores.worst[0]
        added = {1: self.accepted, 3: self._latest}.get(comparison)
        data = report if added is None else RunningCounts.from_counts(added, report).to_counts()
        reference = {0: self.reference, 1: self.reference, 2: self.accepted, 3: self._earlier}[comparison]
        assert reference is not None, "a comparison has a reference"
        return data, reference if isinstance(reference, Counts) else reference.to_counts()

    def _null_from_reports(self) -> NullModel:
        """From the earlier reports of this run, learned anew after every fourth."""
        known = len(self.raw) // _RELEARN_AFTER * _RELEARN_AFTER
        if known != self._own_null[0]:
            self._own_null = known, NullModel.from_reports(self.raw[:known])
        return self._own_null[1]


def _parts(group: Counts | RunningCounts | None) -> tuple[Floats, Floats, Floats]:
    """Arguments of `owtrend.kernels.two_sample.report.looks`."""
    if group is None:
        return _NO_CELLS, _NO_CELLS, _NO_MOMENTS
    return group.counts, group.cumulated, _NO_MOMENTS if group.moments is None else group.moments
