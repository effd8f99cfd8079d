"""One reductor of one histogram over intervals of a run, and the events that were counted in them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.errors import NotFoundError, UsageError
from owtrend.histograms import run_histogram, time_slice
from owtrend.histograms.labelled import labelled
from owtrend.histograms.run_histogram import RowSource, RunHistogram
from owtrend.model import root_sums
from owtrend.model.registry import HistogramEntry
from owtrend.trends.increments import Increments
from owtrend.trends.reductions import Estimate
from owtrend.trends.reductors import Reductor, parse

__all__ = ["WHOLE", "Events", "continuing", "custom", "event_counter", "goes_on", "intervals", "stretches"]

WHOLE = np.timedelta64(2**62, "ns")  # an interval that holds all of a run, its first snapshot too

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
        increments, (counted, _) = intervals(view, run, entry, parse(settings.count), None)
    except NotFoundError as error:
        _log.warning("no events are counted in run %d: %s", run, error)
        return None
    order = np.argsort(increments.end, kind="stable")
    events = Events.none().added(increments.rows(order), counted[order])
    return events if len(events.times) else None


def intervals(
    view: RowSource, run: int, entry: HistogramEntry, single: Reductor, every: np.timedelta64 | None,
    events: Events | None = None,
) -> tuple[Increments, Estimate]:  # fmt: skip
    """One reductor of one histogram in a run, row by row or over intervals of ``every``.

    They are counted from the first snapshot of the run, which counts since the run began and is one by itself. Of a
    histogram that changed its binning in the run, one after the other.
    """
    pieces = run_histogram.by_binning(view, run, entry)
    origin = view.times(view.run_index(run))[0]
    increments, values, errors = [], [], []
    for number, one in enumerate(pieces):
        made = continuing(pieces, number, slice(0, len(one.rows)), events, single)
        groups = None if every is None else _groups(made.end, origin, every)
        coarse = made if groups is None else made.grouped(groups)
        if single.kind.custom:
            value, error = _custom(one, single, groups, coarse.reported | coarse.gauge)
            if goes_on(pieces, number):  # what was gained in its first row nobody knows
                value[0] = error[0] = np.nan
        elif single.other:
            other = _increments_of_other(view, run, single.other, one, events)
            value, error = single(coarse, other if groups is None else other.grouped(groups))
        else:
            value, error = single(coarse)
        increments.append(coarse)
        values.append(value)
        errors.append(error)
    if not increments:
        raise NotFoundError(f"{view.where}: run {run} has no histogram {entry.name!r}")
    return _times_of(increments), (np.concatenate(values), np.concatenate(errors))


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
    single: Reductor | None = None,
) -> Increments:  # fmt: skip
    """The increments of some rows of one binning; where it goes on from the binning before, its statistics do.

    Which bins were gained in its first row nobody knows then: they are NaN, and so is what is made of bins.
    """
    one = pieces[number]
    ranges = {} if single is None else single.bins(one.axes)
    increments = Increments.from_rows(one, rows, ranges=ranges)
    before = _before(pieces, number) if rows.start == 0 else None
    if before is not None:
        first = np.arange(len(increments)) == 0
        increments = replace(increments, begin=np.where(first, before.times[-1], increments.begin))
        if not _continues(before, one):
            increments = replace(increments, restart=increments.restart | first & one.additive)
        else:
            last = dict(zip(before.sum_names, before.sums()[-1], strict=True))
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


def _increments_of_other(
    view: RowSource, run: int, name: str, one: RunHistogram, events: Events | None
) -> Increments:  # fmt: skip
    """The increments of another histogram in the rows of ``one``."""
    entry = view.registry.find(name, view.where)
    found = run_histogram.by_binning(view, run, entry)
    if len(found) != 1 or not np.array_equal(found[0].rows, one.rows):
        raise UsageError(
            f"{view.where}, run {run}: {name} and {'/'.join(one.segment.path)} are not held by the same snapshots in "
            "one binning each; a ratio needs that"
        )
    return continuing(found, 0, slice(0, len(one.rows)), events)


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
    )
