"""One histogram watched report by report: each beside the reference of other runs and beside its own run so far.

Live and over years of archive it is the same object, fed with increments in order of time. What it finds wrong it does
not learn from.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample import report as kernels

__all__ = ["KNOWN_RUNS", "LOOKS", "SCORES", "Null", "ReportScores", "Sample", "Total", "Watched", "summary"]

Floats = NDArray[np.float64]

LOOKS = ("other runs", "run so far", "this run", "last reports")
SCORES = ("chi2", "bin", "window", "shift", "profile_chi2", "profile_bin")
RECENT = 4  # reports that are looked at together
_NO_CELLS, _NO_MOMENTS = np.empty(0), np.empty((3, 0))
_AGAIN = 4  # reports
_QUIET, _MUCH = 0.15, 1.3  # quantile of a run's reports; excess that is no chance in it
_TELLING, _NEARLY = tuple(map(SCORES.index, ("bin", "profile_bin", "window", "shift", "profile_chi2", "chi2"))), 0.7
_LEAST = 10.0  # entries of a bin whose mean is compared
_KNOWN_REPORTS, KNOWN_RUNS = 8, 3  # from which on the null is learned


@dataclass(frozen=True, eq=False)
class Sample:
    """Counts of a histogram: of a report, of some, or of a reference.

    Parameters
    ----------
    counts
        Flat, flow included, in ROOT's order; of weighted contents as many as would have such errors; of a profile its
        bin entries.
    sizes
        Cells along x[, y[, z]].
    moments
        Of a profile: bin entries, sums of y and of y**2, shape ``(3, cell)``.
    reports
        How many reports were added.
    """

    counts: Floats
    sizes: NDArray[np.int64]
    moments: Floats | None = None
    reports: int = 1

    @cached_property
    def cumulated(self) -> Floats:
        """Along each axis, see `owtrend.kernels.two_sample.report.cumulated`."""
        return kernels.cumulated(self.counts, self.sizes)

    def line(self, axis: int) -> Floats:
        """Counts along an axis, flow included, over all others."""
        first, last = self.bounds[axis : axis + 2]
        return np.diff(self.cumulated[first:last])

    @property
    def bounds(self) -> NDArray[np.int64]:
        return kernels.line_bounds(tuple(self.sizes.tolist()))


@dataclass(eq=False)
class Total:
    """Counts that grow: a sum of samples."""

    counts: Floats
    sizes: NDArray[np.int64]
    cumulated: Floats
    moments: Floats | None
    reports: int

    @classmethod
    def of(cls, *samples: "Sample | Total") -> Self:
        """So many samples, added."""
        first, *others = samples
        moments = None if first.moments is None else first.moments.copy()
        made = cls(first.counts.copy(), first.sizes, first.cumulated.copy(), moments, first.reports)
        for one in others:
            made.add(one)
        return made

    def add(self, one: "Sample | Total", sign: int = 1) -> None:
        """Or, with a ``sign`` of -1, take away."""
        add = np.add if sign > 0 else np.subtract
        add(self.counts, one.counts, out=self.counts)
        add(self.cumulated, one.cumulated, out=self.cumulated)
        if self.moments is not None and one.moments is not None:
            add(self.moments, one.moments, out=self.moments)
        self.reports += sign * one.reports

    def sample(self) -> Sample:
        """As it is now."""
        made = Sample(
            self.counts.copy(), self.sizes, None if self.moments is None else self.moments.copy(), self.reports
        )
        vars(made)["cumulated"] = self.cumulated.copy()
        return made


@dataclass(frozen=True, eq=False)
class Null:
    """What is usual for a histogram when nothing is wrong, as its earlier runs had it.

    It only ever widens what counting statistics alone would give: fills that come in bunches, conditions that change
    from run to run.

    Parameters
    ----------
    excess
        How much larger chi2 is than expected, ``(look,)``: by so much counts tell less than they seem to.
    location, scale
        Of z, after that, ``(look, score)``; 0 and 1 where counting is all.
    """

    excess: Floats
    location: Floats
    scale: Floats

    @classmethod
    def of(cls, runs: Sequence[Floats]) -> "Null":
        """From the `summary` of earlier runs."""
        if len(runs) < KNOWN_RUNS:
            return _PLAIN
        held = np.stack(runs)
        count, location, scale = held[..., 0], held[..., 1], held[..., 2]
        known = (count > 0).sum(axis=0)
        middle = _median(location)
        wide = np.sqrt(_median(scale**2) + (1.4826 * _median(np.abs(location - middle))) ** 2)
        return _widened(middle, wide, np.where(known >= KNOWN_RUNS, np.nansum(count, axis=0), 0))

    @classmethod
    def of_reports(cls, seen: Sequence[Floats]) -> "Null":
        """From what was `ReportScores.seen` in earlier reports of a run that has no others before it.

        Only the excess, and that of the quietest reports: what goes wrong in the run must not become usual in it.
        """
        if len(seen) < _KNOWN_REPORTS:
            return _PLAIN
        ordered = np.sort([one[:, -1] for one in seen], axis=0)  # NaN last
        known = np.isfinite(ordered).sum(axis=0)
        at = (_QUIET * np.maximum(known - 1, 0)).astype(np.intp)
        quiet = np.where(known >= _KNOWN_REPORTS, ordered[at, np.arange(len(LOOKS))], 1.0)
        return replace(_PLAIN, excess=np.where(quiet > _MUCH, quiet, 1.0))


_PLAIN = Null(np.ones(len(LOOKS)), np.zeros((len(LOOKS), len(SCORES))), np.ones((len(LOOKS), len(SCORES))))


def summary(seen: Sequence[Floats]) -> Floats:
    """Count, median and spread (as sigma) of `ReportScores.seen` in the reports of a run; ``(look, score + 1, 3)``."""
    if not seen:
        return np.full((len(LOOKS), len(SCORES) + 1, 3), np.nan)
    held = np.stack(seen)
    middle = _median(held)
    spread = 1.4826 * _median(np.abs(held - middle))
    return np.stack([np.isfinite(held).sum(axis=0).astype(float), middle, spread], axis=-1)


def _median(values: Floats) -> Floats:
    """Along the first dim, of those that are known; NaN where none is."""
    ordered = np.sort(values, axis=0)  # NaN last
    known = np.isfinite(ordered).sum(axis=0)
    low, high = np.maximum((known - 1) // 2, 0), known // 2
    high = np.minimum(high, np.maximum(known - 1, 0))
    pick = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high)]
    return np.where(known > 0, (pick[0] + pick[1]) / 2, np.nan)


def _widened(location: Floats, scale: Floats, count: Floats) -> Null:
    """Only what is wider than chance by two errors of the median and of the spread."""
    known, root = count > 0, np.sqrt(np.maximum(count, 1))
    error = 2 * 1.25 * scale / root
    excess = np.where(known & (location - error > 1), location, 1.0)[:, -1]
    moved = np.where(known, location - np.fmax(error, 2 * 1.25 / root), 0.0)
    wider = np.where(known, scale / (1 + 2 * 1.17 / root), 1.0)
    return Null(excess, np.fmax(np.nan_to_num(moved[:, :-1]), 0), np.fmax(np.nan_to_num(wider[:, :-1]), 1))


@dataclass(frozen=True, eq=False)
class ReportScores:
    """What one report looked like.

    Parameters
    ----------
    seen
        Normal z of each score against each reference, and behind them chi2 by what is expected of it, ``(look, score +
        1)``; NaN where there is none.
    z
        Normal z of each score, told what is usual for the histogram.
    total
        Of all of them as one, for as many as they are: normal z.
    worst
        Look and score that tell most: of those with nearly the largest z the one that says where.
    told, means
        What `owtrend.kernels.two_sample.report.FIELDS` says of that look, and of a profile `values`.
    """

    seen: Floats
    z: Floats
    total: float
    worst: tuple[int, int]
    told: Floats
    means: Floats


@dataclass(eq=False)
class Watched:
    """One binning of a histogram in one run.

    Parameters
    ----------
    pool
        The reference: other runs, added; None if there are none.
    null
        What is usual in other runs; None if that is not known.
    scores
        Which of `SCORES` have a meaning, by number; None: all.
    """

    pool: Sample | None = None
    null: Null | None = None
    scores: tuple[int, ...] | None = None
    good: Total | None = None
    seen: list[Floats] = field(default_factory=list)
    _last: Total | None = None  # of the good reports the latest, together, and all before them
    _older: Total | None = None
    _own: tuple[int, Null] = (0, _PLAIN)
    _recent: deque[Sample] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def look(self, report: Sample) -> ReportScores | None:
        """A report beside its references; None if there is nothing to compare, or nothing was counted."""
        null = self.null or self._of_reports()
        parts = [part for one in (report, self.pool, self.good, self._last, self._older) for part in _parts(one)]
        seen, told, means = kernels.looks(*parts, report.bounds, null.excess, _LEAST)
        if self.scores is not None:
            seen[:, [n for n in range(len(SCORES)) if n not in self.scores]] = np.nan
        z, total, number, score = kernels.verdict(seen, null.location, null.scale, _TELLING, _NEARLY)
        if number < 0:
            return None
        self.seen.append(seen)
        return ReportScores(seen, z, total, (number, score), told[number], means[number])

    def learn(self, report: Sample) -> None:
        """Take a report for a good one."""
        if self._last is not None and self._older is not None:
            first = self._recent[0]
            self._older.add(first)
            self._last.add(first, -1)
            self._last.add(report)
        if self.good is None:
            self.good = Total.of(report)
        else:
            self.good.add(report)
        self._recent.append(report)
        if self._older is None and self.good.reports > RECENT:
            self._last, self._older = Total.of(*self._recent), Total.of(self.good)
            self._older.add(self._last, -1)

    def pair(self, finding: ReportScores, report: Sample) -> tuple[Sample, Sample]:
        """What was compared in the look that tells most; to be asked for before the report is learned."""
        number = finding.worst[0]
        first = {1: self.good, 3: self._last}.get(number)
        data = report if first is None else Total.of(first, report).sample()
        reference = {0: self.pool, 1: self.pool, 2: self.good, 3: self._older}[number]
        assert reference is not None, "a look has a reference"
        return data, reference if isinstance(reference, Sample) else reference.sample()

    def _of_reports(self) -> Null:
        """From the reports before, looked at again after each fourth."""
        known = len(self.seen) // _AGAIN * _AGAIN
        if known != self._own[0]:
            self._own = known, Null.of_reports(self.seen[:known])
        return self._own[1]


def _parts(one: Sample | Total | None) -> tuple[Floats, Floats, Floats]:
    """What `owtrend.kernels.two_sample.report.looks` takes of it."""
    if one is None:
        return _NO_CELLS, _NO_CELLS, _NO_MOMENTS
    return one.counts, one.cumulated, _NO_MOMENTS if one.moments is None else one.moments
