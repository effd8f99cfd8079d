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

from owtrend.kernels import homogeneity
from owtrend.kernels import look as kernels

__all__ = ["KNOWN_RUNS", "LOOKS", "SCORES", "Finding", "Null", "Sample", "Watched", "summary"]

Floats = NDArray[np.float64]

LOOKS = ("other runs", "run so far", "this run", "last reports")
SCORES = ("shape", "bin", "strip", "shift", "means", "mean")
RECENT = 4  # reports that are looked at together
_FIELD = {name: number for number, name in enumerate(kernels.FIELDS)}
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
    def lines(self) -> Floats:
        return kernels.lines(self.counts, self.sizes)

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        return kernels.line_bounds(self.sizes)

    def __add__(self, other: Self) -> "Sample":
        return self._with(other, 1)

    def __sub__(self, other: Self) -> "Sample":
        return self._with(other, -1)

    def divided(self, by: float) -> "Sample":
        """So many times fewer counts, and means of so many fewer entries."""
        made = Sample(self.counts / by, self.sizes, None if self.moments is None else self.moments / by, self.reports)
        vars(made)["lines"] = self.lines / by
        return made

    def _with(self, other: Self, sign: int) -> "Sample":
        counts = self.counts + sign * other.counts
        moments = None
        if self.moments is not None and other.moments is not None:
            moments = self.moments + sign * other.moments
        made = Sample(counts, self.sizes, moments, self.reports + sign * other.reports)
        vars(made)["lines"] = self.lines + sign * other.lines
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

    def applied(self, z: Floats) -> Floats:
        """Normal z, told what is usual."""
        return (z - self.location) / self.scale


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
    told: tuple[Floats, tuple[float, ...]]
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
        Which of `SCORES` have a meaning, by number.
    """

    pool: Sample | None = None
    null: Null | None = None
    scores: tuple[int, ...] = tuple(range(len(SCORES)))
    good: Sample | None = None
    seen: list[Floats] = field(default_factory=list)
    _divided: dict[int, Sample] = field(default_factory=dict)
    _recent: deque[Sample] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def look(self, report: Sample) -> Finding | None:
        """A report beside its references; None if there is nothing to compare, or nothing was counted."""
        seen = np.full((len(LOOKS), len(SCORES) + 1), np.nan)
        found: dict[int, tuple[tuple[Floats, tuple[float, ...]], tuple[Sample, Sample]]] = {}
        null = self.null or Null.of_reports(self.seen)
        chosen = [*self.scores, -1]
        for number, (data, reference) in self._pairs(report).items():
            excess = float(null.excess[number])
            pair = (data, reference) if excess == 1 else (data.divided(excess), self._fewer(number, reference, excess))
            made, told = _scores(*pair)
            made[-1] *= excess
            seen[number, chosen] = made[chosen]
            found[number] = told, (data, reference)
        if not np.isfinite(seen[:, :-1]).any():
            return None
        self.seen.append(seen)
        z = null.applied(seen[:, :-1])
        worst = np.unravel_index(np.nanargmax(z), z.shape)
        trials = np.isfinite(z).sum()
        log_p = float(kernels.log_upper(float(z[worst]))) + np.log(trials)
        total = float(kernels.z_of(np.array([min(log_p, 0.0)]))[0])
        number, score = _most_telling(z)
        return Finding(seen, z, total, (number, score), *found[number])

    def _fewer(self, number: int, reference: Sample, by: float) -> Sample:
        """The other runs stay the same all the time."""
        if LOOKS[number] not in ("other runs", "run so far"):
            return reference.divided(by)
        if number not in self._divided:
            self._divided[number] = reference.divided(by)
        return self._divided[number]

    def learn(self, report: Sample) -> None:
        """Take a report for a good one."""
        self.good = report if self.good is None else self.good + report
        self._recent.append(report)

    def _pairs(self, report: Sample) -> dict[int, tuple[Sample, Sample]]:
        pairs = {}
        if self.pool is not None:
            pairs[0] = report, self.pool
            if self.good is not None:
                pairs[1] = self.good + report, self.pool
        if self.good is not None:
            pairs[2] = report, self.good
            if len(self._recent) == RECENT - 1 and self.good.reports > RECENT:
                last = self._recent[0]
                for one in list(self._recent)[1:]:
                    last = last + one
                pairs[3] = last + report, self.good - last
        return pairs


def _most_telling(z: Floats) -> tuple[int, int]:
    """Look and score: the first of `_TELLING` that is at least `_NEARLY` as sure as the surest."""
    best = np.nan_to_num(z, nan=-np.inf).max(axis=0)
    score = next(n for n in _TELLING if best[n] >= min(_NEARLY * best.max(), best.max()))
    return int(np.nanargmax(np.nan_to_num(z[:, score], nan=-np.inf))), score


def _scores(data: Sample, reference: Sample) -> tuple[Floats, tuple[Floats, tuple[float, ...]]]:
    """Normal z of each score, chi2 by what is expected of it, and what was told."""
    told = kernels.look(data.counts, reference.counts, data.lines, reference.lines, data.bounds)
    with np.errstate(divide="ignore"):
        log_p = np.array(
            [told[_FIELD[f"{name}_log_p"]] + np.log(told[_FIELD[f"{name}_trials"]]) for name in SCORES[1:4]]
        )
    made = np.full(len(SCORES) + 1, np.nan)
    made[1:4] = kernels.z_of(np.minimum(log_p, 0.0))
    if told[_FIELD["bins"]] > 1:
        made[0] = homogeneity.chances(told[:6])[1]
        made[-1] = told[3] / homogeneity.moments(told[:6])[0]
    means: tuple[float, ...] = ()
    if data.moments is not None and reference.moments is not None:
        means = kernels.values(data.moments, reference.moments, _LEAST)
        if means[1]:
            made[4] = _chi2_z(means[0], means[1])
            made[5] = kernels.z_of(np.array([min(means[2] + np.log(means[5]), 0.0)]))[0]
    return made, (told, means)


def _chi2_z(chi2: float, ndf: float) -> float:
    """Wilson & Hilferty, Proc. Natl. Acad. Sci. 17 (1931) 684."""
    return float((np.cbrt(chi2 / ndf) - (1 - 2 / (9 * ndf))) * np.sqrt(4.5 * ndf))
