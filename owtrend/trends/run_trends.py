"""The reductors of some histograms in one run, made row after row: trends."""

import json
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.errors import NotFoundError, OutOfStepError, UsageError
from owtrend.histograms import run_histogram
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RowSource, RunHistogram, together
from owtrend.histograms.steps import calm
from owtrend.model.axis import Axis
from owtrend.model.registry import HistogramEntry, Segment
from owtrend.store.reader import SubsystemReader
from owtrend.trends.increments import Increments
from owtrend.trends.intervals import (
    WHOLE,
    Events,
    Part,
    Together,
    continuing,
    custom,
    event_counter,
    goes_on,
    intervals,
    stretches,
)
from owtrend.trends.reductors import DEFAULT, Reductor, parse
from owtrend.trends.settings import added, by_default, parse_stored

__all__ = ["Amended", "RunTrends", "TrendArrays", "begins", "path_of", "run_trends"]

TrendArrays = dict[str, NDArray[Any]]
Pieces = Sequence[RunHistogram]
_OF_EVENTS = ("events", "per_event")
_TOGETHER = 2**20  # cells of histograms that are reduced together

_log = logging.getLogger(__name__)


class Amended(NamedTuple):
    """A number of an earlier row that is known better now: row, histogram and reductor by their places."""

    row: int
    column: int
    target: int
    value: float
    error: float


@dataclass
class _Pending:
    """A report after the last of the event counter: its row, entries, and when it began and ended."""

    row: int
    increments: Increments

    @property
    def events(self) -> float:
        """Events in it, as far as they are known."""
        return 0.0 if self.increments.events is None else float(self.increments.events[0])


@dataclass
class _Column:
    """One histogram: what is kept of it, and the sum of its increments so far."""

    entry: HistogramEntry
    reductors: list[tuple[int, Reductor]]
    axes: list[tuple[Axis, ...]] = field(default_factory=list)  # of its binnings so far
    total: Increments | None = None
    separate: dict[int, Increments] = field(default_factory=dict)  # totals in ranges, by reductor
    together: dict[int, Together] = field(default_factory=dict)  # with another histogram, by reductor
    segment: Segment | None = None  # of the latest binning
    option: str | None = None  # its error option
    warned: set[int] = field(default_factory=set)
    events: float = 0.0  # in the reports that are not pending
    pending: list[_Pending] = field(default_factory=list)

    @property
    def cells(self) -> bool:
        """True if a reductor needs every bin of two or three axes."""
        return any(single.plain and single.kind.of_cells for _, single in self.reductors)

    def alike(self, pieces: Pieces) -> Hashable:
        """Equal for histograms that are reduced together; None for one that is reduced by itself."""
        if len(pieces) != 1 or self.cells or not all(single.plain for _, single in self.reductors):
            return None
        of_rows = pieces[0].alike
        return of_rows and (of_rows, tuple(target for target, _ in self.reductors))


