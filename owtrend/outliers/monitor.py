"""One histogram, report by report: each compared with other runs and with its own run so far.

The same object serves live data and years of archive; it takes increments in order of time. Reports that are flagged
never become part of a reference.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample.bins import compare_bins
from owtrend.kernels.two_sample.lines import line_bounds, line_sums
from owtrend.kernels.two_sample.report import COMPARISONS, SCATTER, SCORES, Group, compare_all, null_of, verdict
from owtrend.kernels.two_sample.tails import log_p_of_repeat, z_of_log_p
from owtrend.model.axis import Axis, rearranged
from owtrend.outliers.null_model import NullModel, summary

__all__ = [
    "COMPARISONS",
    "MIN_ENTRIES",
    "RECENT",
    "SCATTER",
    "SCORES",
    "Counts",
    "HistogramMonitor",
    "ReportScores",
    "RunningCounts",
]

Floats = NDArray[np.float64]

RECENT = 4  # reports that are tested together
_NO_MOMENTS = np.empty((3, 0))
_NOTHING: Group = np.empty(0), np.empty(0), _NO_MOMENTS
_SURELY_SILENT = 10.0  # counts, of fills that come one by one, where none are
_NO_CHANCE = -30.0  # log of the probability of as many counts in each bin again
_SCATTERS = 0.3  # dispersion from which on a histogram certainly scatters
_WITHIN, _CELLS = COMPARISONS.index("this run"), SCATTER.index("cells")
# Most specific first: such a score is named as the reason if its z is at least 70 % of the largest.
_MOST_SPECIFIC = tuple(map(SCORES.index, ("bin", "profile_bin", "window", "shift", "profile_chi2", "chi2")))
_NEARLY_LARGEST = 0.7
MIN_ENTRIES = 10.0  # of a bin whose mean is compared


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

    def on(self, have: Sequence[Axis], want: Sequence[Axis]) -> "Counts":
        """The same on other axes, see `owtrend.model.axis.common`."""
        if all(a is b or a == b for a, b in zip(have, want, strict=True)):
            return self
        sizes = np.array([len(axis) + 2 for axis in want], dtype=np.int64)
        moments = None if self.moments is None else rearranged(self.moments, have, want)
        return Counts(rearranged(self.counts[None], have, want)[0], sizes, moments, self.reports)

    def among(self, cells: NDArray[np.bool_]) -> "Counts":
        """Some of the cells of one axis; no moments."""
        return Counts(self.counts[cells], np.array([np.count_nonzero(cells)], dtype=np.int64), reports=self.reports)

    @cached_property
    def line_sums(self) -> Floats:
        """Cumulative sums along each axis, see `owtrend.kernels.two_sample.lines.line_sums`."""
        return line_sums(self.counts, self.sizes)

    def line(self, axis: int) -> Floats:
        """Counts along an axis, flow included, summed over all others."""
        first, last = self.bounds[axis : axis + 2]
        return np.diff(self.line_sums[first:last])

    @property
    def bounds(self) -> NDArray[np.int64]:
        return line_bounds(tuple(self.sizes.tolist()))


@dataclass(eq=False)
class RunningCounts:
    """A sum of `Counts` that grows."""

    counts: Floats
    sizes: NDArray[np.int64]
    line_sums: Floats
    moments: Floats | None
    reports: int

    @classmethod
    def from_counts(cls, first: "Counts | RunningCounts", *others: "Counts | RunningCounts") -> Self:
        """The sum of all given."""
        moments = None if first.moments is None else first.moments.copy()
        total = cls(first.counts.copy(), first.sizes, first.line_sums.copy(), moments, first.reports)
        for other in others:
            total.add(other)
        return total

    def add(self, other: "Counts | RunningCounts", sign: int = 1) -> None:
        """Add, or with a ``sign`` of -1 subtract."""
        add = np.add if sign > 0 else np.subtract
        add(self.counts, other.counts, out=self.counts)
        add(self.line_sums, other.line_sums, out=self.line_sums)
        if self.moments is not None and other.moments is not None:
            add(self.moments, other.moments, out=self.moments)
        self.reports += sign * other.reports

    def to_counts(self) -> Counts:
        """A copy of the present sum."""
        moments = None if self.moments is None else self.moments.copy()
        counts = Counts(self.counts.copy(), self.sizes, moments, self.reports)
        vars(counts)["line_sums"] = self.line_sums.copy()
        return counts


@dataclass(frozen=True, eq=False)
class ReportScores:
    """Scores of one report.

    Parameters
    ----------
    z
        Normal z of each score, ``(comparison, score)``; NaN where there is none.
    scatter
        What the report shows of how much reports scatter, see `owtrend.kernels.two_sample.report.compare`.
    total
        Normal z of the least likely score, after the trials factor of all of them.
    worst
        Comparison and score that say most: among those with nearly the largest z the most specific one.
    difference
        The worst comparison: a record of `owtrend.kernels.two_sample.report.DIFFERENCE`.
    """

    z: Floats
    scatter: Floats
    total: float
    worst: tuple[int, int]
    difference: np.void

    @property
    def ratio(self) -> float:
        """Counts of the data divided by those of the reference."""
        return float(self.difference["data_total"] / self.difference["reference_total"])


def _no_scatter() -> Floats:
    return np.zeros((len(COMPARISONS), len(SCATTER), 3))


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
    good, every
        What good reports, and all of them, have shown of how much reports scatter, as of
        `owtrend.kernels.two_sample.report.null_of`.
    reports
        How many were tested, and how many of them were bad.
    """

    reference: Counts | None = None
    null_model: NullModel | None = None
    scores: tuple[int, ...] | None = None
    accepted: RunningCounts | None = None
    good: Floats = field(default_factory=_no_scatter)
    every: Floats = field(default_factory=_no_scatter)
    reports: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    _latest: RunningCounts | None = None  # the last accepted reports, and all accepted ones before them
    _earlier: RunningCounts | None = None
    _recent: deque[Counts] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def test(self, report: Counts) -> ReportScores | None:
        """Compare a report with its references; None if there is no reference, or no counts."""
        null = self.null_model or NullModel.unknown()
        groups = report, self.reference, self.accepted, self._latest, self._earlier
        z, differences, scatter = compare_all(
            *map(_group, groups), report.bounds, self.good, null.known, null.spread, MIN_ENTRIES
        )
        if self.scores is not None:
            z[:, [score for score in range(len(SCORES)) if score not in self.scores]] = np.nan
        total, comparison, score = verdict(z, _MOST_SPECIFIC, _NEARLY_LARGEST)
        if comparison < 0:
            return None
        return ReportScores(z, scatter, total, (comparison, score), differences[comparison])

    def unusual(self, scores: ReportScores, data: Counts, reference: Counts, threshold: float) -> list[int]:
        """Bins that deviate in the comparison that says most, if bins are what deviates: histograms of a component.

        Those that counted nothing come first. Then one after the other is taken out until the others are alike: at most
        half of those that are left, as the majority is what is normal.
        """
        _, dispersion, spread = self._null(scores)[0]
        chosen = np.flatnonzero((data.counts > 0) | (reference.counts == 0))
        silent = np.flatnonzero((data.counts == 0) & (reference.counts > 0))
        found: list[int] = []
        if len(silent) and data.counts.sum() > 0:
            alive = chosen[reference.counts[chosen] > 0]
            scale = data.counts[alive].sum() / max(reference.counts[alive].sum(), 1e-300)
            expected = reference.counts[silent] * scale
            found = silent[expected / (dispersion + spread * expected) > _SURELY_SILENT].tolist()
            chosen = np.setdiff1d(np.arange(len(data.counts)), found)
        for _ in range(len(chosen) // 2):
            d, r = data.counts[chosen], reference.counts[chosen]
            if not (d.sum() > 0 and r.sum() > 0):
                break
            both = d.sum() + r.sum()
            worst = compare_bins(d, r, both, d.sum() / both, dispersion, dispersion, spread)
            if not (worst.trials and z_of_log_p(worst.log_p + np.log(worst.trials)) > threshold):
                break
            found.append(int(chosen[worst.cell]))
            chosen = np.delete(chosen, worst.cell)
        return sorted(found) or [int(scores.difference["bin_cell"])]

    def _null(self, scores: ReportScores) -> Floats:
        """How much the histogram scatters in the comparison that says most, ``(5, 3)``."""
        null = self.null_model or NullModel.unknown()
        return null_of(self.good, null.known, null.spread, scores.worst[0])

    def dispersion(self, scores: ReportScores) -> Floats:
        """Variance by that of independent fills of each of `SCATTER` in the comparison that says most."""
        return self._null(scores)[:, 1]

    def repeats(self, report: Counts, before: Counts) -> bool:
        """True if a report is the one before it once more, as no histogram is that scatters.

        In each bin as many counts, and of profiles the same sums. Fills in clusters are less likely to be the same.
        Histograms of which it is not known yet that they scatter at all, as those of pulses do not, may repeat.
        """
        if report.counts.shape != before.counts.shape or not np.array_equal(report.counts, before.counts):
            return False
        if report.moments is not None and not (
            before.moments is not None and np.array_equal(report.moments, before.moments)
        ):
            return False
        seen = self.good[_WITHIN, _CELLS] + (0.0 if self.null_model is None else self.null_model.known[_WITHIN, _CELLS])
        if not (seen[0] > 0 and seen[1] > _SCATTERS * seen[0]):
            return False
        return log_p_of_repeat(report.counts) < _NO_CHANCE

    def learn(self, scores: ReportScores, *, good: bool) -> None:
        """Learn how much reports scatter from one that was tested. What `among` made of this learns with it."""
        sums = np.nan_to_num(scores.scatter)
        sums[..., 1:] *= sums[..., :1]
        self.every += sums
        self.reports += 1, not good
        if good:
            self.good += sums

    def scatter(self) -> Floats:
        """What this run teaches those after it, see `owtrend.outliers.null_model.summary`.

        How much reports scatter within a run is learned from good ones. How much runs differ from all: the ends of a
        run differ most, and would never teach it once they are bad. Few bad runs teach nothing, see `NullModel`.
        """
        sums = self.every.copy()
        sums[_WITHIN] = self.good[_WITHIN]
        return summary(sums)

    def among(self, cells: NDArray[np.bool_]) -> Self:
        """The same for some of the cells of one axis, to test reports that have no others; scores go to both."""
        running = (
            None if one is None else RunningCounts.from_counts(one.to_counts().among(cells))
            for one in (self.accepted, self._latest, self._earlier)
        )  # fmt: skip
        accepted, latest, earlier = running
        reference = None if self.reference is None else self.reference.among(cells)
        return replace(self, reference=reference, accepted=accepted, _latest=latest, _earlier=earlier)

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


def _group(counts: Counts | RunningCounts | None) -> Group:
    if counts is None:
        return _NOTHING
    return counts.counts, counts.line_sums, _NO_MOMENTS if counts.moments is None else counts.moments
