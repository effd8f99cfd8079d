"""One reductor of one histogram over intervals of a run, with the events and the other histogram that it needs."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.errors import NotFoundError
from owtrend.histograms import run_histogram, time_slice
from owtrend.histograms.labelled import labelled
from owtrend.histograms.run_histogram import RowSource, RunHistogram
from owtrend.model import root_sums
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.trends.increments import Increments
from owtrend.trends.reductions import Estimate
from owtrend.trends.reductors import Reductor, parse

__all__ = [
    "WHOLE", "Covered", "Events", "Intervals", "Part", "Together", "continuing", "custom", "event_counter", "goes_on",
    "intervals", "stretches",
]  # fmt: skip

WHOLE = np.timedelta64(2**62, "ns")  # an interval that holds all of a run, its first snapshot too

Part = tuple[NDArray[np.intp], Increments]  # rows of a run, and what a histogram gained in each
Covered = tuple[NDArray[np.intp], Increments, Increments]  # rows of a run, and what two gained up to each

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Events:
    """Events counted in a run: ``total`` [events] up to each of ``times`` (ns UTC), the reports of the counter."""

    times: NDArray[np.datetime64]
    total: NDArray[np.float64]

    def between(self, begin: NDArray[np.datetime64], end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Events in each interval ``(begin, end]``, NaT being the begin of the run.

        The counter, too, is sent every few minutes: between its reports as many per second as in the next one.
        """
        at = self.times.view("int64")
        first, last = (np.interp(times.view("int64"), at, self.total, left=0.0) for times in (begin, end))
        return np.asarray(last - np.where(np.isnat(begin), 0.0, first), dtype=np.float64)

    def added(self, increments: Increments, counted: NDArray[np.float64]) -> "Events":
        """With further reports of the counter."""
        known = increments.reported
        total = np.concatenate([self.total[-1:], np.nan_to_num(counted)[known]])
        total = np.add.accumulate(total)[len(self.total[-1:]) :]
        return Events(np.concatenate([self.times, increments.end[known]]), np.concatenate([self.total, total]))

    @classmethod
    def none(cls) -> "Events":
        """No report yet."""
        return cls(np.empty(0, dtype="datetime64[ns]"), np.empty(0))


def event_counter(view: RowSource, run: int, config: Config, subsystem: str) -> Events | None:
    """The events of a run, as the configuration says where to count them; None if it does not, or nobody counted."""
    settings = config.for_subsystem(subsystem)
    if settings.events is None:
        return None
    try:
        entry = view.registry.find(settings.events, f"{view.where}, event counter")
        increments, counted, *_ = intervals(view, run, entry, parse(settings.count), None)
    except NotFoundError as error:
        _log.warning("no events are counted in run %d: %s", run, error)
        return None
    order = np.argsort(increments.end, kind="stable")
    events = Events.none().added(increments.rows(order), counted[order])
    return events if len(events.times) else None


class Intervals(NamedTuple):
    """A reductor over intervals: the increments in them, ``value`` and ``error``, and what each value covers.

    ``begin`` and ``end`` (ns UTC) are those of the increments. Where a reductor needs another histogram, too, they are
    two reports of both, NaT where no two are covered.
    """

    increments: Increments
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    begin: NDArray[np.datetime64]
    end: NDArray[np.datetime64]


