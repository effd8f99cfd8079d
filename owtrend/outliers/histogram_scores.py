"""The scores of some histograms over runs in order of time: each report beside other runs and beside its own run."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.kernels.cells import difference as kernels
from owtrend.kernels.two_sample.report import z_of
from owtrend.model.finding import Finding
from owtrend.model.registry import HistogramEntry
from owtrend.outliers.explain import why
from owtrend.outliers.monitor import KNOWN_RUNS, LOOKS, SCORES, Null, Sample, Total, Watched, summary
from owtrend.store.reader import SubsystemReader
from owtrend.trends.run_trends import REPORTED

__all__ = [
    "BINS",
    "NULLS",
    "Past",
    "Rules",
    "ScoreArrays",
    "in_ns",
    "median_wait",
    "score_runs",
    "threshold_of",
    "usual",
    "warm_up",
]

ScoreArrays = dict[str, NDArray[Any]]
NULL_RUNS = 20  # whose scores tell what is usual
_UNEVEN = 1.5  # of exponential weights, whose fills come in fewer and larger steps than their variance tells
BINS = 1  # bit of flagged
NULLS = (*SCORES, "excess")  # of what a run tells what is usual


@dataclass(frozen=True)
class Rules:
    """What scores are made by.

    Parameters
    ----------
    tests
        Histograms that are watched, in all subsystems.
    budget
        False alarms in eight hours that all of them together may give.
    last
        How many runs are the reference.
    adapt_after
        So many runs in a row that are wrong throughout are the new usual; 0: never.
    epochs
        Runs of the subsystem with which another epoch begins.
    """

    tests: int
    budget: float = 1.0
    last: int = 5
    adapt_after: int = 3
    epochs: tuple[int, ...] = ()

    @property
    def digest(self) -> bytes:
        """Hash of the settings that a score depends on beside its references; 8 bytes."""
        return hashlib.blake2b(f"{self.budget} {self.last} {self.adapt_after}".encode(), digest_size=8).digest()


def threshold_of(rules: Rules, wait: float) -> float:
    """Normal z from which on a report is flagged, where a histogram reports every ``wait`` ns.

    Bonferroni's: the budget, shared by all reports of all histograms in eight hours. Reports that have much in common,
    flags that fall together, and discrete counts only make it less.
    """
    reports = rules.tests * 8 * 3600e9 / wait
    return float(z_of(np.array([np.log(rules.budget / max(reports, 2 * rules.budget))]))[0])


def warm_up(rules: Rules) -> int:
    """How many runs back the reference may look: some of them may have been wrong."""
    return 2 * max(rules.last, rules.adapt_after)


def usual(doubtful: Sequence[bool], adapt_after: int) -> list[bool]:
    """Which of some runs, in order of time, tell what is usual: the good ones.

    Where so many in a row were doubtful they are the new usual, and what was before them is no longer.
    """
    ends = [
        last
        for last in range(adapt_after, len(doubtful) + 1)
        if adapt_after and all(doubtful[last - adapt_after : last])
    ]
    if not ends:
        return [not one for one in doubtful]
    last = ends[-1]
    first = last
    while first and doubtful[first - 1]:
        first -= 1
    return [first <= number < last or (number >= last and not one) for number, one in enumerate(doubtful)]


@dataclass(frozen=True, eq=False)
class Contribution:
    """What a run gives to the reference: its good reports, or, ``doubtful``, all, where most were not good."""

    run: int
    mode: str
    binning: tuple[Any, ...]
    sample: Sample
    doubtful: bool


@dataclass
class Past:
    """What is known of a histogram from the runs before."""

    rules: Rules
    held: deque[Contribution] = field(init=False)
    nulls: deque[tuple[bool, NDArray[np.float64]]] = field(default_factory=lambda: deque(maxlen=NULL_RUNS))

    def __post_init__(self) -> None:
        self.held = deque(maxlen=warm_up(self.rules))

    def reference(self, binning: tuple[Any, ...], mode: str) -> tuple[Sample | None, list[int]]:
        """The last good runs of this binning and mode, added, and which they are."""
        alike = [one for one in self.held if one.binning == binning and one.mode == mode]
        known = usual([one.doubtful for one in alike], self.rules.adapt_after)
        chosen = [one for one, good in zip(alike, known, strict=True) if good][-self.rules.last :]
        if not chosen:
            return None, []
        return Total.of(*(one.sample for one in chosen)).sample(), [one.run for one in chosen]

    def null(self) -> Null | None:
        """What is usual, of the runs that tell it; None if they are too few."""
        good = usual([doubtful for doubtful, _ in self.nulls], self.rules.adapt_after)
        known = [null for (_, null), one in zip(self.nulls, good, strict=True) if one]
        return Null.of(known) if len(known) >= KNOWN_RUNS else None

    def remember(
        self, null: NDArray[np.float64], reported: NDArray[np.bool_], flagged: NDArray[np.bool_]
    ) -> None:  # fmt: skip
        """The scores of a run that is over, in `owtrend.outliers.monitor.summary`."""
        if np.isfinite(null).any():
            self.nulls.append((bool(2 * flagged.sum() > reported.sum()), null))

    def add(self, run: int, mode: str, binning: tuple[Any, ...], total: Total | None, good: Total | None) -> None:
        """A run that is over: all its reports, and those that were good."""
        if total is None:
            return
        doubtful = good is None or 2 * good.reports < total.reports
        told = total if good is None or doubtful else good
        self.held.append(Contribution(run, mode, binning, told.sample(), doubtful))


def score_runs(
    view: SubsystemReader, subsystem: str, runs: Sequence[int], before: Sequence[int],
    histograms: Sequence[HistogramEntry], first: int, rules: Rules,
) -> Iterator[tuple[int, ScoreArrays, list[Finding]]]:  # fmt: skip
    """The scores of a block of histograms in some runs, run after run.

    Parameters
    ----------
    runs
        In order of time.
    before
        Runs before them that have scores already, in order of time: the reference that there is at the beginning.
    first
        Place of the first of ``histograms`` in the registry, and in the stored trends.

    Returns
    -------
    :
        Of each run ``z`` (time, histogram, score), ``total`` (time, histogram), ``flagged`` (time, histogram) and
        ``null`` (histogram, look, score + 1, 3), and its flags. NaN where a histogram did not report.
    """
    columns = slice(first, first + len(histograms))
    pasts = [Past(rules) for _ in histograms]
    for number, run in enumerate(before):
        _recall(view, run, histograms, columns, pasts, totals=number >= len(before) - warm_up(rules))
    for run in runs:
        yield run, *_one_run(view, subsystem, run, histograms, columns, pasts, rules)


def _recall(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], columns: slice, pasts: Sequence[Past],
    *, totals: bool,
) -> None:  # fmt: skip
    """What a run that was scored before adds to the past, as `_one_run` did then; without ``totals`` only its null."""
    run_index = view.run_index(run)
    rows = slice(0, len(view.times(run_index)))
    flagged = view.score_block("flagged", run_index, rows, columns) & BINS > 0
    reported = view.trend_block("state", run_index, rows, columns) & REPORTED > 0
    nulls = view.null_block(run_index, columns, LOOKS, NULLS)
    live = [_Live() for _ in histograms]
    if totals:
        mode = view.per_run["mode"][run_index]
        for column, number, piece, at, samples in _reports(view, run, histograms, columns):
            one = live[column]
            if number != one.number:
                one.over(pasts[column], run, mode)
                one.number, one.piece, one.watched, one.total = number, piece, Watched(), None
            for row, sample in zip(at, samples, strict=True):
                one.count(sample)
                if not flagged[row, column]:
                    one.watched.learn(sample)
        for one, past in zip(live, pasts, strict=True):
            one.over(past, run, mode)
    for column, past in enumerate(pasts):
        past.remember(nulls[column], reported[:, column], flagged[:, column])


@dataclass
class _Live:
    """A histogram in the run that is gone through."""

    number: int = -1  # of its binning
    piece: RunHistogram | None = None
    watched: Watched = field(default_factory=Watched)
    total: Total | None = None
    runs: list[int] = field(default_factory=list)  # that it is compared with
    latest: np.datetime64 | None = None  # report

    def count(self, report: Sample) -> None:
        if self.total is None:
            self.total = Total.of(report)
        else:
            self.total.add(report)

    def over(self, past: Past, run: int, mode: str) -> None:
        """The run, or this binning in it, is over."""
        if self.piece is not None:
            past.add(run, mode, self.piece.segment.binning, self.total, self.watched.good)


def _one_run(
    view: SubsystemReader, subsystem: str, run: int, histograms: Sequence[HistogramEntry], columns: slice,
    pasts: Sequence[Past], rules: Rules,
) -> tuple[ScoreArrays, list[Finding]]:  # fmt: skip
    run_index = view.run_index(run)
    times, mode = view.times(run_index), view.per_run["mode"][run_index]
    shape = len(times), len(histograms)
    out: ScoreArrays = {
        "z": np.full((*shape, len(SCORES)), np.nan, dtype=np.float32),
        "total": np.full(shape, np.nan, dtype=np.float32),
        "flagged": np.zeros(shape, dtype=np.uint8),
        "null": np.full((shape[1], len(LOOKS), len(SCORES) + 1, 3), np.nan, dtype=np.float32),
    }
    flags: list[Finding] = []
    live = [_Live() for _ in histograms]
    everything = slice(0, len(view.registry.histograms))
    reported = view.trend_block("state", run_index, slice(0, len(times)), everything) & REPORTED > 0
    wait = median_wait(times, reported)
    threshold = threshold_of(rules, wait)
    for column, number, piece, rows, samples in _reports(view, run, histograms, columns):
        one = live[column]
        if number != one.number:  # begun, or binned anew
            one.over(pasts[column], run, mode)
            pool, one.runs = pasts[column].reference(piece.segment.binning, mode)
            one.number, one.piece, one.total, one.watched = number, piece, None, Watched(pool, pasts[column].null())
        for row, sample in zip(rows, samples, strict=True):
            begin = in_ns(times[0]) - in_ns(wait) if one.latest is None else in_ns(one.latest)
            one.latest = times[row]
            one.count(sample)
            finding = one.watched.look(sample)
            if finding is not None:
                with np.errstate(invalid="ignore"):
                    out["z"][row, column] = np.fmax.reduce(finding.z, axis=0)
                out["total"][row, column] = finding.total
            if finding is None or finding.total <= threshold:
                one.watched.learn(sample)
                continue
            out["flagged"][row, column] = BINS
            flags.append(
                Finding(
                    subsystem=subsystem, run=run, histograms=(histograms[column].name,), start=begin,
                    stop=in_ns(times[row]), score=SCORES[finding.worst[1]], z=round(finding.total, 3),
                    why=why(finding, one.watched.pair(finding, sample), piece.axes, one.runs), report=in_ns(wait),
                )
            )  # fmt: skip
    for column, (one, past) in enumerate(zip(live, pasts, strict=True)):
        one.over(past, run, mode)
        out["null"][column] = summary(one.watched.seen)
        null = out["null"][column].astype(np.float64)
        past.remember(null, reported[:, columns][:, column], out["flagged"][:, column] > 0)
    return out, flags


def _reports(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], columns: slice
) -> Iterator[tuple[int, int, RunHistogram, NDArray[np.intp], list[Sample]]]:
    """Column, number of the binning, that, and the rows and gains of its reports, window after window of a run.

    Of a histogram that went on in another binning nobody knows what its first row gained: it is left out. So are
    gauges, which count nothing.
    """
    run_index = view.run_index(run)
    reported = view.trend_block("state", run_index, slice(0, len(view.times(run_index))), columns) & REPORTED > 0
    prefetched = Prefetched(view, run_index, histograms)
    pieces = [
        [one for one in run_histogram.by_binning(view, run, entry, prefetched.cells) if not one.segment.gauge]
        for entry in histograms
    ]
    for first, last in prefetched.windows():
        for column, of_one in enumerate(pieces):
            for number, one in enumerate(of_one):
                start, stop = np.searchsorted(one.rows, (first, last))
                at = start + np.flatnonzero(reported[one.rows[start:stop], column])
                if number:
                    at = at[at > 0]
                if len(at):
                    yield column, number, one, one.rows[at], _samples(one, at, int(start), int(stop))


def _samples(whole: RunHistogram, at: NDArray[np.intp], start: int, stop: int) -> list[Sample]:
    """The gains of the rows ``at`` of a histogram, of those from ``start`` to before ``stop``."""
    extra = int(start > 0)
    window = whole.window(start - extra, stop)
    before = kernels.previous_rows(whole.entries, whole.additive)[at]
    rows, previous = at - (start - extra), np.where(before >= 0, before - (start - extra), kernels.ZERO)
    sizes = np.array([len(axis) + 2 for axis in whole.axes], dtype=np.int64)
    ones = np.ones(len(at))
    if whole.segment.class_name.startswith("TProfile"):
        parts = [_gained(window, part, rows, previous) for part in ("bin_entries", "sumwy", "sumwy2")]
        moments = np.stack(parts, axis=1)
        return [Sample(counts, sizes, three) for counts, three in zip(parts[0], moments, strict=True)]
    scale = ones
    if "sumw2" in whole.pieces:
        sums = dict(zip(whole.sum_names, _gained(whole, "sums", at, before).T, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = sums["tsumw"] / sums["tsumw2"]
        scale = np.where(np.isfinite(scale) & (scale > 0), scale / _UNEVEN, 1.0)
    counts = kernels.gained_in(window.native("contents"), rows, previous, scale)
    return [Sample(one, sizes) for one in counts]


def _gained(
    one: RunHistogram, part: str, rows: NDArray[np.intp], previous: NDArray[np.int64]
) -> NDArray[np.float64]:  # fmt: skip
    """Gains of a part in some rows, which may be negative."""
    values = np.asarray(one.read(part), dtype=np.float64)
    made, more = values[rows], previous >= 0
    made[more] -= values[previous[more]]
    return made


def median_wait(times: NDArray[np.datetime64], reported: NDArray[np.bool_]) -> float:
    """Usual time between two reports of a histogram [ns]; of snapshots where none reports twice."""
    waits = [np.diff(times[column].astype("datetime64[ns]").view("int64")) for column in reported.T if column.sum() > 1]
    if waits:
        return float(np.median(np.concatenate(waits)))
    return float(np.median(np.diff(times.view("int64")))) if len(times) > 1 else 60e9


def in_ns(time: np.datetime64 | float) -> int:
    """Of a time or a length of time, whole ns."""
    return int(time.astype("datetime64[ns]").view("int64")) if isinstance(time, np.datetime64) else int(time)
