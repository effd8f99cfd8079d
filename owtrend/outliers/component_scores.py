"""Scores of components: the fraction of each histogram in its component, and the rates of components.

A component sends all its histograms at one moment, so their counts have the same exposure: fractions need no clock.
Components report in turn, each at its own time, and a snapshot does not say when its counts were made: up to one
snapshot earlier. Deviations within this timing uncertainty are not significant.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.components.rate_deviation import PHASE, deviations
from owtrend.model.finding import Aspect, Finding, Flagged, Score
from owtrend.model.wording import counted, run_names
from owtrend.outliers.activity import RunActivity, counts_together, in_ns
from owtrend.outliers.components import Components, learn
from owtrend.outliers.explain import compared_with
from owtrend.outliers.histogram_scores import SUMMARIES, ScoreArrays
from owtrend.outliers.monitor import COMPARISONS, SCORES, Counts, HistogramMonitor
from owtrend.outliers.null_model import KNOWN_RUNS, NullModel, summary
from owtrend.outliers.reference_pool import NULL_RUNS, ScoreSettings, accepted_runs
from owtrend.store.reader import SubsystemReader

__all__ = ["FRACTION_SUMMARIES", "score_components"]

FRACTION_SUMMARIES = tuple(f"fraction {name}" for name in SUMMARIES)
_FRACTION, _RATE, _CONTRIBUTES = (np.uint8(bit) for bit in (Flagged.FRACTION, Flagged.RATE, Flagged.CONTRIBUTES))
_BIN = SCORES.index("bin")
_LEARNED_FROM = 5  # runs
_MIN_COMPONENTS = 3  # for a majority


_Good = tuple[NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class _PastRun:
    """A scored run: when its histograms reported, and what they counted.

    ``good``: counts of the reports with a good fraction, or of all where most are bad (``rejected``); ``cuts``: both
    from a time in the run on [ns] at which another level was accepted. ``together``: counts over the ``length`` [s] in
    which all histograms report, NaN for those that did not all the time. ``clean``: neither fraction nor rate was
    flagged.
    """

    run: int
    mode: str
    reported: NDArray[np.bool_]
    good: NDArray[np.float64]
    rejected: NDArray[np.bool_]
    together: NDArray[np.float64]
    clean: NDArray[np.bool_]
    length: float
    summary: NDArray[np.float64]
    start: int
    cuts: Mapping[int, _Good]

    def since(self, epoch: int) -> "_PastRun | None":
        """The run as a reference of fractions that began anew at ``epoch`` [ns]; None if it ended before."""
        if epoch < self.start:
            return self
        if epoch not in self.cuts:
            return None
        good, rejected = self.cuts[epoch]
        return replace(self, good=good, rejected=rejected)


def score_components(
    view: SubsystemReader, subsystem: str, runs: Sequence[int], before: Sequence[int], settings: ScoreSettings,
    flagged: Mapping[int, NDArray[np.uint8]],
) -> Iterator[tuple[int, ScoreArrays, list[Finding]]]:  # fmt: skip
    """Fractions and rates in some runs, run after run; arguments as of `owtrend.outliers.histogram_scores.score_runs`.

    Parameters
    ----------
    flagged
        For each of ``runs`` the flags of the bins, ``(time, histogram)``: such reports are no reference for fractions.

    Returns
    -------
    :
        For each run ``fraction``, ``rate`` (time, histogram): normal z; ``flagged`` (time, histogram); ``null``
        (histogram, comparison, score + 1, 3); and its findings.
    """
    past: deque[_PastRun] = deque(maxlen=max(NULL_RUNS, settings.warm_up, _LEARNED_FROM))
    for run in before:
        run_index = view.run_index(run)
        activity, entries = _read(view, run)
        rows, columns = (slice(0, size) for size in activity.state.shape)
        summaries = view.scores.null_block(run_index, columns, COMPARISONS, FRACTION_SUMMARIES)
        stored = view.scores.block("flagged", run_index, rows, columns)
        past.append(_past_run(view, run, activity, entries, stored, summaries, settings))
    for run in runs:
        yield run, *_score_run(view, subsystem, run, past, settings, flagged[run] > 0)


def _read(view: SubsystemReader, run: int) -> tuple[RunActivity, NDArray[np.float64]]:
    """Activity of all histograms, and their entries in each row; gauges count nothing."""
    run_index, number = view.run_index(run), len(view.registry.histograms)
    gauges = np.array([entry.first.gauge for entry in view.registry.histograms.values()])
    activity = RunActivity.from_store(view, run).without(gauges)
    rows, at = slice(0, len(activity.times)), view.trends.reductors.index("entries")
    entries = np.nan_to_num(view.trends.block("value", run_index, rows, slice(0, number), [at])[..., 0]).clip(min=0)
    return activity, np.where(gauges, 0.0, entries)


def _past_run(
    view: SubsystemReader, run: int, activity: RunActivity, entries: NDArray[np.float64], flagged: NDArray[np.uint8],
    summaries: NDArray[np.float64], settings: ScoreSettings,
) -> _PastRun:  # fmt: skip
    reported, ends = activity.reported, _ends(activity)
    bad = Flagged.FRACTION.is_set(flagged)
    counts = np.where(reported, entries, 0.0)
    good, rejected = _good(reported, bad, counts)
    cuts = {
        level.start: _good(reported[late], bad[late], counts[late])
        for level in settings.accepted
        if level.aspect is Aspect.FRACTION and ends[0] <= level.start < ends[-1]
        for late in (ends > level.start,)
    }
    clean = np.logical_not((Flagged.FRACTION | Flagged.RATE).is_set(flagged).any(axis=0))
    mode = view.per_run["mode"][view.run_index(run)]
    together, length = counts_together(activity.times, reported, counts)
    return _PastRun(run, mode, reported, good, rejected, together, clean, length, summaries, int(ends[0]), cuts)


def _ends(activity: RunActivity) -> NDArray[np.int64]:
    return activity.times.astype("datetime64[ns]").view("int64")


def _good(reported: NDArray[np.bool_], bad: NDArray[np.bool_], counts: NDArray[np.float64]) -> _Good:
    """Counts of the good reports of each histogram, or of all where most are bad; and where that is."""
    rejected = 2 * (bad & reported).sum(axis=0) > reported.sum(axis=0)
    return np.where(rejected, counts.sum(axis=0), np.where(bad, 0.0, counts).sum(axis=0)), rejected


def _since(alike: Sequence[_PastRun], epochs: Sequence[int], time: int) -> list[_PastRun]:
    """Runs, or what is left of them, since the last of the epochs before ``time`` [ns]."""
    if not (before := [epoch for epoch in epochs if epoch < time]):
        return list(alike)
    return [cut for earlier in alike if (cut := earlier.since(before[-1])) is not None]


def _score_run(
    view: SubsystemReader, subsystem: str, run: int, past: deque[_PastRun], settings: ScoreSettings,
    spoiled: NDArray[np.bool_],
) -> tuple[ScoreArrays, list[Finding]]:  # fmt: skip
    mode = view.per_run["mode"][view.run_index(run)]
    activity, entries = _read(view, run)
    shape = activity.state.shape
    out: ScoreArrays = {
        "fraction": np.full(shape, np.nan, dtype=np.float32),
        "rate": np.full(shape, np.nan, dtype=np.float32),
        "flagged": np.zeros(shape, dtype=np.uint8),
        "null": np.full((shape[1], len(COMPARISONS), len(SCORES) + 1, 3), np.nan, dtype=np.float32),
    }
    reported = [_with_histograms(earlier.reported, shape[1]) for earlier in list(past)[-_LEARNED_FROM:]]
    components = learn(np.concatenate([*reported, activity.reported]))
    alike = [earlier for earlier in past if earlier.mode == mode]
    current = _CurrentRun(view, subsystem, run, activity, entries, settings, alike)
    findings: list[Finding] = []
    for number in range(components.count):
        epochs = current.epochs(Aspect.FRACTION, components.members(number))
        members = _members(components, number, _since(alike, epochs, current.ends[0]), settings)
        if len(members) > 1:
            findings += _fractions(current, members, epochs, spoiled, out)
    if components.count >= _MIN_COMPONENTS:
        findings += _rates(current, components, out)
    summaries = out["null"].astype(np.float64)
    past.append(_past_run(view, run, activity, entries, out["flagged"], summaries, settings))
    return out, findings


@dataclass(frozen=True, eq=False)
class _CurrentRun:
    """The run that is being scored, and the earlier runs of the same mode, ``alike``."""

    view: SubsystemReader
    subsystem: str
    run: int
    activity: RunActivity
    entries: NDArray[np.float64]
    settings: ScoreSettings
    alike: Sequence[_PastRun]

    def finding(
        self, histograms: Sequence[str], begin: int, row: int, score: Score, z: float, why: str, side: int
    ) -> Finding:
        """A finding in the rows after ``begin`` (-1: since the run began) up to ``row``."""
        times, wait = self.activity.times, in_ns(self.activity.wait)
        start = in_ns(times[begin]) if begin >= 0 else in_ns(times[0]) - wait
        return Finding(
            subsystem=self.subsystem, run=self.run, histograms=tuple(histograms), start=start, stop=in_ns(times[row]),
            score=score, z=round(z, 3), why=why, report=wait, side=side,
        )  # fmt: skip

    def epochs(self, aspect: Aspect, members: NDArray[np.intp]) -> tuple[int, ...]:
        """When levels of some histograms began that people accepted [ns], in order of time."""
        return self.settings.begins_anew(aspect, {self.names[member] for member in members})

    @cached_property
    def ends(self) -> list[int]:
        """Ends of the rows [ns]."""
        return _ends(self.activity).tolist()

    @cached_property
    def threshold(self) -> float:
        return self.settings.threshold(self.activity.wait)

    @cached_property
    def names(self) -> list[str]:
        return [entry.name for entry in self.view.registry.histograms.values()]


def _members(
    components: Components, number: int, alike: Sequence[_PastRun], settings: ScoreSettings
) -> NDArray[np.intp]:  # fmt: skip
    """Histograms that certainly belong to a component, and that its reference has, too."""
    members = components.members(number)
    if components.count > 1:
        members = members[components.certain[members]]
    for earlier in _reference(alike, members, settings):
        members = members[_with_zeros(earlier.good, members.max(initial=0) + 1)[members] > 0]
    return members


def _any_rejected(earlier: _PastRun, members: NDArray[np.intp]) -> bool:
    return bool(_with_zeros(earlier.rejected, members.max(initial=0) + 1)[members].any())


def _reference(alike: Sequence[_PastRun], members: NDArray[np.intp], settings: ScoreSettings) -> list[_PastRun]:
    """The last accepted runs of a component."""
    accepted = accepted_runs([_any_rejected(earlier, members) for earlier in alike], settings.adapt_after)
    return [earlier for earlier, good in zip(alike, accepted, strict=True) if good][-settings.last :]


def _monitor(
    alike: Sequence[_PastRun], reference: Sequence[_PastRun], members: NDArray[np.intp], settings: ScoreSettings
) -> HistogramMonitor:
    """A component as one histogram, whose bins are its histograms."""
    counts = None
    if reference:
        total = np.sum([earlier.good[members] for earlier in reference], axis=0)
        counts = Counts(total, np.array([len(members)], dtype=np.int64))
    known = [e for e in alike if len(e.summary) > members[0] and np.isfinite(e.summary[members[0]]).any()]
    accepted = accepted_runs([_any_rejected(earlier, members) for earlier in known], settings.adapt_after)
    summaries = [e.summary[members[0]] for e, good in zip(known, accepted, strict=True) if good][-NULL_RUNS:]
    null_model = NullModel.from_runs(summaries) if len(summaries) >= KNOWN_RUNS else None
    return HistogramMonitor(counts, null_model, scores=(_BIN,))


def _fractions(
    current: _CurrentRun, members: NDArray[np.intp], epochs: Sequence[int], spoiled: NDArray[np.bool_],
    out: ScoreArrays,
) -> list[Finding]:  # fmt: skip
    """Fractions of the histograms of one component; at each of the ``epochs`` they begin anew."""
    reference = _reference(_since(current.alike, epochs, current.ends[0]), members, current.settings)
    later = [epoch for epoch in epochs if epoch >= current.ends[0]]
    monitor = _monitor(current.alike, reference, members, current.settings)
    sizes, threshold = np.array([len(members)], dtype=np.int64), current.threshold
    names = [current.names[member] for member in members]
    findings = []
    begin = -1
    present = np.all(current.activity.held[:, members], axis=1)
    for row in np.flatnonzero(current.activity.reported[:, members].any(axis=1)).tolist():
        if not present[max(begin, 0) : row + 1].all():  # a histogram that was missing counts for longer than the others
            out["flagged"][row, members] |= _FRACTION
            begin = row
            continue
        if later and later[0] < current.ends[row]:
            later = [epoch for epoch in later if epoch >= current.ends[row]]
            reference, monitor = [], _monitor(current.alike, [], members, current.settings)
        report = Counts(np.ascontiguousarray(current.entries[row, members]), sizes)
        scores = monitor.test(report)
        if scores is not None:
            out["fraction"][row, members] = scores.total
            if scores.total > threshold:
                worst = int(scores.difference["bin_cell"])
                if (bad := spoiled[row, members]).any() and not bad[worst]:
                    worst = int(np.argmax(bad))  # of two histograms the one whose bins are flagged, too
                out["flagged"][row, members] |= _FRACTION
                out["flagged"][row, members[worst]] |= _CONTRIBUTES
                data, known = monitor.compared(scores, report)
                expected = known.counts[worst] * scores.ratio
                why = (
                    f"fraction of {names[worst]} in its component: {counted(data.counts[worst], expected)} "
                    f"({compared_with(scores, [earlier.run for earlier in reference])})"
                )
                side = 1 if data.counts[worst] > expected else -1
                findings.append(current.finding([names[worst]], begin, row, Score.FRACTION, scores.total, why, side))
                begin = row
                continue
        begin = row
        if spoiled[row, members].any():
            out["flagged"][row, members] |= _FRACTION
        else:
            monitor.accept(report)
    if monitor.raw:
        out["null"][members] = summary(monitor.raw)
    return findings


def _rates(current: _CurrentRun, components: Components, out: ScoreArrays) -> list[Finding]:
    """Rates of the components relative to each other.

    Separately before and after a restart, since the counts right before it are lost, and an accepted rate.
    """
    activity, threshold = current.activity, current.threshold
    seconds = (activity.times - activity.times[0]) / np.timedelta64(1, "s")
    spacing = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 60.0
    blur = np.diff(seconds, prepend=seconds[0] - spacing)
    reference = current.alike[-current.settings.last :]
    epochs = [current.epochs(Aspect.RATE, components.members(number)) for number in range(components.count)]
    error = 0.0
    if reference:
        error = PHASE * spacing / max(float(np.mean([earlier.length for earlier in reference])), spacing)
    against_runs = f"compared with {run_names([earlier.run for earlier in reference])}"
    findings = []
    restarts = set(np.flatnonzero(activity.restarted.any(axis=1)).tolist())
    restarts |= {bisect_right(current.ends, epoch) for of_component in epochs for epoch in of_component}
    for first, last in pairwise([0, *sorted(restarts - {0, len(seconds)}), len(seconds)]):
        expected = _expected(components, reference, epochs, current.ends[first])
        chosen, rows, counts = [], [], []
        for number in range(components.count):
            members = components.members(number)
            reports = first + np.flatnonzero(activity.reported[first:last, members].any(axis=1))
            if len(reports) > 1:
                chosen.append(number)
                rows.append(reports)
                entries = np.where(activity.reported, current.entries, 0.0)[reports][:, members]
                counts.append(np.cumsum(entries.sum(axis=1)))
        if len(chosen) < _MIN_COMPONENTS:
            continue
        of_chosen = deviations(
            [seconds[reports] - blur[reports] / 2 for reports in rows], counts, [blur[reports] for reports in rows],
            expected[np.ix_(chosen, chosen)], error,
        )  # fmt: skip
        for number, reports, z, deviation, from_runs in zip(chosen, rows, *of_chosen, strict=True):
            members = components.members(number)
            out["rate"][np.ix_(reports, members)] = z[:, None]
            names = [current.names[member] for member in members]
            what = f"{names[0]} and {len(names) - 1} more of its component" if len(names) > 1 else names[0]
            for at in np.flatnonzero(z > threshold).tolist():
                out["flagged"][reports[at], members] |= _RATE
                side, more = (1, "more") if deviation[at] > 0 else (-1, "fewer")
                against = against_runs if from_runs[at] else "compared with this run so far"
                found = f"{abs(deviation[at]):.0%} {more} counts than expected from the other components"
                begin = int(reports[at - 1]) if at else first - 1
                z_shown = float(min(z[at], 99))
                why = f"{what}: {found} ({against})"
                findings.append(current.finding(names, begin, int(reports[at]), Score.RATE, z_shown, why, side))
    return findings


def _expected(
    components: Components, runs: Sequence[_PastRun], epochs: Sequence[Sequence[int]], time: int
) -> NDArray[np.float64]:  # fmt: skip
    """Log of the ratio of counts of each pair of components: the mean over runs in which both were clean.

    And since the last of the ``epochs`` of each before ``time`` [ns].
    """
    counts = np.full((len(runs), components.count), np.nan)
    for number in range(components.count):
        members = components.members(number)
        size = int(members.max(initial=0)) + 1
        began = max((epoch for epoch in epochs[number] if epoch < time), default=-1)
        for row, earlier in enumerate(runs):
            if earlier.start <= began:
                continue
            total = _with_zeros(earlier.together, size)[members].sum()
            if earlier.length > 0 and total > 0 and _with_zeros(earlier.clean, size)[members].all():
                counts[row, number] = np.log(total)
    ratios = counts[:, :, None] - counts[:, None, :]
    known = np.isfinite(ratios).sum(axis=0)
    return np.where(known > 0, np.nansum(ratios, axis=0) / np.maximum(known, 1), np.nan)


def _with_zeros(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Zeros appended for histograms that the run did not know."""
    return np.pad(values, (0, max(size - len(values), 0)))


def _with_histograms(reported: NDArray[np.bool_], histograms: int) -> NDArray[np.bool_]:
    return np.pad(reported, ((0, 0), (0, histograms - reported.shape[1])))