class RunTrends:
    """Trends of some histograms in one run, window after window of rows; how it is cut into windows changes nothing.

    Parameters
    ----------
    names
        Reductors, in the order of the arrays.
    config
        Where events are counted, and which reductors are kept of which histogram, unless ``all_of_them`` are wanted.
    parsed
        Gives the reductor of a name.
    """

    def __init__(
        self, histograms: Iterable[HistogramEntry], names: Sequence[str] = DEFAULT, config: Config | None = None,
        subsystem: str = "", *, all_of_them: bool = False, parsed: Callable[[str], Reductor] = parse,
    ) -> None:  # fmt: skip
        self._parsed = parsed
        self._names, self._config, self._subsystem = tuple(names), config or Config(), subsystem
        self._all = all_of_them
        self._columns: list[_Column] = []
        self._totals: dict[tuple[int, ...], Increments] = {}  # of columns that were reduced together, a row of each
        self._events_known = False
        self.rows_done = 0
        self.add(histograms)
        self._strict = all_of_them and len(self._columns) == 1

    def add(self, histograms: Iterable[HistogramEntry]) -> None:
        """Further histograms, none of which had any row so far."""
        of_every = {name for name in self._names if self._all or by_default(name)}
        of_some = {*self._names} - of_every
        for entry in histograms:
            wanted = of_every | (of_some and added(self._config, self._subsystem, entry))
            reductors = [(at, self._parsed(name)) for at, name in enumerate(self._names) if name in wanted]
            self._columns.append(_Column(entry, reductors))

    def rows(
        self, first: int, last: int, held: Sequence[Pieces], find: Callable[[str], Pieces],
        events: Events | None = None,
    ) -> tuple[TrendArrays, list[Amended]]:  # fmt: skip
        """Trends of the next rows, ``first`` to before ``last``.

        Parameters
        ----------
        held
            Of each histogram its binnings, with these rows and those before.
        find
            The same of any histogram, by name.
        events
            Events counted up to now.

        Returns
        -------
        :
            ``value``, ``error`` (time, histogram, reductor) and ``state`` (time, histogram) of these rows, and what
            became of earlier ones when the event counter, or another histogram, reported.

        Raises
        ------
        OutOfStepError
            If a histogram's earlier rows have another meaning now: an axis got more labels or was extended, or the
            error option of a profile changed.
        """
        shape = last - first, len(self._columns), len(self._names)
        out: TrendArrays = {
            "value": np.full(shape, np.nan), "error": np.full(shape, np.nan),
            "state": np.zeros(shape[:2], dtype=np.uint8),
        }  # fmt: skip
        if events is not None and not self._events_known and first:
            raise OutOfStepError("the event counter appeared")
        self._events_known = events is not None
        amended = [] if events is None else list(self._settled(events))
        for column, pieces in zip(self._columns, held, strict=True):
            self._require_same(column, pieces)
        apart = self._add_together(out, first, last, held) if events is None else range(len(held))
        for number in apart:
            column, pieces = self._columns[number], held[number]
            own = [
                self._add(out, first, number, column, pieces, binning, rows, events)
                for binning, rows in stretches(pieces, first, last)
            ]
            amended += self._with_others(out, first, last, number, column, own, find)
        for pieces in held:
            for piece in pieces[:1]:
                piece.settle(last)
        self.rows_done = last
        return out, amended

    def totals(self, view: RowSource, run: int) -> TrendArrays:
        """``run_value``, ``run_error`` (histogram, reductor) of the run so far; ``view`` reads it for people's own."""
        shape = len(self._columns), len(self._names)
        out = {"run_value": np.full(shape, np.nan), "run_error": np.full(shape, np.nan)}
        for numbers, total in self._totals.items():
            column = self._columns[numbers[0]]
            for target, single in column.reductors:
                if column.segment is not None and single.fits(column.segment):
                    out["run_value"][numbers, target], out["run_error"][numbers, target] = single(total)
        together = {number for numbers in self._totals for number in numbers}
        for number, column in enumerate(self._columns):
            for target, single in column.reductors if number not in together else ():
                if (found := self._total(column, target, single, view, run)) is not None:
                    out["run_value"][number, target], out["run_error"][number, target] = found
        return out

    def state(self) -> dict[str, Any]:
        """What is kept of the rows so far."""
        self._take_apart(self._totals)
        return {
            "rows": self.rows_done, "events": self._events_known,
            "columns": [
                {
                    "axes": column.axes, "option": column.option, "total": column.total, "separate": column.separate,
                    "reductors": [target for target, _ in column.reductors], "events": column.events,
                    "together": {target: both.state() for target, both in column.together.items()},
                    "pending": [[pending.row, pending.increments] for pending in column.pending],
                }
                for column in self._columns
            ],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; further histograms are added later."""
        self.rows_done, self._events_known = state["rows"], state["events"]
        for column, known in zip(self._columns, state["columns"], strict=True):
            column.axes, column.total, column.events = known["axes"], known["total"], known["events"]
            column.option = known["option"]
            column.reductors = [pair for pair in column.reductors if pair[0] in known["reductors"]]
            column.separate = known["separate"]
            column.together = {target: Together.from_state(both) for target, both in known["together"].items()}
            column.pending = [_Pending(row, increments) for row, increments in known["pending"]]

    def _require_same(self, column: _Column, pieces: Pieces) -> None:
        known = column.axes
        if len(pieces) < len(known) or any(
            old is not new.axes and old != new.axes for old, new in zip(known, pieces, strict=False)
        ):
            raise OutOfStepError(f"{column.entry.name}: an axis has more labels, or was extended")
        if known:
            latest = pieces[len(known) - 1].segment
            if column.option not in (None, latest.error_option):
                raise OutOfStepError(f"{column.entry.name}: the error option changed")
            column.segment, column.option = latest, latest.error_option
        for piece in pieces[len(known) :]:
            column.axes.append(piece.axes)
            column.segment, column.option = piece.segment, piece.segment.error_option
            column.reductors = [pair for pair in column.reductors if self._has_bins(piece, pair[1])]

    def _has_bins(self, piece: RunHistogram, single: Reductor) -> bool:
        """True if the ranges of a reductor begin and end at bin edges, and there is the label that it names."""
        if not (single.ranges or single.numbers) or not single.fits(piece.segment):
            return True
        try:
            single.require_bins(piece.axes)
        except (UsageError, NotFoundError) as error:
            name = "/".join(piece.segment.path)
            if self._strict and isinstance(error, UsageError):
                raise UsageError(f"{name}, {single.name}: {error}") from error
            _log.warning("%s: no %s in run %d: %s", name, single.name, piece.run, error)
            return False
        return True

    def _add_together(self, out: TrendArrays, first: int, last: int, held: Sequence[Pieces]) -> list[int]:
        """The trends of histograms with equal bins that only count on, as of one; returns the numbers of the others."""
        alike: dict[Hashable, list[int]] = {}
        for number, (column, pieces) in enumerate(zip(self._columns, held, strict=True)):
            if (key := column.alike(pieces)) is not None:
                alike.setdefault(key, []).append(number)
        apart = set(range(len(held)))
        totals: dict[tuple[int, ...], Increments] = {}
        for numbers in alike.values():
            lead = held[numbers[0]][0]
            rows = slice(*np.searchsorted(lead.rows, (first, last)).tolist())
            at = lead.rows[rows] - first
            many = max(1, _TOGETHER // (lead.size * max(len(at), 1)))
            for begin in range(0, len(numbers) if len(at) else 0, many):
                some = numbers[begin : begin + many]
                pieces = [held[number][0] for number in some]
                joined = together(pieces, max(rows.start - 1, 0), rows.stop)
                is_calm = calm(pieces, rows.start, rows.stop, joined)
                if not is_calm.all():
                    some, pieces = [*compress(some, is_calm)], [*compress(pieces, is_calm)]
                    if not some:
                        continue
                    joined = together(pieces, max(rows.start - 1, 0), rows.stop)
                increments = Increments.from_many(pieces, rows, joined)
                self._reduce(out, at, some, increments)
                totals[tuple(some)] = increments
                apart.difference_update(some)
        self._take_apart([group for group in self._totals if group not in totals])
        for group, increments in totals.items():
            self._totals[group] = increments.each_as_one(len(group), self._total_of(group))
        return sorted(apart)

    def _reduce(
        self, out: TrendArrays, at: NDArray[np.intp], numbers: Sequence[int], increments: Increments
    ) -> None:  # fmt: skip
        """The trends of histograms with equal bins in some rows."""
        column, shape = self._columns[numbers[0]], (len(numbers), len(at))
        where = at[:, None], np.array(numbers)[None, :]
        out["state"][where] = increments.state.reshape(shape).T
        for target, single in column.reductors:
            if column.segment is not None and single.fits(column.segment):
                for name, values in zip(("value", "error"), single(increments), strict=True):
                    out[name][*where, target] = values.reshape(shape).T

    def _total_of(self, numbers: tuple[int, ...]) -> Increments | None:
        """The sum so far of columns that are reduced together."""
        if numbers in self._totals:
            return self._totals[numbers]
        known = [total for number in numbers if (total := self._columns[number].total) is not None]
        return Increments.side_by_side(known) if known else None

    def _take_apart(self, groups: Iterable[tuple[int, ...]]) -> None:
        """Give each column of some groups its own sum."""
        for numbers in [*groups]:
            total = self._totals.pop(numbers)
            for place, number in enumerate(numbers):
                column = self._columns[number]
                column.total = replace(total.rows(slice(place, place + 1)), axes=column.axes[-1])

    def _add(
        self, out: TrendArrays, first: int, number: int, column: _Column, pieces: Pieces, binning: int, rows: slice,
        events: Events | None,
    ) -> Part:  # fmt: skip
        """The trends of some rows of one binning of one histogram; returns these rows and their increments."""
        piece = pieces[binning]
        increments = continuing(pieces, binning, rows, events, cells=column.cells)
        at = piece.rows[rows] - first
        out["state"][at, number] = increments.state
        for target, single in column.reductors:
            if single.fits(piece.segment) and not single.other:
                out["value"][at, number, target], out["error"][at, number, target] = (
                    single(increments)
                    if single.plain
                    else self._separately(column, target, single, pieces, binning, rows, increments)
                )
        self._count_events(column, piece.rows[rows], increments, events)
        column.total = increments.as_one() if column.total is None else column.total.plus(increments)
        return piece.rows[rows], increments

    def _separately(
        self, column: _Column, target: int, single: Reductor, pieces: Pieces, binning: int, rows: slice,
        increments: Increments,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """A reductor that needs more than the increments of all bins."""
        if single.kind.custom:
            news = increments.reported | increments.gauge
            value, error = custom(pieces[binning], rows, single, news, partial(self._failed, column, target, single))
            if rows.start == 0 and goes_on(pieces, binning):  # what was gained in its first row nobody knows
                value[0] = error[0] = np.nan
            return value, error
        of_bins = continuing(pieces, binning, rows, single=single)
        before = column.separate.get(target)
        same = before is not None and before.axes == of_bins.axes  # of several binnings the last
        column.separate[target] = before.plus(of_bins) if before is not None and same else of_bins.as_one()
        return single(of_bins)

    def _with_others(
        self, out: TrendArrays, first: int, last: int, number: int, column: _Column, own: Sequence[Part],
        find: Callable[[str], Pieces],
    ) -> Iterator[Amended]:  # fmt: skip
        """The reductors of a histogram and another one, in rows in which both reported; what is withdrawn before."""
        for target, single in column.reductors:
            if not single.other:
                continue
            try:
                pieces = find(single.other)
            except NotFoundError as failure:
                self._failed(column, target, single, failure)
                continue
            other = [
                (pieces[binning].rows[rows], continuing(pieces, binning, rows))
                for binning, rows in stretches(pieces, first, last)
            ]
            covered, withdrawn = column.together.setdefault(target, Together()).add(own, other)
            for rows, *both in covered:
                out["value"][rows - first, number, target], out["error"][rows - first, number, target] = single(*both)
            for row in withdrawn:
                yield Amended(row, number, target, np.nan, np.nan)

    def _failed(self, column: _Column, target: int, single: Reductor, failure: Exception) -> None:
        """A reductor that has no value in a row: an error where only it was requested, else it is missing."""
        if self._strict:
            raise failure
        if target not in column.warned:
            column.warned.add(target)
            _log.warning("%s: no %s of %s: %r", self._subsystem, single.name, column.entry.name, failure)

    def _total(
        self, column: _Column, target: int, single: Reductor, view: RowSource, run: int
    ) -> tuple[float, float] | None:  # fmt: skip
        total = column.total
        if total is None or column.segment is None or not single.fits(column.segment):
            return None
        if single.kind.custom:
            try:
                entry = view.registry.histograms[column.entry.path]
                _, value, error, *_ = intervals(view, run, entry, single, WHOLE)
            except Exception as failure:  # people's functions may raise anything
                self._failed(column, target, single, failure)
                return None
            return float(value[-1]), float(error[-1])
        if single.plain:
            if self._events_known:
                total = replace(total, events=np.array([self._events(column)]))
            value, error = single(total)
        else:
            own, other = column.separate.get(target), None
            if target in column.together:
                if (both := column.together[target].total) is not None:
                    own, other = both
                elif target not in column.warned:
                    column.warned.add(target)
                    words = "%s: no %s of %s: in run %d they have no two snapshots in which both report"
                    _log.warning(words, self._subsystem, single.name, column.entry.name, run)
            if own is None:
                return None
            value, error = single(own, other)
        return float(value[0]), float(error[0])

    def _events(self, column: _Column) -> float:
        """Events in all reports so far."""
        total = column.events
        for pending in column.pending:
            total += pending.events
        return total

    def _count_events(
        self, column: _Column, rows: NDArray[np.intp], increments: Increments, events: Events | None
    ) -> None:
        """Count them up to the last report of the counter; what comes later is pending."""
        if increments.events is None or events is None:
            return
        late = increments.reported & ~(increments.end <= events.times[-1]) if len(events.times) else increments.reported
        for at in np.flatnonzero(increments.reported).tolist():
            if late[at]:
                few = increments.rows(slice(at, at + 1))
                column.pending.append(_Pending(int(rows[at]), replace(few, along=(), parts={})))
            else:
                column.events += float(increments.events[at])

    def _settled(self, events: Events) -> Iterable[Amended]:
        """Reports whose events are known, or known better, since the counter reported."""
        for number, column in enumerate(self._columns):
            still = []
            for pending in column.pending:
                old = pending.increments
                counted = events.between(old.since, old.end)
                if counted[0] != pending.events:
                    pending.increments = replace(old, events=counted)
                    for target, single in column.reductors:
                        if single.plain and single.name in _OF_EVENTS:
                            value, error = single(pending.increments)
                            yield Amended(pending.row, number, target, float(value[0]), float(error[0]))
                if len(events.times) and old.end[0] <= events.times[-1]:
                    column.events += float(counted[0])
                else:
                    still.append(pending)
            column.pending = still


def run_trends(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], names: Sequence[str] = DEFAULT,
    config: Config | None = None, subsystem: str = "", *, all_of_them: bool = False,
) -> TrendArrays:  # fmt: skip
    """Reductors of the increments of some histograms in one run; memory is bounded whatever its length.

    Parameters
    ----------
    config
        Where events are counted, and which reductors are kept of which histogram, unless ``all_of_them`` are wanted.

    Returns
    -------
    :
        ``value``, ``error`` (time, histogram, reductor), NaN where nothing was gained or the reductor has no meaning;
        ``state`` (time, histogram): bits of `owtrend.model.rows.State`; ``run_value``, ``run_error``
        (histogram, reductor) of the whole run. Time is the run's snapshots.
    """
    parsed = partial(parse_stored, view)

    def made(*, looked: bool) -> TrendArrays:
        trends = RunTrends(histograms, names, config, subsystem, all_of_them=all_of_them, parsed=parsed)
        return further_trends(trends, view, run, histograms, config or Config(), subsystem, looked=looked)

    try:
        return made(looked=False)
    except OutOfStepError:  # a later window shows that a row is out of order, or that a histogram does not count
        return made(looked=True)


def further_trends(
    trends: RunTrends, view: RowSource, run: int, histograms: Sequence[HistogramEntry], config: Config, subsystem: str,
    *, looked: bool = False,
) -> TrendArrays:  # fmt: skip
    """The rows of a stored run that ``trends`` has not seen yet; ``looked``: at the steps of all rows beforehand."""
    run_index, start = view.run_index(run), trends.rows_done
    events = event_counter(view, run, config, subsystem)
    prefetched = Prefetched(view, run_index, histograms, start)
    held: Sequence[Pieces] = run_histogram.each_by_binning(view, run, histograms, prefetched.cells)
    if looked:
        both = zip(held, histograms, strict=True)
        held = [run_histogram.with_all_steps(pieces, entry, stored=False) for pieces, entry in both]
    others: dict[str, Pieces] = {}

    def find(name: str) -> Pieces:
        if name not in others:
            others[name] = run_histogram.by_binning(view, run, view.registry.find(name, view.where))
        return others[name]

    windows, amended = [], []
    for first, last in prefetched.windows():
        arrays, more = trends.rows(first, last, held, find, events)
        windows.append(arrays)
        amended += more
    out = {name: np.concatenate([arrays[name] for arrays in windows]) for name in windows[0]}
    for one in amended:
        if one.row >= start:
            place = one.row - start, one.column, one.target
            out["value"][place], out["error"][place] = one.value, one.error
    return out | trends.totals(view, run)


def begins(times: NDArray[np.datetime64], held: NDArray[np.bool_]) -> NDArray[np.datetime64]:
    """Where the increment of each row begins: at the row before that holds the histogram; NaT for the first.

    ``held`` has shape ``(time, ...)``.
    """
    number = np.arange(len(times)).reshape(-1, *[1] * (held.ndim - 1))
    latest = np.maximum.accumulate(np.where(held, number, -1), axis=0)
    before = np.concatenate([np.full((1, *held.shape[1:]), -1), latest[:-1]])
    return np.where(before < 0, np.datetime64("NaT"), times[before])


def path_of(entry: HistogramEntry) -> str:
    """Name of a histogram in stored trends."""
    return json.dumps(entry.path)
