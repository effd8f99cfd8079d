"""The reductors of some histograms in one run, row by row or over given intervals: trends."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.errors import NotFoundError, OwtrendError, UsageError
from owtrend.histograms import run_histogram, time_slice
from owtrend.histograms.labelled import labelled
from owtrend.histograms.prefetch import Prefetched
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.model import root_sums
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.store.reader import SubsystemReader
from owtrend.trends.increments import Increments
from owtrend.trends.reductions import Estimate
from owtrend.trends.reductors import DEFAULT, Reductor, parse
from owtrend.trends.settings import kept, parse_stored

__all__ = [
    "Events", "TrendArrays", "begins", "event_counter",
    "path_of", "run_trends",
]  # fmt: skip

TrendArrays = dict[str, NDArray[Any]]
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


def event_counter(view: SubsystemReader, run: int, config: Config, subsystem: str) -> Events | None:
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
    counted, known = np.nan_to_num(counted[order]), increments.reported[order]
    return Events(increments.end[order][known], np.cumsum(counted)[known]) if known.any() else None


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
    config = config or Config()
    run_index = view.run_index(run)
    times = view.times(run_index)
    shape = len(times), len(histograms)
    out: TrendArrays = {
        "value": np.full((*shape, len(names)), np.nan),
        "error": np.full((*shape, len(names)), np.nan),
        "state": np.zeros(shape, dtype=np.uint8),
        "run_value": np.full((shape[1], len(names)), np.nan),
        "run_error": np.full((shape[1], len(names)), np.nan),
    }
    events = event_counter(view, run, config, subsystem)
    chosen = [
        [
            (target, parse_stored(view, name))
            for target, name in enumerate(names)
            if all_of_them or kept(config, subsystem, entry, name)
        ]
        for entry in histograms
    ]
    totals: list[Increments | None] = [None] * len(histograms)
    prefetched = Prefetched(view, run_index, histograms)
    held = [run_histogram.by_binning(view, run, entry, prefetched.cells) for entry in histograms]
    strict = all_of_them and len(histograms) == 1
    chosen = [
        [(target, single) for target, single in reductors if _has_bins(pieces, single, strict)]
        for pieces, reductors in zip(held, chosen, strict=True)
    ]
    plain = [
        [[(target, one) for target, one in reductors if one.plain and one.fits(piece.segment)] for piece in pieces]
        for pieces, reductors in zip(held, chosen, strict=True)
    ]
    for first, last in prefetched.windows():
        for column, pieces in enumerate(held):
            for number, one in enumerate(pieces):
                rows = slice(*np.searchsorted(one.rows, (first, last)))
                if rows.start == rows.stop:
                    continue
                increments = _increments_continuing(pieces, number, rows, events)
                mine = one.rows[rows]
                out["state"][mine, column] = State.pack(increments.reported, increments.restart)
                for target, single in plain[column][number]:
                    out["value"][mine, column, target], out["error"][mine, column, target] = single(increments)
                totals[column] = _sum(totals[column], increments.grouped([0]))
    for column, (pieces, reductors) in enumerate(zip(held, chosen, strict=True)):
        total = totals[column]
        for target, single in reductors:
            if total is None or not single.fits(pieces[-1].segment):
                continue
            if not single.plain:
                _read_separately(view, run, pieces, single, events, out, column, target, strict)
            else:
                value, error = single(total)
                out["run_value"][column, target], out["run_error"][column, target] = value[0], error[0]
    return out


def intervals(
    view: SubsystemReader, run: int, entry: HistogramEntry, single: Reductor, every: np.timedelta64 | None,
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
        made = _increments_continuing(pieces, number, slice(0, len(one.rows)), events, single)
        groups = None if every is None else _groups(made.end, origin, every)
        coarse = made if groups is None else made.grouped(groups)
        if single.kind.custom:
            value, error = _custom(one, single, groups, coarse.reported | coarse.gauge)
            if number and _continues(pieces[number - 1], one):  # what was gained in its first row nobody knows
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


def begins(times: NDArray[np.datetime64], held: NDArray[np.bool_]) -> NDArray[np.datetime64]:
    """Where the increment of each row begins: at the row before that holds the histogram; NaT for the first.

    ``held`` has shape ``(time, ...)``.
    """
    number = np.arange(len(times)).reshape(-1, *[1] * (held.ndim - 1))
    latest = np.maximum.accumulate(np.where(held, number, -1), axis=0)
    before = np.concatenate([np.full((1, *held.shape[1:]), -1), latest[:-1]])
    return np.where(before < 0, np.datetime64("NaT"), times[before])


def _increments_continuing(
    pieces: Sequence[RunHistogram], number: int, rows: slice, events: Events | None, single: Reductor | None = None
) -> Increments:
    """The increments of some rows of one binning; where it goes on from the binning before, its statistics do.

    Which bins were gained in its first row nobody knows then: they are NaN, and so is what is made of bins.
    """
    one = pieces[number]
    ranges = {} if single is None else single.bins(one.axes)
    increments = Increments.from_rows(one, rows, ranges=ranges)
    if rows.start == 0 and number and pieces[number - 1].rows[-1] < one.rows[0]:
        before, first = pieces[number - 1], np.arange(len(increments)) == 0
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


def _continues(before: RunHistogram, after: RunHistogram) -> bool:
    """True if a histogram went on counting in another binning, as when ROOT extends an axis."""
    same = before.segment.class_name == after.segment.class_name and before.sum_names == after.sum_names
    in_turn = before.additive and after.additive and before.rows[-1] < after.rows[0]
    return bool(same and in_turn and after.entries[0] >= before.entries[-1])


def _sum(total: Increments | None, more: Increments) -> Increments:
    """Two increments as one; of a gauge, and of the bins of another binning, the later."""
    if total is None or more.gauge:
        return more
    stats = {name: total.stats[name] + values if name in total.stats else values for name, values in more.stats.items()}
    joined = replace(
        more, stats=stats, begin=total.begin, reported=total.reported | more.reported, since=total.since,
        lasting=total.lasting + more.lasting, timed=total.timed + more.timed,
    )  # fmt: skip
    if more.events is not None and total.events is not None:
        joined = replace(joined, events=total.events + more.events)
    if more.axes != total.axes:
        return joined
    return replace(
        joined,
        along=tuple(a + b for a, b in zip(total.along, more.along, strict=True)),
        whole=total.whole + more.whole,
        parts={name: total.parts[name] + part for name, part in more.parts.items() if name in total.parts},
    )


def _read_separately(
    view: SubsystemReader, run: int, pieces: Sequence[RunHistogram], single: Reductor, events: Events | None,
    out: TrendArrays, column: int, target: int, strict: bool,
) -> None:  # fmt: skip
    """A reductor that needs more than the increments of all bins: read by itself.

    If it is not defined for this histogram, that is an error where only it was requested, else it is missing.
    """
    entry = view.registry.histograms[pieces[0].segment.path]
    failures = Exception if single.kind.custom else OwtrendError  # people's functions may raise anything
    try:
        _, (value, error) = intervals(view, run, entry, single, None, events)
        _, (run_value, run_error) = intervals(view, run, entry, single, WHOLE, events)
    except failures as failure:
        if strict:
            raise
        _log.warning("%s, run %d: no %s of %s: %r", view.where, run, single.name, entry.name, failure)
        return
    rows = np.concatenate([one.rows for one in pieces])
    out["value"][rows, column, target], out["error"][rows, column, target] = value, error
    out["run_value"][column, target], out["run_error"][column, target] = run_value[-1], run_error[-1]


def _has_bins(pieces: Sequence[RunHistogram], single: Reductor, strict: bool) -> bool:
    """True if the ranges of a reductor begin and end at bin edges."""
    if not (single.ranges or single.numbers):
        return True
    try:
        for one in pieces:
            if single.fits(one.segment):
                single.require_bins(one.axes)
    except UsageError as error:
        name = pieces[0].segment.path
        if strict:
            raise UsageError(f"{'/'.join(name)}, {single.name}: {error}") from error
        _log.warning("%s: no %s of it: %s", "/".join(name), single.name, error)
        return False
    return True


def _custom(one: RunHistogram, single: Reductor, groups: Sequence[int] | None, reported: NDArray[np.bool_]) -> Estimate:
    """A function of people: called with what was gained in each interval in which there is news, as xarray."""
    histogram = labelled([one.in_order()], ragged=False, flow=True, subsystem="")
    histogram["sums"].load()
    bounds = [*(range(len(one.rows)) if groups is None else groups), len(one.rows)]
    pairs = []
    for (first, last), news in zip(pairwise(bounds), reported, strict=True):
        if not news:
            pairs.append((np.nan, np.nan))
            continue
        piece = time_slice.rows_slice(histogram, first, last - 1)
        answer: Any = single.kind.function(piece)
        value, error = answer if isinstance(answer, tuple) else (answer, np.nan)
        pairs.append((float(value), float(error)))
    made = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return made[:, 0], made[:, 1]


def _increments_of_other(
    view: SubsystemReader, run: int, name: str, one: RunHistogram, events: Events | None
) -> Increments:
    """The increments of another histogram in the rows of ``one``."""
    entry = view.registry.find(name, view.where)
    found = run_histogram.by_binning(view, run, entry)
    if len(found) != 1 or not np.array_equal(found[0].rows, one.rows):
        raise UsageError(
            f"{view.where}, run {run}: {name} and {'/'.join(one.segment.path)} are not held by the same snapshots in "
            "one binning each; a ratio needs that"
        )
    return _increments_continuing(found, 0, slice(0, len(one.rows)), events)


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


def path_of(entry: HistogramEntry) -> str:
    """Name of a histogram in stored trends."""
    return json.dumps(entry.path)
