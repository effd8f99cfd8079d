"""One histogram watched report by report: each beside the reference of other runs and beside its own run so far.

Live and over years of archive it is the same object, fed with increments in order of time. What it finds wrong it does
not learn from.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels import look as kernels

__all__ = ["KNOWN_RUNS", "LOOKS", "SCORES", "Finding", "Null", "Sample", "Watched", "summary"]

Floats = NDArray[np.float64]

LOOKS = ("other runs", "run so far", "this run", "last reports")
SCORES = ("shape", "bin", "strip", "shift", "means", "mean")
RECENT = 4  # reports that are looked at together
Means = tuple[float, float, float, float, float, float]  # see `owtrend.kernels.look.values`
_NO_MEANS: Means = (np.nan, 0.0, np.nan, -1.0, 0.0, 0.0)
_AGAIN = 4  # reports
_TELLING, _NEARLY = tuple(map(SCORES.index, ("bin", "mean", "strip", "shift", "means", "shape"))), 0.7
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
        """Along each axis, see `owtrend.kernels.look.cumulated`."""
        return kernels.cumulated(self.counts, self.sizes)

    def line(self, axis: int) -> Floats:
        """Counts along an axis, flow included, over all others."""
        first, last = self.bounds[axis : axis + 2]
        return np.diff(self.cumulated[first:last])

    @property
    def bounds(self) -> NDArray[np.int64]:
        return kernels.line_bounds(tuple(self.sizes.tolist()))

    def __add__(self, other: Self) -> "Sample":
        return self._with(other, 1)

    def __sub__(self, other: Self) -> "Sample":
        return self._with(other, -1)

    def divided(self, by: float) -> "Sample":
        """So many times fewer counts, and means of so many fewer entries."""
        made = Sample(self.counts / by, self.sizes, None if self.moments is None else self.moments / by, self.reports)
        vars(made)["cumulated"] = self.cumulated / by
        return made

    def _with(self, other: Self, sign: int) -> "Sample":
        counts = self.counts + sign * other.counts
        moments = None
        if self.moments is not None and other.moments is not None:
            moments = self.moments + sign * other.moments
        made = Sample(counts, self.sizes, moments, self.reports + sign * other.reports)
        vars(made)["cumulated"] = self.cumulated + sign * other.cumulated
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
        """From what was `Finding.seen` in earlier reports of a run that has none before it."""
        if len(seen) < _KNOWN_REPORTS:
            return _PLAIN
        count, location, scale = np.moveaxis(summary(seen), -1, 0)
        return _widened(location, scale, np.where(count >= _KNOWN_REPORTS, count, 0))


_PLAIN = Null(np.ones(len(LOOKS)), np.zeros((len(LOOKS), len(SCORES))), np.ones((len(LOOKS), len(SCORES))))


def summary(seen: Sequence[Floats]) -> Floats:
    """What `Finding.seen` was in the reports of a run: how often, median, spread as sigma; ``(look, score + 1, 3)``."""
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
class Finding:
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
    told
        What `owtrend.kernels.look.FIELDS` says of that look, and of a profile `values`.
    pair
        The counts that were compared in it.
    """

    seen: Floats
    z: Floats
    total: float
    worst: tuple[int, int]
    told: tuple[Floats, Means]
    pair: tuple[Sample, Sample]


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
    good: Sample | None = None
    seen: list[Floats] = field(default_factory=list)
    _last: Sample | None = None  # of the good reports the latest, together, and all before them
    _older: Sample | None = None
    _added: tuple[Sample, Sample] | None = None  # a report, and all good ones with it
    _own: tuple[int, Null] = (0, _PLAIN)
    _recent: deque[Sample] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def look(self, report: Sample) -> Finding | None:
        """A report beside its references; None if there is nothing to compare, or nothing was counted."""
        seen = np.full((len(LOOKS), len(SCORES) + 1), np.nan)
        found: dict[int, tuple[tuple[Floats, Means], tuple[Sample, Sample]]] = {}
        null = self.null or self._of_reports()
        for number, (data, reference) in self._pairs(report).items():
            excess = float(null.excess[number])
            made, told = _scores(data, reference, excess)
            seen[number] = made
            found[number] = told, (data, reference)
        if self.scores is not None:
            seen[:, [n for n in range(len(SCORES)) if n not in self.scores]] = np.nan
        z, total, number, score = kernels.verdict(seen, null.location, null.scale, _TELLING, _NEARLY)
        if number < 0:
            return None
        self.seen.append(seen)
        return Finding(seen, z, total, (number, score), *found[number])

    def learn(self, report: Sample) -> None:
        """Take a report for a good one."""
        so_far = self._so_far(report)
        if len(self._recent) == RECENT - 1 and self._older is not None and self._last is not None:
            first = self._recent[0]
            self._last, self._older = self._last - first + report, self._older + first
        self.good = so_far
        self._recent.append(report)
        if self._older is None and len(self._recent) == RECENT - 1 and self.good.reports > RECENT:
            self._last = self._recent[0] + self._recent[1] + self._recent[2]
            self._older = self.good - self._last

    def _so_far(self, report: Sample) -> Sample:
        if self._added is None or self._added[0] is not report:
            self._added = report, report if self.good is None else self.good + report
        return self._added[1]

    def _of_reports(self) -> Null:
        """From the reports before, looked at again after each fourth."""
        known = len(self.seen) // _AGAIN * _AGAIN
        if known != self._own[0]:
            self._own = known, Null.of_reports(self.seen[:known])
        return self._own[1]

    def _pairs(self, report: Sample) -> dict[int, tuple[Sample, Sample]]:
        pairs = {}
        if self.pool is not None:
            pairs[0] = report, self.pool
            if self.good is not None:
                pairs[1] = self._so_far(report), self.pool
        if self.good is not None:
            pairs[2] = report, self.good
            if self._last is not None and self._older is not None:
                pairs[3] = self._last + report, self._older
        return pairs


def _scores(data: Sample, reference: Sample, excess: float) -> tuple[Floats, tuple[Floats, Means]]:
    """Normal z of each score, chi2 by what is expected of it, and what was told; of so many times fewer counts."""
    if excess != 1:
        data, reference = data.divided(excess), reference.divided(excess)
    told = kernels.look(data.counts, reference.counts, data.cumulated, reference.cumulated, data.bounds)
    means = _NO_MEANS
    if data.moments is not None and reference.moments is not None:
        means = kernels.values(data.moments, reference.moments, _LEAST)
    made = kernels.scores(told, means)
    made[-1] *= excess
    return made, (told, means)
