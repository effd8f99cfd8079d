"""Scores of histograms over runs in order of time: each report compared with other runs and with its own run."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.histograms.steps import previous_rows
from owtrend.kernels.cells import difference as kernels
from owtrend.model.axis import Axis
from owtrend.model.finding import Aspect, Finding, Flagged, Score
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.outliers.activity import RunActivity, in_ns
from owtrend.outliers.explain import Reason, reason, still
from owtrend.outliers.monitor import COMPARISONS, SCATTER, SCORES, Counts, HistogramMonitor, RunningCounts
from owtrend.outliers.reference_pool import ReferencePool, ScoreSettings
from owtrend.store.reader import SubsystemReader
from owtrend.trends.intervals import stretches

__all__ = ["SUMMARIES", "RunScores", "ScoreArrays", "expected_wait", "recalled_pools", "run_total", "score_runs"]

ScoreArrays = dict[str, NDArray[Any]]
_UNEVEN = 1.5  # exponential weights: fills come in fewer and larger steps than their variance says
SUMMARIES = SCATTER  # names, as stored, of what a run teaches about how much reports scatter


def score_runs(
    view: SubsystemReader, subsystem: str, runs: Sequence[int], before: Sequence[int],
    histograms: Sequence[HistogramEntry], first: int, settings: ScoreSettings,
) -> Iterator[tuple[int, ScoreArrays, list[Finding]]]:  # fmt: skip
    """Scores of a block of histograms in some runs, run after run.

    Parameters
    ----------
    runs
        In order of time.
    before
        Earlier runs, already scored, in order of time: the references at the beginning.
    first
        Number of the first of ``histograms`` in the registry, and in the stored trends.

    Returns
    -------
    :
        For each run ``z`` (time, histogram, score), ``total`` (time, histogram), ``flagged`` (time, histogram) and
        ``null`` (histogram, comparison, 5, 3), and its findings. NaN where a histogram did not report.
    """
    columns = slice(first, first + len(histograms))
    pools = recalled_pools(view, before, histograms, first, settings)
    earlier = before[-1] if before else None
    for run in runs:
        mode = view.per_run["mode"][view.run_index(run)]
        scores = RunScores(subsystem, run, mode, histograms, pools.__getitem__, settings)
        activity = RunActivity.from_store(view, run).with_waits(expected_wait(view, earlier))
        yield run, *_score_run(scores, view, activity, histograms, columns)
        scores.finish(pools)
        earlier = run


def recalled_pools(
    view: SubsystemReader, before: Sequence[int], histograms: Sequence[HistogramEntry], first: int,
    settings: ScoreSettings,
) -> list[ReferencePool]:  # fmt: skip
    """The references that earlier runs left, already scored, in order of time; one pool for each histogram."""
    pools = [ReferencePool(settings, entry.name) for entry in histograms]
    columns = slice(first, first + len(histograms))
    for number, run in enumerate(before):
        _recall(view, run, histograms, columns, pools, totals=number >= len(before) - settings.warm_up)
    return pools


def expected_wait(view: SubsystemReader, run: int | None) -> float | None:
    """The wait in the run before [ns]."""
    return None if run is None else RunActivity.from_store(view, run).wait


def _score_run(
    scores: "RunScores", view: SubsystemReader, activity: RunActivity, histograms: Sequence[HistogramEntry],
    columns: slice,
) -> tuple[ScoreArrays, list[Finding]]:  # fmt: skip
    """The rows of a stored run that ``scores`` has not seen yet."""
    prefetched = Prefetched(view, view.run_index(scores.run), histograms, scores.rows_done)
    held = [run_histogram.by_binning(view, scores.run, entry, prefetched.cells) for entry in histograms]
    states = activity.state[:, columns]
    windows, findings = [], []
    for first, last in prefetched.windows():
        arrays, more = scores.rows(first, last, held, states, activity)
        windows.append(arrays)
        findings += more
    out = {name: np.concatenate([arrays[name] for arrays in windows]) for name in windows[0]}
    out["null"] = scores.null()
    return out, findings


def _recall(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], columns: slice,
    pools: Sequence[ReferencePool], *, totals: bool,
) -> None:  # fmt: skip
    """Add to the pools what `RunScores.finish` added when a run was scored; without ``totals`` only its summary."""
    run_index = view.run_index(run)
    activity = RunActivity.from_store(view, run, columns)
    flagged = Flagged.BINS.is_set(view.scores.block("flagged", run_index, slice(0, len(activity.times)), columns))
    summaries = view.scores.null_block(run_index, columns, COMPARISONS, SUMMARIES)
    running = [_Running() for _ in histograms]
    if totals:
        mode = view.per_run["mode"][run_index]
        prefetched = Prefetched(view, run_index, histograms)
        held = [run_histogram.by_binning(view, run, entry, prefetched.cells) for entry in histograms]
        for first, last in prefetched.windows():
            for column, number, piece, at, reports in _reports(held, first, last, activity.state):
                current = running[column]
                if number != current.number:
                    current.finish(pools[column], run, mode)
                    current.begin(number, piece.axes, HistogramMonitor())
                for row, report in zip(at, reports, strict=True):
                    if pools[column].begins_anew(in_ns(activity.times[row])):
                        current.begin(number, piece.axes, HistogramMonitor())
                    current.count(report)
                    if not flagged[row, column]:
                        current.accept(report)
        for current, pool in zip(running, pools, strict=True):
            current.finish(pool, run, mode)
    for column, pool in enumerate(pools):
        pool.add_summary(summaries[column])


def run_total(
    view: SubsystemReader, run: int, entry: HistogramEntry, column: int
) -> tuple[tuple[Axis, ...], Counts] | None:  # fmt: skip
    """All reports of a histogram in a run, added, with their axes; in its last binning. None if there are none.

    ``column``: its number in the registry, and in the stored trends.
    """
    activity = RunActivity.from_store(view, run, slice(column, column + 1))
    total: RunningCounts | None = None
    axes: tuple[Axis, ...] = ()
    for _, _, piece, _, reports in _reports(
        [run_histogram.by_binning(view, run, entry)], 0, len(activity.times), activity.state
    ):
        if piece.axes != axes:
            total, axes = None, piece.axes
        for report in reports:
            total = _added(total, report)
    return None if total is None else (axes, total.to_counts())


@dataclass
class _Running:
    """A histogram in the run that is being scored."""

    number: int = -1  # of its binning
    axes: tuple[Axis, ...] = ()
    common: tuple[Axis, ...] = ()  # on which it is compared with other runs
    monitor: HistogramMonitor = field(default_factory=HistogramMonitor)
    total: RunningCounts | None = None
    accepted: RunningCounts | None = None  # on its own axes, where these are not the common ones
    runs: list[int] = field(default_factory=list)  # in its reference
    latest: int | None = None  # report [ns]
    before: Counts | None = None  # the report before
    passed: int | None = None  # accepted levels that began before it

    def begin(
        self, number: int, axes: tuple[Axis, ...], monitor: HistogramMonitor, common: tuple[Axis, ...] = ()
    ) -> None:  # fmt: skip
        """Start with a binning."""
        self.number, self.axes, self.common, self.monitor = number, axes, common or axes, monitor
        self.total = self.accepted = self.before = None

    def count(self, report: Counts) -> None:
        self.total = _added(self.total, report)

    def accept(self, report: Counts) -> None:
        """Add a good report to the references."""
        self.monitor.accept(report.on(self.axes, self.common))
        if self.common != self.axes:
            self.accepted = _added(self.accepted, report)

    def repeats(self, report: Counts) -> bool:
        """True if a report is the one before it once more."""
        before, self.before = self.before, report
        return before is not None and self.monitor.repeats(report, before)

    def finish(self, pool: ReferencePool, run: int, mode: str) -> None:
        """End the run, or this binning in it."""
        if self.axes:
            accepted = self.monitor.accepted if self.common == self.axes else self.accepted
            pool.add_run(run, mode, self.axes, self.total, accepted)


def _added(total: RunningCounts | None, report: Counts) -> RunningCounts:
    if total is None:
        return RunningCounts.from_counts(report)
    total.add(report)
    return total


class RunScores:
    """Scores of some histograms in one run, window after window of rows; how it is cut into windows changes nothing.

    Parameters
    ----------
    pool_of
        Gives the runs before of a histogram, by its number; `finish` adds this one.
    """

    def __init__(
        self, subsystem: str, run: int, mode: str, histograms: Sequence[HistogramEntry],
        pool_of: Callable[[int], ReferencePool], settings: ScoreSettings,
    ) -> None:  # fmt: skip
        self.run, self.rows_done = run, 0
        self._subsystem, self._mode, self._settings = subsystem, mode, settings
        self._names: list[str] = []
        self._pool_of, self._running = pool_of, list[_Running]()
        self.add(histograms)

    def add(self, histograms: Sequence[HistogramEntry]) -> None:
        """Further histograms, none of which had any row so far."""
        self._names += [entry.name for entry in histograms]
        self._running += [_Running() for _ in histograms]

    def rows(
        self, first: int, last: int, held: Sequence[Sequence[RunHistogram]], states: NDArray[np.uint8],
        activity: RunActivity,
    ) -> tuple[ScoreArrays, list[Finding]]:  # fmt: skip
        """``z``, ``total`` and ``flagged`` of the next rows, ``first`` to before ``last``, and their findings.

        Parameters
        ----------
        held
            Of each histogram its binnings, with these rows and those before.
        states
            Of each of these histograms in the rows of the run, ``(time, histogram)``.
        activity
            Of all histograms, with its waits.
        """
        shape = last - first, len(self._running)
        out: ScoreArrays = {
            "z": np.full((*shape, len(SCORES)), np.nan, dtype=np.float32),
            "total": np.full(shape, np.nan, dtype=np.float32),
            "flagged": np.zeros(shape, dtype=np.uint8),
        }
        findings: list[Finding] = []
        thresholds = self._settings.thresholds(activity.waits[first:last])
        for column, number, piece, rows, reports in _reports(held, first, last, states):
            current = self._running[column]
            if number != current.number:  # the first rows, or another binning
                self._begin(column, number, piece)
            for row, report in zip(rows.tolist(), reports, strict=True):
                time, wait = in_ns(activity.times[row]), in_ns(activity.waits[row])
                begin = in_ns(activity.times[0]) - wait if current.latest is None else current.latest
                current.latest = time
                self._begin_anew(column, time)
                current.count(report)
                compared = report.on(current.axes, current.common)
                scores = current.monitor.test(compared)
                if scores is not None:
                    with np.errstate(invalid="ignore"):
                        out["z"][row - first, column] = np.fmax.reduce(scores.z, axis=0)
                    out["total"][row - first, column] = scores.total
                stuck = current.repeats(compared)
                good = not stuck and (scores is None or bool(scores.total <= thresholds[row - first]))
                if scores is not None:
                    current.monitor.learn(scores, good=good)
                if good:
                    current.accept(report)
                    continue
                out["flagged"][row - first, column] = Flagged.BINS
                if not stuck and self._pool_of(column).is_last(current.axes, report):
                    continue  # it has its finding in the run before; this is no news, and no reference either
                score, z, why = Score.STUCK, math.nan, Reason(still(compared))
                if scores is not None and not stuck:
                    score, z, both = (
                        Score(SCORES[scores.worst[1]]),
                        scores.total,
                        current.monitor.compared(scores, compared),
                    )
                    why = reason(scores, both, current.common, current.runs, current.monitor.dispersion(scores))
                findings.append(
                    Finding(
                        subsystem=self._subsystem, run=self.run, histograms=(self._names[column],), start=begin,
                        stop=time, score=score, z=round(z, 3), certain=stuck, why=why.words, report=wait,
                        bins=why.bins, side=why.side, size=why.size.value, size_error=why.size.error,
                    )
                )  # fmt: skip
        self.rows_done = last
        return out, findings

    def state(self) -> dict[str, Any]:
        """What is kept of the rows so far."""
        return {"rows": self.rows_done, "running": [dict(vars(current)) for current in self._running]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.rows_done = state["rows"]
        for current, known in zip(self._running, state["running"], strict=True):
            vars(current).update(known)

    def null(self) -> NDArray[np.float32]:
        """How much the reports of each histogram scatter, ``(histogram, comparison, 5, 3)``."""
        shape = len(self._running), len(COMPARISONS), len(SCATTER), 3
        out = np.full(shape, np.nan, dtype=np.float32)
        for column, current in enumerate(self._running):
            out[column] = current.monitor.scatter()
        return out

    def finish(self, pools: Sequence[ReferencePool]) -> None:
        """Add the run to the references of those after it."""
        null = self.null().astype(np.float64)  # as a later process reads it
        for column, (current, pool) in enumerate(zip(self._running, pools, strict=True)):
            if current.passed is not None and current.latest is not None:
                pool.begins_anew(current.latest)
            current.finish(pool, self.run, self._mode)
            pool.add_summary(null[column])

    def _begin_anew(self, column: int, time: int) -> None:
        """Forget the references if a report at ``time`` [ns] is the first of a level that people accepted."""
        current = self._running[column]
        if epochs := self._settings.begins_anew(Aspect.BINS, (self._names[column],)):
            passed, before = bisect_left(epochs, time), current.passed
            current.passed = passed
            if passed != before and (self._pool_of(column).begins_anew(time) or before is not None):
                null_model = self._pool_of(column).null_model()
                current.begin(current.number, current.axes, HistogramMonitor(None, null_model))
                current.runs = []

    def _begin(self, column: int, number: int, piece: RunHistogram) -> None:
        current, pool = self._running[column], self._pool_of(column)
        current.finish(pool, self.run, self._mode)
        profile = piece.segment.class_name.startswith("TProfile")
        reference, current.runs, common = pool.reference(piece.axes, self.run, self._mode, profile=profile)
        current.begin(number, piece.axes, HistogramMonitor(reference, pool.null_model()), common)


def _reports(
    held: Sequence[Sequence[RunHistogram]], first: int, last: int, states: NDArray[np.uint8]
) -> Iterator[tuple[int, int, RunHistogram, NDArray[np.intp], list[Counts]]]:
    """Column, number of the binning, that, rows and increments of its reports in a window of a run.

    The first row after a change of binning is left out: its increment is unknown. So are gauges, which count nothing.
    """
    for column, pieces in enumerate(held):
        if State.GAUGE.is_set(states[:, column]).any():
            continue
        counting = [piece for piece in pieces if not piece.segment.gauge]
        for number, rows in stretches(counting, first, last):
            piece = counting[number]
            at = rows.start + np.flatnonzero(State.REPORTED.is_set(states[piece.rows[rows], column]))
            if number:
                at = at[at > 0]
            if len(at):
                before = previous_rows(states[piece.rows[: rows.stop], column], piece.additive)[at]
                yield column, number, piece, piece.rows[at], _counts(piece, at, before, rows.start, rows.stop)


def _counts(
    whole: RunHistogram, at: NDArray[np.intp], before: NDArray[np.int64], start: int, stop: int
) -> list[Counts]:  # fmt: skip
    """Increments of a histogram since the rows ``before`` in the rows ``at``, which lie in ``[start, stop)``."""
    lowest = min((row for row in before.tolist() if row >= 0), default=start)
    extra = max(start - lowest, 0)
    window = whole.window(start - extra, stop)
    rows, previous = at - (start - extra), np.where(before >= 0, before - (start - extra), kernels.ZERO)
    sizes = np.array([len(axis) + 2 for axis in whole.axes], dtype=np.int64)
    if whole.segment.class_name.startswith("TProfile"):
        parts = [_increments(window, part, rows, previous) for part in ("bin_entries", "sumwy", "sumwy2")]
        moments = np.stack(parts, axis=1)
        return [Counts(entries, sizes, each) for entries, each in zip(parts[0], moments, strict=True)]
    scale = np.ones(len(at))
    if "sumw2" in whole.pieces:
        sums = dict(zip(whole.sum_names, _increments(whole, "sums", at, before).T, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = sums["tsumw"] / sums["tsumw2"]
        scale = np.where(np.isfinite(scale) & (scale > 0), scale / _UNEVEN, 1.0)
    counts = kernels.scaled_increments(window.native("contents"), rows, previous, scale)
    return [Counts(row, sizes) for row in counts]


def _increments(
    histogram: RunHistogram, part: str, rows: NDArray[np.intp], previous: NDArray[np.int64]
) -> NDArray[np.float64]:  # fmt: skip
    """Increments of a part in some rows; they may be negative."""
    values = np.asarray(histogram.read(part), dtype=np.float64)
    result, more = values[rows], previous >= 0
    result[more] -= values[previous[more]]
    return result
