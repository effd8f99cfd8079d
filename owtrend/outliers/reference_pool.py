"""What a run is compared with: the good runs before it, and what their scores looked like."""

import hashlib
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample.tails import z_of
from owtrend.model.axis import Axis, common_axes
from owtrend.model.finding import Aspect, Concerned
from owtrend.outliers.monitor import Counts, RunningCounts
from owtrend.outliers.null_model import NullModel

__all__ = ["NULL_RUNS", "PoolEntry", "ReferencePool", "RunScore", "ScoreSettings", "WholeRuns", "accepted_runs"]

NULL_RUNS = 20  # that a null model is learned from, at most
_ENOUGH_RUNS = 5  # whose sizes say what is usual
_FAR = 4.0  # standard deviations from the usual size, and of significance, from which on a run is bad
_LEAST_WIDTH = 0.1  # of the usual size: it is not known better from a few runs
_MAD = 1.4826  # of a normal variable, its standard deviation by its median absolute deviation


@dataclass(frozen=True)
class ScoreSettings:
    """Settings that scores depend on.

    Parameters
    ----------
    tests
        Histograms that are tested, in all subsystems.
    budget
        False alarms in eight hours, all histograms together.
    last
        Runs in a reference.
    adapt_after
        As many runs in a row that are wrong throughout become the new reference; 0: never.
    epochs
        Runs of the subsystem with which another epoch begins.
    accepted
        Histograms of the subsystem whose level a person accepted as the new normal, since when.
    rate_within, rates
        Largest difference of the rates of runs that are compared, relative; the rates that are known, by run, sorted.
    """

    tests: int
    budget: float = 1.0
    last: int = 5
    adapt_after: int = 3
    epochs: tuple[int, ...] = ()
    accepted: tuple[Concerned, ...] = ()
    rate_within: float | None = None
    rates: tuple[tuple[int, float], ...] = ()

    @cached_property
    def _rate_of(self) -> dict[int, float]:
        return dict(self.rates)

    def rate_of(self, run: int) -> float:
        """The rate of a run; NaN if it is not known."""
        return self._rate_of.get(run, np.nan)

    def comparable(self, run: int, earlier: int) -> bool:
        """False if the rate of an earlier run differs too much from that of a run; true where one is not known."""
        if self.rate_within is None:
            return True
        rate = self.rate_of(run)
        return not abs(self.rate_of(earlier) - rate) > self.rate_within * abs(rate)

    def begins_anew(self, aspect: Aspect, histograms: Collection[str]) -> tuple[int, ...]:
        """When what was before ceased to be a reference of any of these histograms [ns], in order of time."""
        return tuple(
            sorted({one.start for one in self.accepted if one.aspect is aspect and one.histogram in histograms})
        )

    @property
    def digest(self) -> bytes:
        """Hash of the settings that a score depends on in addition to its references; 8 bytes."""
        rate = "" if self.rate_within is None else f" {self.rate_within}"
        return hashlib.blake2b(f"{self.budget} {self.last} {self.adapt_after}{rate}".encode(), digest_size=8).digest()

    @property
    def warm_up(self) -> int:
        """Runs back that a reference may need: some of them may have been wrong."""
        return 2 * max(self.last, self.adapt_after)

    def thresholds(self, waits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Normal z from which on a report is flagged, where a histogram reports every so many ns.

        Bonferroni's: the budget is shared by all reports of all histograms in eight hours. Correlated reports, flags
        that fall together, and discrete counts only lower the rate of false alarms.
        """
        reports = self.tests * 8 * 3600e9 / waits
        return z_of(np.log(self.budget / np.maximum(reports, 2 * self.budget)))


def accepted_runs(rejected: Sequence[bool], adapt_after: int) -> list[bool]:
    """Runs, in order of time, that references are made from: the good ones.

    After ``adapt_after`` rejected runs in a row these are the new normal, and the runs before them no longer are.
    """
    ends = [
        last
        for last in range(adapt_after, len(rejected) + 1)
        if adapt_after and all(rejected[last - adapt_after : last])
    ]
    if not ends:
        return [not bad for bad in rejected]
    last = ends[-1]
    first = last
    while first and rejected[first - 1]:
        first -= 1
    return [first <= number < last or (number >= last and not bad) for number, bad in enumerate(rejected)]


@dataclass(frozen=True, eq=False)
class PoolEntry:
    """A run in the pool: its good reports, or, if it is ``rejected`` because most were bad, all of them."""

    run: int
    mode: str
    axes: tuple[Axis, ...]
    counts: Counts
    rejected: bool

    def is_like(self, axes: Sequence[Axis], *, profile: bool) -> bool:
        """True if it can be compared with a histogram of these axes, all counts of the run.

        Counts beyond the ends of an axis that the other histogram has extended have no place.
        """
        joined = common_axes([axes, self.axes]) if profile == (self.counts.moments is not None) else None
        if joined is None or self.axes == joined:
            return joined is not None
        return bool(np.isclose(self.counts.on(self.axes, joined).counts.sum(), self.counts.counts.sum()))


@dataclass
class ReferencePool:
    """Earlier runs of one histogram: their counts, and the summaries of their scores."""

    settings: ScoreSettings
    histogram: str = ""
    entries: deque[PoolEntry] = field(init=False)
    summaries: deque[NDArray[np.float64]] = field(default_factory=lambda: deque(maxlen=NULL_RUNS))

    def __post_init__(self) -> None:
        self.entries = deque(maxlen=self.settings.warm_up)
        self._epochs = self.settings.begins_anew(Aspect.BINS, (self.histogram,))
        self._passed = 0  # epochs

    def begins_anew(self, time: int) -> bool:
        """True if a report at ``time`` [ns] is the first of a level that was accepted: the runs so far are forgotten.

        The summaries stay: how much scores scatter does not depend on the level.
        """
        passed = bisect_left(self._epochs, time)
        if passed == self._passed:
            return False
        self._passed = passed
        self.entries.clear()
        return True

    def copy(self) -> "ReferencePool":
        """The same, to which another run can be added."""
        other = ReferencePool(self.settings, self.histogram)
        other._passed = self._passed
        other.entries.extend(self.entries)
        other.summaries.extend(self.summaries)
        return other

    def reference(
        self, axes: tuple[Axis, ...], run: int, mode: str, *, profile: bool
    ) -> tuple[Counts | None, list[int], tuple[Axis, ...]]:  # fmt: skip
        """The last good runs of this mode and a rate like that of ``run`` that are on common axes, added; their run
        numbers; and the common axes.
        """
        alike = [
            entry for entry in self.entries
            if entry.mode == mode and self.settings.comparable(run, entry.run) and entry.is_like(axes, profile=profile)
        ]  # fmt: skip
        accepted = accepted_runs([entry.rejected for entry in alike], self.settings.adapt_after)
        chosen: list[PoolEntry] = []
        joined = axes
        for entry in [entry for entry, good in zip(alike, accepted, strict=True) if good][
            : -self.settings.last - 1 : -1
        ]:
            more = common_axes([axes, *(known.axes for known in chosen), entry.axes])
            if more is not None:
                joined = more
                chosen.insert(0, entry)
        if not chosen:
            return None, [], axes
        counts = RunningCounts.from_counts(*(entry.counts.on(entry.axes, joined) for entry in chosen))
        return counts.to_counts(), [entry.run for entry in chosen], joined

    def is_last(self, axes: tuple[Axis, ...], report: Counts) -> bool:
        """True if a report is the only one of the run before once more, to the last bit, as of software that is new."""
        if not self.entries or self.entries[-1].counts.reports > 1 or self.entries[-1].axes != axes:
            return False
        before = self.entries[-1].counts
        same = np.array_equal(before.counts, report.counts)
        if before.moments is None or report.moments is None:
            return same and before.moments is report.moments
        return same and np.array_equal(before.moments, report.moments)

    def null_model(self) -> NullModel:
        """The null model of the runs so far."""
        return NullModel.from_runs(self.summaries)

    def add_summary(self, summary: NDArray[np.float64]) -> None:
        """Add how much the reports of a finished run scatter, as `owtrend.outliers.null_model.summary` has it."""
        if np.isfinite(summary).any():
            self.summaries.append(summary)

    def add_run(
        self, run: int, mode: str, axes: tuple[Axis, ...], total: RunningCounts | None,
        accepted: RunningCounts | None,
    ) -> None:  # fmt: skip
        """Add the counts of a finished run: of all its reports, and of the good ones."""
        if total is None:
            return
        rejected = accepted is None or 2 * accepted.reports < total.reports
        counts = total if accepted is None or rejected else accepted
        self.entries.append(PoolEntry(run, mode, axes, counts.to_counts(), rejected))


@dataclass(frozen=True)
class RunScore:
    """A whole run compared with the good ones before it.

    Parameters
    ----------
    entries
        Counts of the run.
    z
        Significance: chi2 of all bins less its expectation, in standard deviations of independent fills.
    size, size_error
        Root mean square of the relative differences of bins, without what counting adds, and its statistical error.
    usual
        Size that the good runs before had; NaN if they are too few.
    deviation
        How far the size is beyond that, in standard deviations of those runs.
    bad
        Whether it is significant, and larger than usual.
    """

    run: int
    entries: float
    z: float
    size: float
    size_error: float
    usual: float
    deviation: float
    bad: bool


class WholeRuns:
    """Scores of whole runs of one histogram, run after run; also where a run is a single report.

    With many entries any two runs differ significantly. What matters is whether one differs by more than good runs do:
    by how much that is, is learned from them.
    """

    def __init__(self, settings: ScoreSettings, histogram: str = "") -> None:
        self._pool = ReferencePool(settings, histogram)
        self._sizes: deque[float] = deque(maxlen=NULL_RUNS)

    def add(self, run: int, mode: str, axes: tuple[Axis, ...], counts: Counts) -> RunScore:
        """Score the next run, and make it part of what later ones are compared with."""
        reference, _, common = self._pool.reference(axes, run, mode, profile=counts.moments is not None)
        score = RunScore(run, float(counts.counts.sum()), np.nan, np.nan, np.nan, np.nan, np.nan, bad=False)
        if reference is not None and score.entries > 0:
            score = self._compared(score, counts.on(axes, common).counts, reference.counts)
        total = RunningCounts.from_counts(counts)
        self._pool.add_run(run, mode, axes, total, None if score.bad else total)
        if not score.bad and np.isfinite(score.size):
            self._sizes.append(score.size)
        return score

    def _compared(self, score: RunScore, counts: NDArray[np.float64], reference: NDArray[np.float64]) -> RunScore:
        both = counts + reference
        filled = both > 0
        n, r, freedom = float(counts.sum()), float(reference.sum()), float(np.count_nonzero(filled) - 1)
        if not (r > 0 and freedom > 0):
            return score
        p, information = n / (n + r), n * r / (n + r)
        off = counts[filled] - p * both[filled]
        excess = float((off**2 / both[filled]).sum()) / (p * (1 - p)) - freedom
        z, size = excess / np.sqrt(2 * freedom), float(np.sqrt(max(excess, 0.0) / information))
        error = float(np.sqrt(2 * freedom + 4 * max(excess, 0.0)) / information / 2)
        error /= max(size, np.sqrt(error))
        usual = deviation = np.nan
        if len(self._sizes) >= _ENOUGH_RUNS:
            usual = float(np.median(self._sizes))
            width = _MAD * float(np.median(np.abs(np.array(self._sizes) - usual)))
            deviation = (size - usual) / float(np.hypot(max(width, _LEAST_WIDTH * usual), error))
        bad = bool(z > _FAR and deviation > _FAR)
        return RunScore(score.run, score.entries, float(z), size, error, usual, deviation, bad)
