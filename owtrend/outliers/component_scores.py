"""Scores of components: the fraction of each histogram in its component, and the rates of components.

A component sends all its histograms at one moment, so their counts have the same exposure: fractions need no clock.
Components report in turn, each at its own time, and a snapshot does not say when its counts were made: up to one
snapshot earlier. Deviations within this timing uncertainty are not significant.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from owtrend.kernels.components.rate_deviation import PHASE, RateSeries, deviations
from owtrend.model.finding import Aspect, Finding, Flagged, Score
from owtrend.model.rows import State
from owtrend.model.wording import counted, measured, name_list, percentage, run_names
from owtrend.outliers.activity import RunActivity, counts_together, in_ns
from owtrend.outliers.components import Components, learn
from owtrend.outliers.explain import Size, compared_with, relative_excess
from owtrend.outliers.histogram_scores import SUMMARIES, ScoreArrays, expected_wait
from owtrend.outliers.monitor import COMPARISONS, SCATTER, SCORES, Counts, HistogramMonitor
from owtrend.outliers.null_model import NullModel
from owtrend.outliers.reference_pool import NULL_RUNS, ScoreSettings, accepted_runs
from owtrend.store.reader import SubsystemReader

__all__ = ["FRACTION_SUMMARIES", "PastRuns", "RunComponents", "recalled_components", "score_components"]

FRACTION_SUMMARIES = tuple(f"fraction {name}" for name in SUMMARIES)
_FRACTION, _RATE, _CONTRIBUTES = (np.uint8(bit) for bit in (Flagged.FRACTION, Flagged.RATE, Flagged.CONTRIBUTES))
_BIN = SCORES.index("bin")
_LEARNED_FROM = 5  # runs
_MIN_COMPONENTS = 3  # for a majority
_ROWS_OF_A_SINGLE = 8
PATIENCE = 3.0  # waits


_Good = tuple[NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class _PastRun:
    """A scored run: when its histograms reported, and what they counted.

    ``good``: counts of the reports with a good fraction, or of all where most are bad (``rejected``); ``cuts``: both
    from a time in the run on [ns] at which another level was accepted. ``together``: counts over the ``length`` [s] in
    which all histograms report, NaN for those that did not all the time, or of which a gain is not known. ``clean``:
    neither fraction nor rate was flagged.
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
        (histogram, comparison, 5, 3); ``threshold`` (time,); and its findings.
    """
    past = recalled_components(view, before, settings)
    names = [entry.name for entry in view.registry.histograms.values()]
    earlier = before[-1] if before else None
    for run in runs:
        activity, entries = _read(view, run)
        waits = RunActivity.from_store(view, run).with_waits(expected_wait(view, earlier)).waits
        activity = replace(activity, waits=waits)
        scores = RunComponents(subsystem, run, view.per_run["mode"][view.run_index(run)], names, past, settings)
        scores.rows(activity, entries, flagged[run] > 0)
        threshold = settings.thresholds(waits).astype(np.float32)
        yield run, {**scores.arrays, "null": scores.null(), "threshold": threshold}, scores.findings
        scores.finish(activity, entries)
        earlier = run


def recalled_components(view: SubsystemReader, before: Sequence[int], settings: ScoreSettings) -> "PastRuns":
    """Earlier runs, already scored, in order of time, as `RunComponents.finish` adds them."""
    past = PastRuns(settings)
    for run in before:
        run_index = view.run_index(run)
        activity, entries = _read(view, run)
        rows, columns = (slice(0, size) for size in activity.state.shape)
        summaries = view.scores.null_block(run_index, columns, COMPARISONS, FRACTION_SUMMARIES)
        stored = view.scores.block("flagged", run_index, rows, columns)
        past.add(run, view.per_run["mode"][run_index], activity, entries, stored, summaries)
    return past


class PastRuns(deque[_PastRun]):
    """The last scored runs, as far as components need them."""

    def __init__(self, settings: ScoreSettings, runs: Iterable[_PastRun] = ()) -> None:
        super().__init__(runs, maxlen=max(NULL_RUNS, settings.warm_up, _LEARNED_FROM))
        self._settings = settings

    def copy(self) -> "PastRuns":
        """The same, to which another run can be added."""
        return PastRuns(self._settings, self)

    def add(
        self, run: int, mode: str, activity: RunActivity, entries: NDArray[np.float64], flagged: NDArray[np.uint8],
        summaries: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add a run that has ended, with its flags and how much its fractions scatter."""
        self.append(_past_run(run, mode, activity, entries, flagged, summaries, self._settings))


