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

__all__ = ["LOOKS", "SCORES", "Finding", "Null", "Sample", "Watched"]

Floats = NDArray[np.float64]

LOOKS = ("other runs", "run so far", "this run", "last reports")
SCORES = ("shape", "bin", "strip", "shift", "means", "mean")
RECENT = 4  # reports that are looked at together
_FIELD = {name: number for number, name in enumerate(kernels.FIELDS)}
_LEAST = 10.0  # entries of a bin whose mean is compared
_KNOWN_REPORTS, _KNOWN_RUNS = 8, 3  # from which on the null is learned


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
    """What the scores of a histogram are when nothing is wrong, as its earlier runs had them.

    ``location`` and ``scale`` of z have shape ``(look, score)``; 0 and 1 is what counting statistics alone would give.
    They only ever widen it: fills that come in bunches, conditions that change from run to run.
    """

    location: Floats
    scale: Floats

    @classmethod
    def of(cls, runs: Sequence[Floats]) -> "Null":
        """From the `summary` of earlier runs, each ``(look, score, 3)``."""
        shape = len(LOOKS), len(SCORES)
        if len(runs) < _KNOWN_RUNS:
            return cls(np.zeros(shape), np.ones(shape))
        held = np.stack(runs)
        count, location, scale = held[..., 0], held[..., 1], held[..., 2]
        with np.errstate(all="ignore"):
            known = (count > 0).sum(axis=0)
            middle = _median(location)
            wide = np.sqrt(_median(scale**2) + (1.4826 * _median(np.abs(location - middle))) ** 2)
            total = np.nansum(count, axis=0)
        return cls(*_widened(middle, wide, np.where(known >= _KNOWN_RUNS, total, 0)))

    @classmethod
    def of_reports(cls, z: Sequence[Floats]) -> "Null":
        """From the scores of earlier reports in the run, for a run that has none before it."""
        shape = len(LOOKS), len(SCORES)
        if len(z) < _KNOWN_REPORTS:
            return cls(np.zeros(shape), np.ones(shape))
        count, location, scale = np.moveaxis(summary(z), -1, 0)
        return cls(*_widened(location, scale, np.where(count >= _KNOWN_REPORTS, count, 0)))

    def applied(self, z: Floats) -> Floats:
        return (z - self.location) / self.scale


def summary(z: Sequence[Floats]) -> Floats:
    """How many scores a run has, their median, and their spread as sigma; shape ``(look, score, 3)``."""
    if not z:
        return np.full((len(LOOKS), len(SCORES), 3), np.nan)
    held = np.stack(z)
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


def _widened(location: Floats, scale: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Only what is wider than chance, by two errors of the median and of the spread."""
    few = count <= 0
    root = np.sqrt(np.maximum(count, 1))
    moved = np.where(few, 0, location - 2 * 1.25 * np.fmax(scale, 1) / root)
    wider = np.where(few, 1, scale / (1 + 2 * 1.17 / root))
    return np.fmax(np.nan_to_num(moved), 0), np.fmax(np.nan_to_num(wider), 1)


@dataclass(frozen=True, eq=False)
class Finding:
    """What one report looked like.

    Parameters
    ----------
    raw
        Normal z of each score against each reference, shape ``(look, score)``; NaN where there is none.
    z
        The same, told what is usual for the histogram.
    total
        Of all of them as one, for as many as they are: normal z.
    worst
        Look and score of the largest z.
    told
        What `owtrend.kernels.look.FIELDS` says of that look, and of a profile `values`.
    pair
        The counts that were compared in it.
    """

    raw: Floats
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
    raw: list[Floats] = field(default_factory=list)
    _recent: deque[Sample] = field(default_factory=lambda: deque(maxlen=RECENT - 1))

    def look(self, report: Sample) -> Finding | None:
        """A report beside its references; None if there is nothing to compare, or nothing was counted."""
        raw = np.full((len(LOOKS), len(SCORES)), np.nan)
        found: dict[int, tuple[tuple[Floats, tuple[float, ...]], tuple[Sample, Sample]]] = {}
        for number, (data, reference) in self._pairs(report).items():
            made, told = _scores(data, reference)
            raw[number, list(self.scores)] = made[list(self.scores)]
            found[number] = told, (data, reference)
        if not np.isfinite(raw).any():
            return None
        null = self.null or Null.of_reports(self.raw)
        z = null.applied(raw)
        worst = np.unravel_index(np.nanargmax(z), z.shape)
        number, score = int(worst[0]), int(worst[1])
        trials = np.isfinite(z).sum()
        log_p = float(kernels.log_upper(float(z[worst]))) + np.log(trials)
        total = float(kernels.z_of(np.array([min(log_p, 0.0)]))[0])
        return Finding(raw, z, total, (number, score), *found[number])

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


def _scores(data: Sample, reference: Sample) -> tuple[Floats, tuple[Floats, tuple[float, ...]]]:
    """Normal z of each score, and what was told of it."""
    told = kernels.look(data.counts, reference.counts, data.lines, reference.lines, data.bounds)
    with np.errstate(divide="ignore"):
        log_p = np.array(
            [told[_FIELD[f"{name}_log_p"]] + np.log(told[_FIELD[f"{name}_trials"]]) for name in SCORES[1:4]]
        )
    made = np.full(len(SCORES), np.nan)
    made[1:4] = kernels.z_of(np.minimum(log_p, 0.0))
    if told[_FIELD["bins"]] > 1:
        made[0] = homogeneity.chances(told[:6])[1]
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
