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

__all__ = ["NULL_RUNS", "PoolEntry", "ReferencePool", "ScoreSettings", "accepted_runs"]

NULL_RUNS = 20  # that a null model is learned from, at most


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