def intervals(
    view: RowSource, run: int, entry: HistogramEntry, single: Reductor, every: np.timedelta64 | None,
    events: Events | None = None,
) -> Intervals:  # fmt: skip
    """One reductor of one histogram in a run, row by row or over intervals of ``every``.

    They are counted from the first snapshot of the run, which counts since the run began and is one by itself. Of a
    histogram that changed its binning in the run, one after the other.
    """
    pieces = run_histogram.by_binning(view, run, entry)
    origin = view.times(view.run_index(run))[0]
    rows, increments, starts, values, errors = [], [], [], [], []
    for number, one in enumerate(pieces):
        there = _has_labels(single, one)
        made = continuing(pieces, number, slice(0, len(one.rows)), events, single if there else None)
        groups = None if every is None else _groups(made.end, origin, every)
        coarse = made if groups is None else made.grouped(groups)
        value = error = np.full(len(coarse), np.nan)
        if single.kind.custom:
            value, error = _custom(one, single, groups, coarse.reported | coarse.gauge)
            if goes_on(pieces, number):  # what was gained in its first row nobody knows
                value[0] = error[0] = np.nan
        elif there and not single.other:
            value, error = single(coarse)
        rows.append((one.rows, made))
        starts.append(np.arange(len(made)) if groups is None else np.asarray(groups))
        increments.append(coarse)
        values.append(value)
        errors.append(error)
    if not increments:
        raise NotFoundError(f"{view.where}: run {run} has no histogram {entry.name!r}")
    times = _times_of(increments)
    found = Intervals(times, np.concatenate(values), np.concatenate(errors), times.begin, times.end)
    if not single.other:
        return found
    others = run_histogram.by_binning(view, run, view.registry.find(single.other, view.where))
    every_row = stretches(others, 0, len(view.times(view.run_index(run))))
    parts = [(others[number].rows[some], continuing(others, number, some)) for number, some in every_row]
    return _of_both(found, single, rows, starts, parts)


def _of_both(
    found: Intervals, single: Reductor, own: Sequence[Part], starts: Sequence[NDArray[np.intp]], other: Sequence[Part]
) -> Intervals:
    """The values of intervals of two histograms: of what both gained between reports of both that end in each."""
    number_of: dict[int, int] = {}  # of the interval, by row of the run
    first = 0
    for (rows, _), begins in zip(own, starts, strict=True):
        numbers = first + np.searchsorted(begins, np.arange(len(rows)), side="right") - 1
        number_of |= dict(zip(rows.tolist(), numbers.tolist(), strict=True))
        first += len(begins)
    totals: dict[int, tuple[Increments, Increments]] = {}
    value, error = np.full(first, np.nan), np.full(first, np.nan)
    begin, end = (np.full(first, np.datetime64("NaT"), dtype="datetime64[ns]") for _ in range(2))
    for rows, gained, of_other in Together().add(own, other)[0]:
        numbers = np.array([number_of[row] for row in rows.tolist()])
        for number in np.unique(numbers).tolist():
            few = np.flatnonzero(numbers == number)
            totals[number] = _added(totals.get(number), gained.rows(few), of_other.rows(few))
    for number, both in totals.items():
        (value[number],), (error[number],) = single(*both)
        begin[number], end[number] = both[0].begin[0], both[0].end[0]
    return found._replace(value=value, error=error, begin=begin, end=end)


class _Row(NamedTuple):
    """A histogram in one row of a run: its place in the parts, and what kind of row it is."""

    part: int
    at: int
    reported: bool
    restart: bool
    first: bool
    known: bool
    gauge: bool

    @classmethod
    def by_row(cls, parts: Sequence[Part]) -> dict[int, "_Row"]:
        found = {}
        for part, (rows, increments) in enumerate(parts):
            known, gauge = np.isfinite(increments.whole) & ~State.LOST.is_set(increments.steps), increments.gauge
            first = np.isnat(increments.begin) | increments.restart
            reported = (increments.reported | gauge) & ~State.OUT_OF_ORDER.is_set(increments.steps)
            kinds = np.stack([reported, increments.restart, first, known], axis=1).tolist()
            for at, (row, (news, restart, begins, is_known)) in enumerate(zip(rows.tolist(), kinds, strict=True)):
                found[row] = cls(part, at, news, restart, begins, is_known, gauge)
        return found


class _Span(NamedTuple):
    """What two histograms gained up to a row, since ``begin``: places in the parts, ``_CARRIED`` from rows before."""

    row: int
    begin: np.datetime64
    terms: tuple[list[tuple[int, int]], list[tuple[int, int]]]

    def alike(self) -> tuple[int, ...]:
        """The same for spans of one row each that lie in the same parts; another for each of all others."""
        plain = all(len(terms) == 1 and terms[0] != _CARRIED for terms in self.terms)
        return tuple(terms[0][0] for terms in self.terms) if plain else (self.row,)


_CARRIED = (-1, 0)


