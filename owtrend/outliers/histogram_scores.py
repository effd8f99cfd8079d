"""Scores of histograms over runs in order of time: each report compared with other runs and with its own run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.kernels.cells import difference as kernels
from owtrend.model.finding import Finding, Flagged, Score
from owtrend.model.registry import HistogramEntry
from owtrend.outliers.activity import RunActivity, in_ns
from owtrend.outliers.explain import reason
from owtrend.outliers.monitor import COMPARISONS, SCORES, Counts, HistogramMonitor, RunningCounts
from owtrend.outliers.null_model import summary
from owtrend.outliers.reference_pool import ReferencePool, ScoreSettings
from owtrend.store.reader import SubsystemReader

__all__ = ["SUMMARIES", "ScoreArrays", "score_runs"]

ScoreArrays = dict[str, NDArray[Any]]
_UNEVEN = 1.5  # exponential weights: fills come in fewer and larger steps than their variance says
SUMMARIES = (*SCORES, "excess")  # names, as stored, along the dim of `summary`; "excess" is the overdispersion


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
        ``null`` (histogram, comparison, score + 1, 3), and its findings. NaN where a histogram did not report.
    """
    columns = slice(first, first + len(histograms))
    pools = [ReferencePool(settings, entry.name) for entry in histograms]
    for number, run in enumerate(before):
        _recall(view, run, histograms, columns, pools, totals=number >= len(before) - settings.warm_up)
    for run in runs:
        yield run, *_score_run(view, subsystem, run, histograms, columns, pools, settings)


def _recall(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], columns: slice,
    pools: Sequence[ReferencePool], *, totals: bool,
) -> None:  # fmt: skip
    """Add to the pools what `_score_run` added when a run was scored; without ``totals`` only its summary."""
    run_index = view.run_index(run)
    activity = RunActivity.from_store(view, run, columns)
    flagged = Flagged.BINS.is_set(view.scores.block("flagged", run_index, slice(0, len(activity.times)), columns))
    summaries = view.scores.null_block(run_index, columns, COMPARISONS, SUMMARIES)
    running = [_Running() for _ in histograms]
    if totals:
        mode = view.per_run["mode"][run_index]
        for column, number, piece, at, reports in _reports(view, run, histograms, activity.reported):
            current = running[column]
            if number != current.number:
                current.finish(pools[column], run, mode)
                current.begin(number, piece, HistogramMonitor())
            for row, report in zip(at, reports, strict=True):
                if pools[column].begins_anew(in_ns(activity.times[row])):
                    current.begin(number, piece, HistogramMonitor())
                current.count(report)
                if not flagged[row, column]:
                    current.monitor.accept(report)
        for current, pool in zip(running, pools, strict=True):
            current.finish(pool, run, mode)
    for column, pool in enumerate(pools):
        pool.add_summary(summaries[column], activity.reported[:, column], flagged[:, column])


@dataclass
class _Running:
    """A histogram in the run that is being scored."""

    number: int = -1  # of its binning
    piece: RunHistogram | None = None
    monitor: HistogramMonitor = field(default_factory=HistogramMonitor)
    total: RunningCounts | None = None
    runs: list[int] = field(default_factory=list)  # in its reference
    latest: np.datetime64 | None = None  # report

    def begin(self, number: int, piece: RunHistogram, monitor: HistogramMonitor) -> None:
        """Start with a binning."""
        self.number, self.piece, self.monitor, self.total = number, piece, monitor, None

    def count(self, report: Counts) -> None:
        if self.total is None:
            self.total = RunningCounts.from_counts(report)
        else:
            self.total.add(report)

    def finish(self, pool: ReferencePool, run: int, mode: str) -> None:
        """End the run, or this binning in it."""
        if self.piece is not None:
            pool.add_run(run, mode, self.piece.segment.binning, self.total, self.monitor.accepted)


