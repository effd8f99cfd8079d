"""One run of one subsystem while it goes on: trends, scores and findings, row after row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.compute.live.rows import LiveRows
from owtrend.config import Config
from owtrend.errors import NotFoundError, OutOfStepError
from owtrend.histograms import run_histogram
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.histograms.steps import RunSteps
from owtrend.model.finding import Finding, in_time
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.outliers.activity import RunActivity, WaitsSoFar
from owtrend.outliers.component_scores import PastRuns, RunComponents
from owtrend.outliers.histogram_scores import RunScores, ScoreArrays
from owtrend.outliers.interruptions import Setup, interruptions_in
from owtrend.outliers.reference_pool import ReferencePool, ScoreSettings
from owtrend.store.reader import SubsystemReader
from owtrend.trends.intervals import Events, continuing, event_counter, stretches
from owtrend.trends.reductors import parse
from owtrend.trends.run_trends import Amended, RunTrends, TrendArrays
from owtrend.trends.settings import kept_reductors

__all__ = ["LiveRun", "LiveUpdate", "NewRows", "Past"]

Held = Sequence[Sequence[RunHistogram]]


@dataclass(frozen=True)
class LiveUpdate:
    """What is new in one run of one subsystem.

    Parameters
    ----------
    times
        Rows that are new; none for a snapshot that changed nothing.
    value, error
        Trends of them, ``(time, histogram, reductor)``; ``state``, ``total`` and ``flagged``: ``(time, histogram)``.
    findings, withdrawn
        Findings that are new, and those that no longer hold, such as a silence that goes on for longer.
    """

    subsystem: str
    run: int
    times: NDArray[np.datetime64]
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    state: NDArray[np.uint8]
    total: NDArray[np.float32]
    flagged: NDArray[np.uint8]
    findings: tuple[Finding, ...]
    withdrawn: tuple[Finding, ...]


@dataclass
class Past:
    """The runs before, as references.

    Parameters
    ----------
    recall
        Reads one pool for each histogram; called when the first is needed, for it reads the cells of earlier runs.
    components
        The same for components.
    wait
        Typical time between two reports in the last run [ns]; None if there is none.
    """

    recall: Callable[[], list[ReferencePool]]
    components: PastRuns
    wait: float | None
    settings: ScoreSettings
    names: list[str] = field(default_factory=list)  # of the histograms

    @cached_property
    def pools(self) -> list[ReferencePool]:
        """One for each histogram known then."""
        return self.recall()

    def pool_of(self, column: int) -> ReferencePool:
        """Runs before of one histogram; none of a new one."""
        self.pools += [ReferencePool(self.settings, name) for name in self.names[len(self.pools) : column + 1]]
        return self.pools[column]


@dataclass
class NewRows:
    """Rows that are not stored yet, from ``first`` on: trends and scores, each with the rows of one call."""

    first: int
    trends: list[TrendArrays] = field(default_factory=list)
    scores: list[ScoreArrays] = field(default_factory=list)
    amended: list[Amended] = field(default_factory=list)
    components_from: int = 0  # row from which scores of components may have changed

    def joined_trends(self) -> TrendArrays:
        """The trends of all rows."""
        width = max(one["state"].shape[1] for one in self.trends)
        return {name: np.concatenate([_widened(one[name], width) for one in self.trends]) for name in self.trends[0]}

    def joined_scores(self) -> ScoreArrays:
        """The scores of all rows."""
        width = max(one["total"].shape[1] for one in self.scores)
        return {name: np.concatenate([_widened(one[name], width) for one in self.scores]) for name in self.scores[0]}


class LiveRun:
    """Trends, scores and findings of one run of one subsystem, as of one pass over its rows so far.

    What it holds does not grow with the cells of the run.
    """

    def __init__(
        self, rows: LiveRows, subsystem: str, mode: str, past: Past, setup: Setup | None, settings: ScoreSettings,
        config: Config,
    ) -> None:  # fmt: skip
        self.rows, self.subsystem, self.mode, self.settings = rows, subsystem, mode, settings
        self.names = kept_reductors(config, subsystem)
        self.past, self._setup, self._config = past, setup, config
        rows.kinds = config.for_subsystem(subsystem).kinds
        self._entries: list[HistogramEntry] = []
        self.trends = RunTrends([], self.names, config, subsystem)
        self.scores = RunScores(subsystem, rows.run, mode, [], past.pool_of, settings)
        self.components = RunComponents(subsystem, rows.run, mode, [], past.components, settings)
        self._waits = WaitsSoFar(past.wait)
        self.activity = RunActivity(np.empty(0, "datetime64[ns]"), np.zeros((0, 0), np.uint8))
        self._entries_gained = np.zeros((0, 0))
        self.flagged_bins = np.zeros((0, 0), np.uint8)
        self._gauges = np.zeros(0, dtype=bool)
        self._events: Events | None = None
        self._binnings: dict[int, list[tuple[int, Any]]] = {}
        self._of_bins: list[Finding] = []
        self._certain: list[Finding] = []
        self.known: dict[Finding, None] = {}  # findings that were handed back
        self.new = NewRows(0)
        self._to_hand_out = NewRows(0)
        self.rows_done = 0

    @property
    def findings(self) -> list[Finding]:
        """All findings so far, in order of time."""
        return in_time([*self._of_bins, *self.components.findings, *self._certain])

    def take(self, late: Sequence[int] = ()) -> None:
        """Go on with the present row; ``late``: times of unchanged snapshots after it [ns]."""
        self._know(self.rows.registry.histograms.values())
        row = len(self.rows) - 1
        held = [self._pieces(number) for number in range(len(self._entries))]
        self._count_events(row)
        self._go_on(row, row + 1, held, lambda name: self._pieces(self._number(name)))
        for entry, pieces in zip(self._entries, held, strict=True):
            self.rows.remember(entry, pieces)
        self.look_for_interruptions(late)

    def catch_up(self, view: SubsystemReader, *, looked: bool = False) -> None:
        """Go on with all rows of the stored run that are new; ``looked``: at the steps of all rows beforehand."""
        run = self.rows.run
        run_index = view.run_index(run)
        self._know(view.registry.histograms.values())
        prefetched = Prefetched(view, run_index, self._entries, self.rows_done)
        held = [run_histogram.by_binning(view, run, entry, prefetched.cells) for entry in self._entries]
        if looked:
            both = zip(held, self._entries, strict=True)
            held = [run_histogram.with_all_steps(pieces, entry, stored=False) for pieces, entry in both]
        elif self.rows_done:
            held = [self._with_known_steps(number, pieces) for number, pieces in enumerate(held)]
        self._events = event_counter(view, run, self._config, self.subsystem)
        times = view.times(run_index)
        for first, last in prefetched.windows():
            self._go_on(first, last, held, lambda name: run_histogram.by_binning(view, run, self._find(name)), times)
        self.rows.fill(view, self.rows_done)
        self.look_for_interruptions(view.own_rows(run_index).time[self.rows_done :].tolist())

    def look_for_interruptions(self, late: Sequence[int]) -> None:
        """Find restarts, gaps, silence and absence anew, from the states of all rows."""
        of = self.subsystem, self.rows.run, self._entries, self._binnings, late, self._setup
        self._certain = interruptions_in(self.activity, *of)

    def followed_by(self) -> Past:
        """The references of the next run: those of this one, and this run as it is now."""
        pools = [self.past.pool_of(column).copy() for column in range(len(self._entries))]
        self.scores.finish(pools)
        components = self.past.components.copy()
        self.components.finish(self._without_gauges(), self._entries_gained, components)
        return Past(lambda: pools, components, self.activity.wait, self.settings)

    def state(self) -> dict[str, Any]:
        """What it holds of the rows so far; with it and the store a `LiveRun` goes on."""
        return {
            "rows": self.rows_done, "histograms": len(self._entries), "state": self.activity.state,
            "entries": self._entries_gained, "flagged": self.flagged_bins, "trends": self.trends.state(),
            "scores": self.scores.state(), "components": self.components.state(),
            "of_bins": [finding.to_json() for finding in self._of_bins],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any], view: SubsystemReader) -> None:
        """Go on from `state`, made of the first rows of the stored run."""
        self._know(list(view.registry.histograms.values())[: state["histograms"]])
        self.trends.restore(state["trends"])
        self.scores.restore(state["scores"])
        self.components.restore(state["components"])
        self._of_bins = [Finding.from_json(line) for line in state["of_bins"]]
        self._entries_gained, self.flagged_bins = state["entries"], state["flagged"]
        self._gauges |= State.GAUGE.is_set(state["state"]).any(axis=0)
        self.rows_done = state["rows"]
        times = view.times(view.run_index(self.rows.run))[: self.rows_done]
        activity = RunActivity(times, state["state"])
        waits = [
            self._waits.add(int(time.view("int64")), row) for time, row in zip(times, activity.reported, strict=True)
        ]
        self.activity = replace(activity, waits=np.array(waits))
        self.new = NewRows(self.rows_done, components_from=self.rows_done)
        self._to_hand_out = NewRows(self.rows_done)

    def taken(self) -> NewRows:
        """The rows that are not stored yet; the next ones begin anew."""
        new, self.new = self.new, NewRows(self.rows_done, components_from=self.rows_done)
        return new

    def update(self) -> LiveUpdate:
        """What is new since the last one."""
        now = dict.fromkeys(self.findings)
        new = tuple(finding for finding in now if finding not in self.known)
        withdrawn = tuple(finding for finding in self.known if finding not in now)
        self.known = now
        first, trends, scores = self._handed_out()
        return LiveUpdate(
            subsystem=self.subsystem, run=self.rows.run, times=self.activity.times[first:], value=trends["value"],
            error=trends["error"], state=trends["state"], total=scores["total"],
            flagged=self.flagged_bins[first:] | self.components.arrays["flagged"][first:], findings=new,
            withdrawn=withdrawn,
        )  # fmt: skip

    def _handed_out(self) -> tuple[int, TrendArrays, ScoreArrays]:
        """The first row that was not handed out yet, trends and scores from there on."""
        new, self._to_hand_out = self._to_hand_out, NewRows(self.rows_done)
        if not new.trends:
            count, names = len(self._entries), len(self.names)
            none = {"value": np.empty((0, count, names)), "error": np.empty((0, count, names))}
            state, total = np.empty((0, count), np.uint8), np.empty((0, count), np.float32)
            return new.first, {**none, "state": state}, {"total": total}
        return new.first, new.joined_trends(), new.joined_scores()

    def _know(self, histograms: Any) -> None:
        """Take in histograms that are new."""
        count, self._entries = len(self._entries), list(histograms)  # those known may have further segments
        new = self._entries[count:]
        self.past.names = [entry.name for entry in self._entries]
        if not new:
            return
        self.trends.add(new)
        self.scores.add(new)
        self.components.names += [entry.name for entry in new]
        self._gauges = np.concatenate([self._gauges, [entry.first.gauge for entry in new]]).astype(bool)
        self.activity = replace(self.activity, state=_wider(self.activity.state, len(self._entries)))
        self._entries_gained = _wider(self._entries_gained, len(self._entries))
        self.flagged_bins = _wider(self.flagged_bins, len(self._entries))

    def _find(self, name: str) -> HistogramEntry:
        return self.rows.registry.find(name, self.rows.where)

    def _number(self, name: str) -> int:
        entry = self._find(name)
        return next(number for number, known in enumerate(self._entries) if known.path == entry.path)

    def _pieces(self, number: int) -> list[RunHistogram]:
        """The present row of a histogram, and the one before."""
        pieces = self.rows.histogram(self._entries[number])
        return self._with_known_steps(number, pieces, whole=False)

    def _with_known_steps(
        self, number: int, pieces: list[RunHistogram], *, whole: bool = True
    ) -> list[RunHistogram]:  # fmt: skip
        """The same, with the steps of the rows so far."""
        known = self.activity.state[:, number] & ~np.uint8(State.REPORTED)
        steps = RunSteps(pieces, known, whole=whole, kind=self.rows.kind(self._entries[number].name))
        return [replace(piece, steps=steps) for piece in pieces]

    def _count_events(self, row: int) -> None:
        settings = self._config.for_subsystem(self.subsystem)
        if settings.events is None:
            return
        try:
            pieces = self._pieces(self._number(settings.events))
        except NotFoundError:
            return
        counting = parse(settings.count)
        for binning, rows in stretches(pieces, row, row + 1):
            increments = continuing(pieces, binning, rows, None, counting)
            events = (self._events or Events.none()).added(increments, counting(increments)[0])
            self._events = events if len(events.times) else None

    def _go_on(
        self, first: int, last: int, held: Held, find: Callable[[str], Any],
        times: NDArray[np.datetime64] | None = None,
    ) -> None:  # fmt: skip
        trends, amended = self.trends.rows(first, last, held, find, self._events)
        times = (self.rows.times(0) if times is None else times)[:last]
        state = np.concatenate([self.activity.state, trends["state"]])
        reported = RunActivity(times, trends["state"]).reported
        waits = [self._waits.add(int(times[row].view("int64")), reported[row - first]) for row in range(first, last)]
        self.activity = RunActivity(times, state, np.concatenate([self.activity.waits, waits]))
        gained = np.nan_to_num(trends["value"][..., self.names.index("entries")]).clip(min=0)
        self._gauges |= State.GAUGE.is_set(trends["state"]).any(axis=0)
        self._entries_gained = np.concatenate([self._entries_gained, np.where(self._gauges, 0.0, gained)])
        scores, findings = self.scores.rows(first, last, held, self.activity.state, self.activity)
        self._of_bins += findings
        self.flagged_bins = np.concatenate([self.flagged_bins, scores["flagged"]])
        changed = self.components.rows(self._without_gauges(), self._entries_gained, self.flagged_bins > 0)
        for number, pieces in enumerate(held):
            known = self._binnings.setdefault(number, [])
            known += [(int(piece.rows[0]), piece.axes) for piece in pieces[len(known) :]]
        for rows in (self.new, self._to_hand_out):
            rows.trends.append(trends)
            rows.scores.append(scores)
        self.new.amended += amended
        self.new.components_from = min(self.new.components_from, changed)
        self.rows_done = last

    def _without_gauges(self) -> RunActivity:
        return self.activity.without(self._gauges)

    def require_settings(self, settings: ScoreSettings, config: Config) -> None:
        """Raise OutOfStepError if there are other settings now, because there are more histograms."""
        if settings != self.settings:
            raise OutOfStepError("the thresholds changed")
        if config.for_subsystem(self.subsystem) != self._config.for_subsystem(self.subsystem):
            raise OutOfStepError("the configuration names a histogram that came now")


def _widened(values: NDArray[Any], histograms: int) -> NDArray[Any]:
    """The same with histograms that came later: NaN, or zero of bits."""
    more = [(0, 0), (0, histograms - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
    return np.pad(values, more, constant_values=0 if values.dtype.kind == "u" else np.nan)


def _wider(values: NDArray[Any], columns: int) -> NDArray[Any]:
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])))