class Together:
    """Two histograms from each report of both to the next: only there it is known what both gained in the same time.

    Each is sent every few minutes, so in all other snapshots one of them is older. An interval in which only one
    restarted, or nobody knows what was gained, is left out. A first report, since the run began or both restarted, may
    have been sent long before its snapshot: it is withdrawn if the next report is not of both.
    """

    def __init__(self) -> None:
        self._carried: list[Increments | None] = [None, None]  # gained since both reported
        self._broken = False  # nobody knows what was
        self._since = np.datetime64("NaT", "ns")  # when both reported
        self._unconfirmed = -1  # row of the first report of both, until one follows
        self._first: tuple[Increments, Increments] | None = None  # gained up to that row
        self._total: tuple[Increments, Increments] | None = None

    @property
    def total(self) -> tuple[Increments, Increments] | None:
        """What both gained in all intervals that are covered; if their bins changed, in the last ones."""
        return self._total if self._first is None else _added(self._total, *self._first)

    def add(self, own: Sequence[Part], other: Sequence[Part]) -> tuple[list[Covered], list[int]]:
        """Go on with further rows of a run.

        Returns
        -------
        :
            Rows in which both reported, with what each gained from ``begin``, the report of both before; and earlier
            rows that are withdrawn.
        """
        sides, first = (own, other), self._unconfirmed
        by_row = [_Row.by_row(parts) for parts in sides]
        terms = [[] if carried is None else [_CARRIED] for carried in self._carried]
        spans: list[_Span] = []
        withdrawn: set[int] = set()
        for row in sorted(by_row[0].keys() | by_row[1].keys()):
            both = [of.get(row) for of in by_row]
            there = [one for one in both if one is not None]
            news = [one for one in there if one.reported]
            if any(one.restart for one in there):
                terms = [[], []]
                self._broken = not (len(there) == 2 and all(one.restart for one in there))
            if self._unconfirmed >= 0 and any(not one.gauge for one in news):
                if len(news) < 2:
                    withdrawn.add(self._unconfirmed)
                    self._broken = True
                self._unconfirmed = -1
            self._broken |= not all(one.known for one in news)
            for number, one in enumerate(both):
                if one is not None and one.reported:
                    self._broken |= not self._same_bins(number, sides[number], terms[number], one)
                    terms[number].append((one.part, one.at))
            if len(news) < 2:
                continue
            if not self._broken:
                spans.append(_Span(row, self._since, (terms[0], terms[1])))
                if any(one.first for one in news) and not any(one.gauge for one in news):
                    self._unconfirmed = row
            terms, self._broken = [[], []], False
            self._since = own[news[0].part][1].end[news[0].at]
        covered = self._summed([span for span in spans if span.row not in withdrawn], sides)
        self._count(covered, first, withdrawn)
        self._carried = [self._sum(number, sides[number], terms[number]) for number in (0, 1)]
        return covered, [row for row in sorted(withdrawn) if all(span.row != row for span in spans)]

    def _summed(self, spans: Sequence[_Span], sides: tuple[Sequence[Part], Sequence[Part]]) -> list[Covered]:
        """What both gained in spans; those of one row each are taken together."""
        found: list[Covered] = []
        for group in ([*group] for _, group in groupby(spans, key=_Span.alike)):
            pair = [self._sum(number, sides[number], group[0].terms[number]) for number in (0, 1)]
            if len(group) > 1:
                places = [[span.terms[number][0] for span in group] for number in (0, 1)]
                pair = [
                    parts[of[0][0]][1].rows(np.array([at for _, at in of]))
                    for parts, of in zip(sides, places, strict=True)
                ]
            begin = np.array([span.begin for span in group], dtype="datetime64[ns]")
            own, other = (replace(one, begin=begin) for one in pair if one is not None)
            found.append((np.array([span.row for span in group]), own, other))
        return found

    def _count(self, covered: Sequence[Covered], first: int, withdrawn: Collection[int]) -> None:
        """Add what is covered to the total, but for a report that is not confirmed; ``first`` is the one before."""
        if self._first is not None and self._unconfirmed != first:
            self._total = self._total if first in withdrawn else _added(self._total, *self._first)
            self._first = None
        for rows, own, other in covered:
            if rows[-1] == self._unconfirmed:
                self._first = own.rows(slice(-1, None)), other.rows(slice(-1, None))
                own, other = own.rows(slice(0, -1)), other.rows(slice(0, -1))
            if len(own):
                self._total = _added(self._total, own, other)

    def _sum(self, number: int, parts: Sequence[Part], terms: Sequence[tuple[int, int]]) -> Increments | None:
        """The sum of some rows of one of the two, in their order."""
        total: Increments | None = None
        for part, at in terms:
            few = self._carried[number] if part < 0 else parts[part][1].rows(slice(at, at + 1))
            total = few if total is None or few is None else total.plus(few)
        return total

    def _same_bins(self, number: int, parts: Sequence[Part], terms: Sequence[tuple[int, int]], row: _Row) -> bool:
        """True if a row has the bins of those that it is added to."""
        if not terms:
            return True
        carried = self._carried[number]
        before = carried.axes if terms[0] == _CARRIED and carried is not None else parts[terms[0][0]][1].axes
        return before == parts[row.part][1].axes

    def state(self) -> dict[str, Any]:
        """What is kept of the rows so far."""
        return {
            "carried": self._carried, "broken": self._broken, "since": int(self._since.astype("int64")),
            "unconfirmed": self._unconfirmed, "first": self._first, "total": self._total,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Together":
        """The same, to go on from `state`."""
        made = cls()
        made._carried, made._broken, made._unconfirmed = state["carried"], state["broken"], state["unconfirmed"]
        made._since, made._first, made._total = np.datetime64(state["since"], "ns"), state["first"], state["total"]
        return made


def _added(
    before: tuple[Increments, Increments] | None, own: Increments, other: Increments
) -> tuple[Increments, Increments]:
    """The sums of two histograms with further rows of both; if the bins of one changed, of those rows alone."""
    if before is None or (before[0].axes, before[1].axes) != (own.axes, other.axes):
        return own.as_one(), other.as_one()
    return before[0].plus(own), before[1].plus(other)


def _has_labels(single: Reductor, one: RunHistogram) -> bool:
    """True unless a reductor is of a label that a run lacks, of which nothing is known in it."""
    try:
        single.bins(one.axes)
    except NotFoundError:
        return False
    return True


def stretches(pieces: Sequence[RunHistogram], first: int, last: int) -> Iterator[tuple[int, slice]]:
    """Rows ``first`` to before ``last`` of a run: number of the binning and which of its rows, each time it changes."""
    if len(pieces) == 1:
        rows = slice(*np.searchsorted(pieces[0].rows, (first, last)).tolist())
        if rows.start < rows.stop:
            yield 0, rows
        return
    parts = [np.arange(*np.searchsorted(piece.rows, (first, last))) for piece in pieces]
    owner = np.repeat(np.arange(len(pieces)), [len(part) for part in parts])
    within = np.concatenate([np.empty(0, dtype=np.intp), *parts])
    at = np.concatenate([np.empty(0, dtype=np.intp), *(p.rows[part] for p, part in zip(pieces, parts, strict=True))])
    order = np.argsort(at, kind="stable")
    owner, within = owner[order], within[order]
    for part in np.split(np.arange(len(owner)), np.flatnonzero(np.diff(owner)) + 1):
        if len(part):
            yield int(owner[part[0]]), slice(int(within[part[0]]), int(within[part[-1]]) + 1)


def continuing(
    pieces: Sequence[RunHistogram], number: int, rows: slice, events: Events | None = None,
    single: Reductor | None = None, *, cells: bool = False,
) -> Increments:  # fmt: skip
    """The increments of some rows of one binning; where it goes on from the binning before, its statistics do.

    Which bins were gained in its first row nobody knows then: they are NaN, and so is what is made of bins.
    """
    one = pieces[number]
    ranges = {} if single is None else single.bins(one.axes)
    cells = cells or (single is not None and single.kind.of_cells)
    increments = Increments.from_rows(one, rows, ranges=ranges, parts=("contents",) if cells else ())
    before = _before(pieces, number) if rows.start == 0 else None
    if before is not None:
        first = np.arange(len(increments)) == 0
        increments = replace(increments, begin=np.where(first, before.times[-1], increments.begin))
        if not _continues(before, one):
            increments = replace(increments, restart=increments.restart | first & one.additive)
        else:
            last = dict(zip(before.sum_names, before.sums[-1], strict=True))
            known = set() if ranges else {"entries"} if root_sums.are_lost(last) else set(last)
            stats = {
                name: values - np.where(first, last[name] if name in known else np.nan, 0.0)
                for name, values in increments.stats.items()
            }
            along = tuple(np.where(first, np.nan, line) for line in increments.along)
            parts = {name: np.where(first, np.nan, part) for name, part in increments.parts.items()}
            whole = np.where(first, np.nan, increments.whole)
            increments = replace(increments, stats=stats, along=along, parts=parts, whole=whole)
        increments = increments.timed_since(np.where(np.isnat(increments.since), before.last_report, increments.since))
    if events is not None:
        increments = replace(
            increments, events=np.where(increments.reported, events.between(increments.since, increments.end), 0.0)
        )
    return increments


def goes_on(pieces: Sequence[RunHistogram], number: int) -> bool:
    """True if a histogram went on counting when it took this binning, as when ROOT extends an axis."""
    before = _before(pieces, number)
    return before is not None and _continues(before, pieces[number])


def _before(pieces: Sequence[RunHistogram], number: int) -> RunHistogram | None:
    """The rows of the binning that a histogram had before it took this one."""
    begin = pieces[number].rows[0]
    earlier = [piece.window(0, int(np.searchsorted(piece.rows, begin))) for piece in pieces if piece.rows[0] < begin]
    return max(earlier, key=lambda piece: int(piece.rows[-1]), default=None)


def _continues(before: RunHistogram, after: RunHistogram) -> bool:
    same = before.segment.class_name == after.segment.class_name and before.sum_names == after.sum_names
    return bool(same and before.additive and after.additive and after.entries[0] >= before.entries[-1])


def custom(
    one: RunHistogram, rows: slice, single: Reductor, reported: NDArray[np.bool_], failed: Callable[[Exception], None]
) -> Estimate:
    """A function of people on the increment of each of some rows in which there is news.

    NaN in others, and where it raises what ``failed`` takes.
    """
    extra = int(rows.start > 0)
    histogram = labelled([one.window(rows.start - extra, rows.stop)], ragged=False, flow=True, subsystem="")
    histogram["sums"].load()
    pairs = np.full((len(reported), 2), np.nan)
    for number in np.flatnonzero(reported).tolist():
        try:
            pairs[number] = _called(single, histogram, number + extra, number + extra)
        except Exception as failure:  # people's functions may raise anything
            failed(failure)
    return pairs[:, 0], pairs[:, 1]


def _custom(one: RunHistogram, single: Reductor, groups: Sequence[int] | None, reported: NDArray[np.bool_]) -> Estimate:
    """A function of people: called with what was gained in each interval in which there is news, as xarray."""
    histogram = labelled([one.in_order()], ragged=False, flow=True, subsystem="")
    histogram["sums"].load()
    starts = np.arange(len(one.rows)) if groups is None else np.asarray(groups)
    stops = np.append(starts[1:], len(one.rows)) - 1
    pairs = [
        _called(single, histogram, first, last) if news else (np.nan, np.nan)
        for first, last, news in zip(starts.tolist(), stops.tolist(), reported.tolist(), strict=True)
    ]
    made = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return made[:, 0], made[:, 1]


def _called(single: Reductor, histogram: Any, first: int, last: int) -> tuple[float, float]:
    answer: Any = single.kind.function(time_slice.rows_slice(histogram, first, last))
    value, error = answer if isinstance(answer, tuple) else (answer, np.nan)
    return float(value), float(error)


def _groups(ends: NDArray[np.datetime64], origin: np.datetime64, every: np.timedelta64) -> list[int]:
    """The first row of each interval that has any; a row belongs to the interval in which it ends."""
    if every == WHOLE:
        return [0]
    number = (ends - origin - np.timedelta64(1, "ns")) // every
    return [0, *(np.flatnonzero(np.diff(number)) + 1).tolist()]


def _times_of(increments: Sequence[Increments]) -> Increments:
    """The first, with the times and what goes with them of all."""
    return replace(
        increments[0],
        begin=np.concatenate([one.begin for one in increments]),
        end=np.concatenate([one.end for one in increments]),
        reported=np.concatenate([one.reported for one in increments]),
        restart=np.concatenate([one.restart for one in increments]),
        steps=np.concatenate([one.steps for one in increments]),
    )