def _score_run(
    view: SubsystemReader, subsystem: str, run: int, histograms: Sequence[HistogramEntry], columns: slice,
    pools: Sequence[ReferencePool], settings: ScoreSettings,
) -> tuple[ScoreArrays, list[Finding]]:  # fmt: skip
    mode = view.per_run["mode"][view.run_index(run)]
    activity = RunActivity.from_store(view, run)
    times, wait = activity.times, activity.wait
    shape = len(times), len(histograms)
    out: ScoreArrays = {
        "z": np.full((*shape, len(SCORES)), np.nan, dtype=np.float32),
        "total": np.full(shape, np.nan, dtype=np.float32),
        "flagged": np.zeros(shape, dtype=np.uint8),
        "null": np.full((shape[1], len(COMPARISONS), len(SCORES) + 1, 3), np.nan, dtype=np.float32),
    }
    findings: list[Finding] = []
    running = [_Running() for _ in histograms]
    reported = activity.reported[:, columns]
    threshold = settings.threshold(wait)
    for column, number, piece, rows, reports in _reports(view, run, histograms, reported):
        current = running[column]
        if number != current.number:  # the first rows, or another binning
            current.finish(pools[column], run, mode)
            reference, current.runs = pools[column].reference(piece.segment.binning, mode)
            current.begin(number, piece, HistogramMonitor(reference, pools[column].null_model()))
        for row, report in zip(rows, reports, strict=True):
            begin = in_ns(times[0]) - in_ns(wait) if current.latest is None else in_ns(current.latest)
            current.latest = times[row]
            if pools[column].begins_anew(in_ns(times[row])):
                current.begin(number, piece, HistogramMonitor(None, pools[column].null_model()))
                current.runs = []
            current.count(report)
            scores = current.monitor.test(report)
            if scores is not None:
                with np.errstate(invalid="ignore"):
                    out["z"][row, column] = np.fmax.reduce(scores.z, axis=0)
                out["total"][row, column] = scores.total
            if scores is None or scores.total <= threshold:
                current.monitor.accept(report)
                continue
            out["flagged"][row, column] = Flagged.BINS
            why = reason(scores, current.monitor.compared(scores, report), piece.axes, current.runs)
            findings.append(
                Finding(
                    subsystem=subsystem, run=run, histograms=(histograms[column].name,), start=begin,
                    stop=in_ns(times[row]), score=Score(SCORES[scores.worst[1]]), z=round(scores.total, 3),
                    why=why.words, report=in_ns(wait), bins=why.bins, side=why.side,
                )
            )  # fmt: skip
    for column, (current, pool) in enumerate(zip(running, pools, strict=True)):
        current.finish(pool, run, mode)
        out["null"][column] = summary(current.monitor.raw)
        stored = out["null"][column].astype(np.float64)  # as a later process reads it
        pool.add_summary(stored, reported[:, column], out["flagged"][:, column] > 0)
    return out, findings


def _reports(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], reported: NDArray[np.bool_]
) -> Iterator[tuple[int, int, RunHistogram, NDArray[np.intp], list[Counts]]]:
    """Column, number of the binning, that, rows and increments of its reports, window after window of a run.

    The first row after a change of binning is left out: its increment is unknown. So are gauges, which count nothing.
    """
    prefetched = Prefetched(view, view.run_index(run), histograms)
    pieces = [
        [piece for piece in run_histogram.by_binning(view, run, entry, prefetched.cells) if not piece.segment.gauge]
        for entry in histograms
    ]
    for first, last in prefetched.windows():
        for column, binnings in enumerate(pieces):
            for number, piece in enumerate(binnings):
                start, stop = np.searchsorted(piece.rows, (first, last))
                at = start + np.flatnonzero(reported[piece.rows[start:stop], column])
                if number:
                    at = at[at > 0]
                if len(at):
                    yield column, number, piece, piece.rows[at], _counts(piece, at, int(start), int(stop))


def _counts(whole: RunHistogram, at: NDArray[np.intp], start: int, stop: int) -> list[Counts]:
    """Increments of a histogram in the rows ``at``, which lie in ``[start, stop)``."""
    extra = int(start > 0)
    window = whole.window(start - extra, stop)
    before = kernels.previous_rows(whole.entries, whole.additive)[at]
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