def _read(view: SubsystemReader, run: int) -> tuple[RunActivity, NDArray[np.float64]]:
    """Activity of all histograms, and their entries in each row; gauges count nothing."""
    run_index, number = view.run_index(run), len(view.registry.histograms)
    gauges = np.array([entry.first.gauge for entry in view.registry.histograms.values()])
    activity = RunActivity.from_store(view, run)
    gauges |= State.GAUGE.is_set(activity.state).any(axis=0)
    activity = activity.without(gauges)
    rows, at = slice(0, len(activity.times)), view.trends.reductors.index("entries")
    entries = np.nan_to_num(view.trends.block("value", run_index, rows, slice(0, number), [at])[..., 0]).clip(min=0)
    return activity, np.where(gauges, 0.0, entries)


def _past_run(
    run: int, mode: str, activity: RunActivity, entries: NDArray[np.float64], flagged: NDArray[np.uint8],
    summaries: NDArray[np.float64], settings: ScoreSettings,
) -> _PastRun:  # fmt: skip
    reported, lost, ends = activity.reported, activity.lost, _ends(activity)
    bad = Flagged.FRACTION.is_set(flagged)
    counts = np.where(reported, entries, 0.0)
    good, rejected = _good(reported, lost, bad, counts)
    cuts = {
        level.start: _good(reported[late], lost[late], bad[late], counts[late])
        for level in settings.accepted
        if level.aspect is Aspect.FRACTION and ends[0] <= level.start < ends[-1]
        for late in (ends > level.start,)
    }
    clean = np.logical_not((Flagged.FRACTION | Flagged.RATE).is_set(flagged).any(axis=0))
    together, length = counts_together(activity.times, reported, counts)
    together[lost.any(axis=0)] = np.nan
    return _PastRun(run, mode, reported, good, rejected, together, clean, length, summaries, int(ends[0]), cuts)


def _ends(activity: RunActivity) -> NDArray[np.int64]:
    return activity.times.astype("datetime64[ns]").view("int64")


def _good(
    reported: NDArray[np.bool_], lost: NDArray[np.bool_], bad: NDArray[np.bool_], counts: NDArray[np.float64]
) -> _Good:  # fmt: skip
    """Counts of the good reports of each histogram, or of all where most are bad; and where that is.

    Not of all where some are not known: then 0, for such a histogram is in no reference.
    """
    changed = reported | lost
    rejected = 2 * (bad & changed).sum(axis=0) > changed.sum(axis=0)
    every = np.where(lost.any(axis=0), 0.0, counts.sum(axis=0))
    return np.where(rejected, every, np.where(bad, 0.0, counts).sum(axis=0)), rejected


def _since(alike: Sequence[_PastRun], epochs: Sequence[int], time: int) -> list[_PastRun]:
    """Runs, or what is left of them, since the last of the epochs before ``time`` [ns]."""
    if not (before := [epoch for epoch in epochs if epoch < time]):
        return list(alike)
    return [cut for earlier in alike if (cut := earlier.since(before[-1])) is not None]


@dataclass(eq=False)
class _Component:
    """The histograms of a component that have a fraction, compared as the bins of one histogram."""

    members: NDArray[np.intp]
    monitor: HistogramMonitor
    runs: list[int]  # in its reference
    begin: int  # row of its last report
    epochs: list[int]  # to come, at which its fractions begin anew because people accepted another level [ns]


class RunComponents:
    """Scores of the components in one run, row after row; how its rows are grouped in calls changes nothing.

    Components are learned from the runs before and from this one, anew whenever it has grown by a quarter. A rate is
    compared with those of the other components up to each report, and so needs their next reports: it is made again
    with each row until all of them have reported, or `PATIENCE` waits have passed.

    Attributes
    ----------
    arrays
        ``fraction``, ``rate`` and ``flagged`` (time, histogram) of all rows so far.
    """

    def __init__(
        self, subsystem: str, run: int, mode: str, names: Sequence[str], past: PastRuns, settings: ScoreSettings
    ) -> None:
        self.run, self.rows_done = run, 0
        self.names, self.arrays = list(names), _empty_arrays(0, len(names))
        self._subsystem, self._mode, self._past, self.settings = subsystem, mode, past, settings
        self._alike = [
            earlier for earlier in past if earlier.mode == mode and settings.comparable(run, earlier.run)
        ]  # fmt: skip
        self._components = learn(np.zeros((0, len(names)), dtype=bool))
        self._with_fractions: list[_Component] = []
        self._learn_at = 1  # rows
        self._since = 0  # the last restart
        self._of_fractions: list[Finding] = []
        self._of_rates: dict[tuple[int, int], Finding] = {}  # by row and first histogram of the component

    @property
    def findings(self) -> list[Finding]:
        """All findings so far; those of rates may still change as long as their scores may."""
        return [*self._of_fractions, *self._of_rates.values()]

    def rows(self, activity: RunActivity, entries: NDArray[np.float64], spoiled: NDArray[np.bool_]) -> int:
        """Score the rows that are new.

        Parameters
        ----------
        activity, entries, spoiled
            Of all rows so far: states and waits; entries gained; whether the bins were flagged, ``(time, histogram)``.

        Returns
        -------
        :
            The first row whose scores, flags or findings may have changed.
        """
        current = _CurrentRun(self, activity, entries, spoiled, self.settings.thresholds(activity.waits))
        count, histograms = activity.state.shape
        fresh = _empty_arrays(count, histograms)
        for name, values in self.arrays.items():
            fresh[name][: len(values), : values.shape[1]] = values
        self.arrays = fresh
        anew = set((np.flatnonzero(activity.restarted[self.rows_done :].any(axis=1)) + self.rows_done).tolist())
        anew |= {bisect_right(current.ends, epoch) for epoch in self._accepted_rates()}
        fewer = set((np.flatnonzero(activity.lost[self.rows_done :].any(axis=1)) + self.rows_done).tolist())
        changed = self.rows_done
        while self.rows_done < count:
            first = self.rows_done
            if first + 1 >= self._learn_at:
                self._learn(current, first)
                self._learn_at = max(first + 2, -(-5 * (first + 1) // 4))
            last = min([count, self._learn_at - 1, *(row for row in anew | fewer if row > first)])
            if first in anew:
                self._since = first
            for row in range(first, last):
                for component in self._with_fractions:
                    self._fraction(current, component, row)
            if self._components.count >= _MIN_COMPONENTS:
                changed = min(changed, self._rates(current, first, last))
            self.rows_done = last
        return changed

    def _accepted_rates(self) -> tuple[int, ...]:
        """When levels of rates began that people accepted [ns]."""
        return self.settings.begins_anew(Aspect.RATE, set(self.names))

    def state(self) -> dict[str, Any]:
        """What is kept of the rows so far."""
        return {
            "rows": self.rows_done, "learn_at": self._learn_at, "since": self._since, "arrays": self.arrays,
            "components": [self._components.labels, self._components.certain, self._components.count],
            "with_fractions": [
                [one.members, one.monitor, one.runs, one.begin, one.epochs] for one in self._with_fractions
            ],
            "of_fractions": [finding.to_json() for finding in self._of_fractions],
            "of_rates": [[*key, finding.to_json()] for key, finding in self._of_rates.items()],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.rows_done, self._learn_at, self._since = state["rows"], state["learn_at"], state["since"]
        self.arrays = state["arrays"]
        labels, certain, count = state["components"]
        self._components = Components(labels, np.zeros((0, count), dtype=bool), certain)
        self._with_fractions = [_Component(*one) for one in state["with_fractions"]]
        self._of_fractions = [Finding.from_json(line) for line in state["of_fractions"]]
        self._of_rates = {(row, first): Finding.from_json(line) for row, first, line in state["of_rates"]}

    def null(self) -> NDArray[np.float32]:
        """How much the fractions scatter, ``(histogram, comparison, 5, 3)``."""
        out = np.full((len(self.names), len(COMPARISONS), len(SCATTER), 3), np.nan, dtype=np.float32)
        for component in self._with_fractions:
            out[component.members] = component.monitor.scatter()
        return out

    def finish(self, activity: RunActivity, entries: NDArray[np.float64], past: PastRuns | None = None) -> None:
        """Add the run to the references of those after it, ``past``; to its own, if None."""
        null = self.null().astype(np.float64)  # as a later process reads it
        into = self._past if past is None else past
        into.add(self.run, self._mode, activity, entries, self.arrays["flagged"], null)

    def finding(
        self, activity: RunActivity, histograms: Sequence[str], begin: int, row: int, score: Score, z: float, why: str,
        side: int, size: Size,
    ) -> Finding:  # fmt: skip
        """A finding in the rows after ``begin`` (-1: since the run began) up to ``row``."""
        times, wait = activity.times, in_ns(activity.waits[row])
        start = in_ns(times[begin]) if begin >= 0 else in_ns(times[0]) - wait
        return Finding(
            subsystem=self._subsystem, run=self.run, histograms=tuple(histograms), start=start, stop=in_ns(times[row]),
            score=score, z=round(z, 3), why=why, report=wait, side=side, size=size.value, size_error=size.error,
        )  # fmt: skip

    def _learn(self, current: "_CurrentRun", row: int) -> None:
        """Learn the components from the rows up to ``row``; one that stays as it was goes on."""
        reported = current.activity.reported[: row + 1]
        histograms = reported.shape[1]
        earlier = [_with_histograms(one.reported, histograms) for one in list(self._past)[-_LEARNED_FROM:]]
        self._components = learn(np.concatenate([*earlier, reported]))
        seen = sum(map(len, earlier)) + row + 1
        before, self._with_fractions = self._with_fractions, []
        for number in range(self._components.count):
            epochs = current.epochs(Aspect.FRACTION, self._components.members(number))
            alike = _since(self._alike, epochs, current.ends[0])
            members = _members(self._components, number, alike, self.settings, seen)
            if len(members) < 2:
                continue
            same = [one for one in before if np.array_equal(one.members, members)]
            self._with_fractions.append(same[0] if same else self._begun(current, members, epochs, row, before))

    def _begun(
        self, current: "_CurrentRun", members: NDArray[np.intp], epochs: Sequence[int], row: int,
        before: Sequence[_Component],
    ) -> _Component:  # fmt: skip
        """A component whose earlier reports in this run are accepted as they were; it keeps the scores it had."""
        reference = _reference(_since(self._alike, epochs, current.ends[0]), members, self.settings)
        monitor = _monitor(self._alike, reference, members, self.settings)
        nearest = max(before, key=lambda one: len(np.intersect1d(one.members, members)), default=None)
        scatter = HistogramMonitor()
        if nearest is not None and len(np.intersect1d(nearest.members, members)):
            scatter = nearest.monitor
        later = [epoch for epoch in epochs if epoch >= current.ends[0]]
        component = _Component(members, monitor, [earlier.run for earlier in reference], -1, later)
        bad = np.any(Flagged.FRACTION.is_set(self.arrays["flagged"][:, members]), axis=1)
        for earlier_row in np.flatnonzero(current.activity.reported[:row, members].any(axis=1)).tolist():
            if current.known(component, earlier_row).all():
                self._begin_anew(component, current.ends[earlier_row])
                if not bad[earlier_row]:
                    component.monitor.accept(current.report(members, earlier_row))
            component.begin = earlier_row
        for name in ("good", "every", "reports"):
            setattr(component.monitor, name, getattr(scatter, name).copy())
        return component

    def _begin_anew(self, component: _Component, time: int) -> None:
        """Forget the reference of a component if a report at ``time`` [ns] is the first of an accepted level."""
        if component.epochs and component.epochs[0] < time:
            component.epochs = [epoch for epoch in component.epochs if epoch >= time]
            component.runs, component.monitor = [], _monitor(self._alike, [], component.members, self.settings)

    def _fraction(self, current: "_CurrentRun", component: _Component, row: int) -> None:
        """The fractions of the histograms of one component in one row."""
        members = component.members
        if not current.activity.reported[row, members].any():
            return
        flagged = self.arrays["flagged"]
        known = current.known(component, row)
        begin, component.begin = component.begin, row
        every, members = members, members[known]
        if len(members) < 2:
            flagged[row, every] |= _FRACTION
            return
        self._begin_anew(component, current.ends[row])
        monitor = component.monitor if known.all() else component.monitor.among(known)
        report = current.report(members, row)
        scores = monitor.test(report)
        bad = current.spoiled[row, members]
        if scores is not None:
            self.arrays["fraction"][row, members] = scores.total
            if scores.total > current.thresholds[row]:
                data, reference = monitor.compared(scores, report)
                worst = monitor.unusual(scores, data, reference, float(current.thresholds[row]))
                if len(worst) == 1 and len(members) == 2 and bad.any() and not bad[worst[0]]:
                    worst = [int(np.argmax(bad))]  # of two histograms the one whose bins are flagged, too
                flagged[row, every] |= _FRACTION
                flagged[row, members[worst]] |= _CONTRIBUTES
                names = [self.names[member] for member in members[worst]]
                seen = float(data.counts[worst].sum())
                others = data.counts.sum() - seen, reference.counts.sum() - reference.counts[worst].sum()
                scale = others[0] / others[1] if min(others) > 0 else scores.ratio
                expected = reference.counts[worst].sum() * scale
                size = relative_excess(seen, expected, scale, float(monitor.dispersion(scores)[0]))
                whose = f"{names[0]} in its" if len(names) == 1 else f"{name_list(names)} in their"
                why = (
                    f"fraction of {whose} component: {counted(seen, expected)}, {percentage(*size)} "
                    f"({compared_with(scores, component.runs)})"
                )
                side = 1 if seen > expected else -1
                found = self.finding(current.activity, names, begin, row, Score.FRACTION, scores.total, why, side, size)
                self._of_fractions.append(found)
                monitor.learn(scores, good=False)
                return
            monitor.learn(scores, good=not bad.any())
        if bad.any() or not known.all():
            flagged[row, every] |= _FRACTION
        else:
            monitor.accept(report)

    def _rates(self, current: "_CurrentRun", first: int, last: int) -> int:
        """Rates of the components relative to each other in the rows before ``last`` that are not final at ``first``.

        Separately before and after a restart, since the counts right before it are lost, and an accepted rate. Without
        the histograms of which a gain since then is not known. Returns the first such row.
        """
        activity, begin = current.activity, self._since
        every = [self._components.members(number) for number in range(self._components.count)]
        lost = np.logical_or.reduce(activity.lost[begin:last], axis=0)
        counted = [members[~lost[members]] for members in every]
        rows = [begin + np.flatnonzero(activity.reported[begin:last, members].any(axis=1)) for members in counted]
        chosen = [number for number, reports in enumerate(rows) if len(reports)]
        if len(chosen) < _MIN_COMPONENTS:
            return first
        reference = self._alike[-self.settings.last :]
        epochs = [current.epochs(Aspect.RATE, members) for members in counted]
        expected = _expected(counted, reference, epochs, current.ends[begin])
        series = [current.series(counted[number], rows[number], reference) for number in chosen]
        waiting = current.first_waiting(rows, begin, first)
        fresh = [int(np.searchsorted(rows[number], waiting)) for number in chosen]
        against_runs = f"compared with {run_names([earlier.run for earlier in reference])}"
        found = deviations(series, expected[np.ix_(chosen, chosen)], fresh)
        for number, since, z, deviation, from_runs in zip(chosen, fresh, *found, strict=True):
            members, reports = counted[number], rows[number]
            names = [self.names[member] for member in members]
            what = f"{names[0]} and {len(names) - 1} more of its component" if len(names) > 1 else names[0]
            for at in range(since, len(reports)):
                row, key = int(reports[at]), (int(reports[at]), int(every[number][0]))
                self.arrays["rate"][row, every[number]] = np.nan
                self.arrays["rate"][row, members] = z[at]
                self.arrays["flagged"][row, every[number]] &= ~_RATE
                self._of_rates.pop(key, None)
                if not z[at] > current.thresholds[row]:
                    continue
                self.arrays["flagged"][row, members] |= _RATE
                side, more = (1, "more") if deviation[at] > 0 else (-1, "fewer")
                against = against_runs if from_runs[at] else "compared with this run so far"
                size = Size(float(deviation[at]), abs(float(deviation[at])) / float(min(z[at], 99)))
                change = measured(100 * abs(size.value), 100 * size.error, signed=False)
                words = f"{change} % {more} counts than expected from the other components"
                before = int(reports[at - 1]) if at else begin - 1
                self._of_rates[key] = self.finding(
                    activity,
                    names,
                    before,
                    row,
                    Score.RATE,
                    float(min(z[at], 99)),
                    f"{what}: {words} ({against})",
                    side,
                    size,
                )
        return min(first, waiting)


def _empty_arrays(rows: int, histograms: int) -> ScoreArrays:
    shape = rows, histograms
    return {
        "fraction": np.full(shape, np.nan, dtype=np.float32), "rate": np.full(shape, np.nan, dtype=np.float32),
        "flagged": np.zeros(shape, dtype=np.uint8),
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _CurrentRun:
    """All rows so far of the run that is being scored."""

    scores: RunComponents
    activity: RunActivity
    entries: NDArray[np.float64]
    spoiled: NDArray[np.bool_]
    thresholds: NDArray[np.float64]

    def report(self, members: NDArray[np.intp], row: int) -> Counts:
        """A component as one histogram."""
        return Counts(np.ascontiguousarray(self.entries[row, members]), np.array([len(members)], dtype=np.int64))

    def known(self, component: _Component, row: int) -> NDArray[np.bool_]:
        """Of which members of a component all is known that they gained since its last report.

        Not of one that was missing since: what it gains counts for longer than that of the others.
        """
        lost = self.activity.lost[component.begin + 1 : row + 1][:, component.members].any(axis=0)
        held = self.activity.held[max(component.begin, 0) : row + 1][:, component.members].all(axis=0)
        return np.asarray(held & ~lost)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """Ends of the snapshots since the first."""
        return np.asarray((self.activity.times - self.activity.times[0]) / np.timedelta64(1, "s"), dtype=np.float64)

    @cached_property
    def blur(self) -> NDArray[np.float64]:
        """How much earlier than the end of a snapshot its counts may have been made [s]."""
        return np.diff(self.seconds, prepend=self.seconds[0] - (self.seconds[1] if len(self.seconds) > 1 else 60.0))

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """Median time between snapshots up to each [s]."""
        spacings = pd.Series(self.blur[1:]).expanding().median().to_numpy()
        return np.concatenate([spacings[:1] if len(spacings) else [60.0], spacings])

    @cached_property
    def deadline(self) -> NDArray[np.float64]:
        """Until when another component may report to be compared with a report in each row [s]."""
        return np.maximum.accumulate(self.seconds + PATIENCE * self.activity.waits / 1e9)

    def series(self, members: NDArray[np.intp], rows: NDArray[np.intp], reference: Sequence[_PastRun]) -> RateSeries:
        """The counts of a component, report by report."""
        entries = np.where(self.activity.reported[rows][:, members], self.entries[rows][:, members], 0.0)
        blur, spacing = self.blur[rows], self.spacing[rows]
        error = np.zeros(len(rows))
        if reference:
            error = PHASE * spacing / np.maximum(np.mean([earlier.length for earlier in reference]), spacing)
        return RateSeries(
            self.seconds[rows] - blur / 2, np.cumsum(entries.sum(axis=1)), blur, blur > 1.5 * spacing,
            self.deadline[rows], error,
        )  # fmt: skip

    def first_waiting(self, rows: Sequence[NDArray[np.intp]], begin: int, first: int) -> int:
        """The first row whose rates were not final before row ``first`` came."""
        if first <= begin:
            return begin
        latest = [int(known[-1]) for reports in rows if len(known := reports[reports < first])]
        overdue = np.searchsorted(self.deadline[begin:first], self.seconds[first - 1], side="right") + begin
        # A report is compared with those of others that come in the same row, or later.
        return max(begin, min(first, max(min(latest, default=begin - 1) + 1, int(overdue))))

    def epochs(self, aspect: Aspect, members: NDArray[np.intp]) -> tuple[int, ...]:
        """When levels of some histograms began that people accepted [ns], in order of time."""
        return self.scores.settings.begins_anew(aspect, {self.scores.names[member] for member in members})

    @cached_property
    def ends(self) -> list[int]:
        """Ends of the rows [ns]."""
        return _ends(self.activity).tolist()


def _members(
    components: Components, number: int, alike: Sequence[_PastRun], settings: ScoreSettings, rows: int
) -> NDArray[np.intp]:  # fmt: skip
    """Histograms that certainly belong to a component, and that its reference has, too.

    A single component is certain if after some ``rows`` there is no other.
    """
    members = components.members(number)
    if components.count > 1:
        members = members[components.certain[members]]
    elif rows < _ROWS_OF_A_SINGLE:
        return members[:0]
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
    return HistogramMonitor(counts, NullModel.from_runs(summaries), scores=(_BIN,))


def _expected(
    components: Sequence[NDArray[np.intp]], runs: Sequence[_PastRun], epochs: Sequence[Sequence[int]], time: int
) -> NDArray[np.float64]:  # fmt: skip
    """Log of the ratio of counts of each pair of components: the mean over runs in which both were clean.

    And since the last of the ``epochs`` of each before ``time`` [ns]. ``components``: the histograms of each.
    """
    counts = np.full((len(runs), len(components)), np.nan)
    for number, members in enumerate(components):
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
