"""Trends as people hold them: of many runs, histograms and reductors, as stored or else computed now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from owtrend.config import Config
from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.histograms import run_histogram
from owtrend.lazy import LazyArray, by_run
from owtrend.model import schema
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.store import versions
from owtrend.store.reader import SubsystemReader
from owtrend.trends.intervals import event_counter, intervals
from owtrend.trends.reductors import DEFAULT, Reductor, parse
from owtrend.trends.run_trends import TrendArrays, begins, path_of, run_trends
from owtrend.trends.settings import kept, settings_hash

__all__ = ["over_intervals", "require_fitting", "row_by_row", "run_by_run"]

_SLAB = 2**24  # numbers read at once
_STALE = {"long_name": "stored values that other formulas or settings gave; `owtrend compute` makes them again"}


@dataclass(frozen=True, eq=False)
class _Source:
    """The runs, histograms and reductors asked for, and where they are stored."""

    view: SubsystemReader
    subsystem: str
    config: Config
    runs: tuple[int, ...]
    entries: tuple[HistogramEntry, ...]
    reductors: tuple[Reductor, ...]
    made: dict[Any, TrendArrays] = field(default_factory=dict)

    @cached_property
    def run_indices(self) -> NDArray[np.intp]:
        return np.array([self.view.run_index(run) for run in self.runs], dtype=np.intp)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        return np.asarray(self.view.per_run["n_snapshots"][self.run_indices], dtype=np.int64)

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.intp)

    @cached_property
    def columns(self) -> list[int | None]:
        """Number of each histogram in the stored trends; None where it has none."""
        known = {path: number for number, path in enumerate(self.view.trends.histograms)}
        return [known.get(path_of(entry)) for entry in self.entries]

    @cached_property
    def which(self) -> list[int | None]:
        """Number of each reductor in the stored trends; None where it is stored for some of the histograms only."""
        known = {name: number for number, name in enumerate(self.view.trends.reductors)}
        return [
            known.get(one.name) if all(kept(self.config, self.subsystem, e, one.name) for e in self.entries) else None
            for one in self.reductors
        ]

    @cached_property
    def fitting(self) -> NDArray[np.bool_]:
        """Per run, whether its stored trends are of its newest rows."""
        made_from, newest = self.view.trends.revisions, self.view.per_run["revision"]
        same: NDArray[np.bool_] = made_from[self.run_indices] == newest[self.run_indices]
        return same

    @cached_property
    def stale(self) -> NDArray[np.bool_]:
        """Per run, whether its stored trends were made by other formulas or settings than those of now."""
        made_by = self.view.trends.versions[self.run_indices][:, [which for which in self.which if which is not None]]
        stale = ((made_by != versions.TRENDS) & (made_by > 0)).any(axis=1)
        if any(one.name not in DEFAULT for one in self.reductors):
            settings = np.frombuffer(settings_hash(self.config, self.view), dtype=np.uint8)
            stale |= (self.view.trends.settings[self.run_indices] != settings).any(axis=1)
        found: NDArray[np.bool_] = self.fitting & stale
        return found

    def stored(self, columns: Sequence[int], which: Sequence[int] = ()) -> NDArray[np.bool_]:
        """Per run, whether trends of all these histograms and reductors are stored; stale ones count."""
        index = [where for w in which if (where := self.which[w]) is not None]
        if any(self.columns[c] is None for c in columns) or len(index) < len(which):
            return np.zeros(len(self.runs), dtype=bool)
        made = self.view.trends.versions[self.run_indices][:, index] > 0
        found: NDArray[np.bool_] = self.fitting & made.all(axis=1)
        return found

    def computed(self, number: int, columns: Sequence[int], which: Sequence[int]) -> TrendArrays:
        """The trends of a run, now; kept, for who asks for the values will ask for the errors."""
        key = number, tuple(columns), tuple(which)
        if key not in self.made:
            names = [self.reductors[w].name for w in which]
            entries = [self.entries[c] for c in columns]
            found = run_trends(
                self.view, self.runs[number], entries, names, self.config, self.subsystem, all_of_them=True
            )
            if sum(one["value"].size for one in self.made.values()) > _SLAB:
                self.made.clear()
            self.made[key] = found
        return self.made[key]


class _Numbers(LazyArray):
    """Values or errors, over ``(snapshot, histogram, reductor)``."""

    def __init__(self, source: _Source, name: str) -> None:
        self.source, self.name = source, name
        self.dtype = np.dtype(np.float64)
        self.shape = (int(source.starts[-1]), len(source.entries), len(source.reductors))

    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        rows, columns, which = wanted
        out = np.full((len(rows), len(columns), len(which)), np.nan)
        source, asked = self.source, (columns.tolist(), which.tolist())
        pieces = {number: (mine, own) for number, mine, own in by_run(source.starts, rows)}
        there = source.stored(*asked)
        stored = [number for number in pieces if there[number]]
        index = [source.columns[c] for c in columns], [source.which[w] for w in which]
        for number, block in _stored(source, self.name, stored, index):
            mine, own = pieces[number]
            out[mine] = block[own]
        for number in pieces.keys() - set(stored):
            mine, own = pieces[number]
            out[mine] = source.computed(number, *asked)[self.name][own]
        return out


def _stored(
    source: _Source, name: str, numbers: Sequence[int], index: tuple[list[Any], ...]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Stored trends, run by run; read for many runs at once, for a read takes most of a millisecond.

    ``numbers`` are those of the runs, ``index`` the columns of the histograms and reductors.
    """
    step, per_row = source.view.trends.rows_per_chunk, int(np.prod([len(one) for one in index]))
    many = max(1, _SLAB // max(1, step * per_row))
    for first in range(0, len(numbers), many):
        group = sorted(numbers[first : first + many], key=lambda number: int(source.run_indices[number]))
        found: dict[int, list[NDArray[Any]]] = {number: [] for number in group}
        for row in range(0, max(int(source.counts[number]) for number in group), step):
            longer = [number for number in group if source.counts[number] > row]
            run_indices = source.run_indices[longer].tolist()
            block = source.view.trends.block(name, run_indices, slice(row, row + step), *index)
            for number, one in zip(longer, block, strict=True):
                found[number].append(one)
        for number, blocks in found.items():
            yield number, np.concatenate(blocks)[: source.counts[number]]


def row_by_row(
    view: SubsystemReader, subsystem: str, config: Config, runs: Sequence[int], entries: Sequence[HistogramEntry],
    reductors: Sequence[Reductor], *, ragged: bool,
) -> xr.Dataset:  # fmt: skip
    """Trends of each snapshot, over ``(time | snapshot, histogram, reductor)``; numbers are read when needed."""
    source = _Source(view, subsystem, config, tuple(runs), tuple(entries), tuple(reductors))
    if len(runs) > 8:
        view.read_all_rows()
    times = [view.times(int(run_index)) for run_index in source.run_indices]
    states = _states(source)
    begin = [begins(mine, State.HELD.is_set(state)) for mine, state in zip(times, states, strict=True)]
    if any(one.other for one in reductors):
        begin = _begins_of_both(source, times, states, begin)
    dim = schema.SNAPSHOT if ragged else schema.TIME
    every = np.concatenate(times) if times else np.empty(0, "datetime64[ns]")
    start, state = np.concatenate(begin), np.concatenate(states)
    stale = np.repeat(source.stale, source.counts)
    variables = {
        name: xr.Variable((dim, "histogram", "reductor"), indexing.LazilyIndexedArray(_Numbers(source, name)))
        for name in ("value", "error")
    }
    joined = every, start, state, stale
    return _dataset(variables, dim, *joined, source.runs, source.counts, entries, reductors, subsystem)


def run_by_run(
    view: SubsystemReader, subsystem: str, config: Config, runs: Sequence[int], entries: Sequence[HistogramEntry],
    reductors: Sequence[Reductor],
) -> xr.Dataset:  # fmt: skip
    """Trends of whole runs, over ``(run, histogram, reductor)``."""
    source = _Source(view, subsystem, config, tuple(runs), tuple(entries), tuple(reductors))
    columns, which = list(range(len(entries))), list(range(len(reductors)))
    numbers = {name: np.full((len(runs), len(entries), len(reductors)), np.nan) for name in ("value", "error")}
    stored = source.stored(columns, which)
    if stored.any():
        index = source.run_indices[stored].tolist(), source.columns, source.which
        for name, out in numbers.items():
            out[stored] = view.trends.block(f"run_{name}", *index)
    for number in np.flatnonzero(~stored).tolist():
        made = source.computed(number, columns, which)
        for name, out in numbers.items():
            out[number] = made[f"run_{name}"]
    ends = {name: view.per_run[name][source.run_indices].view("datetime64[ns]") for name in ("start", "stop")}
    return xr.Dataset(
        {name: (("run", "histogram", "reductor"), out) for name, out in numbers.items()},
        coords={
            "run": list(runs),
            "histogram": [entry.name for entry in entries],
            "reductor": [one.name for one in reductors],
            "start": ("run", ends["start"], {"long_name": "first snapshot, UTC"}),
            "stop": ("run", ends["stop"], {"long_name": "last snapshot, UTC"}),
            "stale": ("run", source.stale, _STALE),
        },
        attrs={"subsystem": subsystem},
    )


def _states(source: _Source) -> list[NDArray[np.uint8]]:
    """State of each run, shape ``(row, histogram)``."""
    columns = list(range(len(source.entries)))
    stored = np.flatnonzero(source.stored(columns)).tolist()
    out = dict(_stored(source, "state", stored, ([source.columns[c] for c in columns],)))
    for number in range(len(source.runs)):
        if number not in out:
            out[number] = source.computed(number, columns, [])["state"]
    return [out[number] for number in range(len(source.runs))]


def _begins_of_both(
    source: _Source, times: Sequence[NDArray[np.datetime64]], states: Sequence[NDArray[np.uint8]],
    begin: Sequence[NDArray[np.datetime64]],
) -> list[NDArray[np.datetime64]]:  # fmt: skip
    """Where each value begins, ``(row, histogram, reductor)``: of two histograms where both reported before."""
    each = [np.repeat(of_run[..., None], len(source.reductors), axis=2) for of_run in begin]
    gauges = [entry.first.gauge for entry in source.entries]
    for number, single in enumerate(source.reductors):
        if single.other:
            other = source.view.registry.find(single.other, source.view.where)
            of_other = _Source(source.view, source.subsystem, source.config, source.runs, (other,), ())
            for of_run, when, state, another in zip(each, times, states, _states(of_other), strict=True):
                reports = _reports(state, gauges) & _reports(another, [other.first.gauge])
                of_run[..., number] = begins(when, reports)
    return each


def _reports(state: NDArray[np.uint8], gauges: Sequence[bool]) -> NDArray[np.bool_]:
    """Rows that are up to date: a histogram changed, or is a gauge."""
    held = State.HELD.is_set(state) & np.array(gauges, dtype=bool)
    reports: NDArray[np.bool_] = State.REPORTED.is_set(state) | held
    return reports


def over_intervals(
    view: SubsystemReader, subsystem: str, config: Config, runs: Sequence[int], entries: Sequence[HistogramEntry],
    reductors: Sequence[Reductor], every: np.timedelta64, *, ragged: bool,
) -> xr.Dataset:  # fmt: skip
    """Trends of intervals of each run, of one histogram; computed now.

    Raises
    ------
    UsageError
        If it is more than one histogram: their intervals need not be the same.
    """
    if len(entries) != 1:
        raise UsageError(f"intervals are of one histogram at a time; {len(entries)} were asked for")
    dim = schema.SNAPSHOT if ragged else schema.TIME
    ends, start, stop, state, counts, values, errors = [], [], [], [], [], [], []
    held = [run for run in runs if run_histogram.by_binning(view, run, entries[0])]
    for run in held or runs[:1]:  # which says that it is not there
        events = event_counter(view, run, config, subsystem)
        found = [intervals(view, run, entries[0], single, every, events) for single in reductors]
        increments = found[0].increments
        ends.append(increments.end)
        start.append(np.stack([one.begin for one in found], axis=1)[:, None])
        stop.append(np.stack([one.end for one in found], axis=1)[:, None])
        state.append(increments.state[:, None])
        counts.append(len(increments.end))
        values.append(np.stack([one.value for one in found], axis=1)[:, None])
        errors.append(np.stack([one.error for one in found], axis=1)[:, None])
    dims = (dim, "histogram", "reductor")
    variables = {"value": (dims, np.concatenate(values)), "error": (dims, np.concatenate(errors))}
    joined = np.concatenate(ends), np.concatenate(start), np.concatenate(state), np.zeros(sum(counts), dtype=bool)
    made = _dataset(variables, dim, *joined, tuple(held), np.array(counts), entries, reductors, subsystem)
    return made.assign_coords(stop=(dims, np.concatenate(stop), {"long_name": "end of what a value covers, UTC"}))


def _dataset(
    variables: Any, dim: str, times: NDArray[np.datetime64], start: NDArray[np.datetime64], state: NDArray[np.uint8],
    stale: NDArray[np.bool_], runs: Sequence[int], counts: NDArray[np.int64], entries: Sequence[HistogramEntry],
    reductors: Sequence[Reductor], subsystem: str,
) -> xr.Dataset:  # fmt: skip
    run: Any = runs[0] if dim == schema.TIME else (dim, np.repeat(np.array(runs, dtype=np.int64), counts))
    over = (dim, "histogram")
    each = over if start.ndim == 2 else (*over, "reductor")
    exposure = (times.reshape(-1, *[1] * (start.ndim - 1)) - start) / np.timedelta64(1, "s")
    return xr.Dataset(
        variables,
        coords={
            schema.TIME: (dim, times, {"long_name": "end of the increment, UTC"}),
            "run": run,
            "histogram": [entry.name for entry in entries],
            "reductor": [one.name for one in reductors],
            "start": (each, start, {"long_name": "begin of the increment, UTC"}),
            "exposure": (each, exposure, {"units": "s"}),
            "reported": (over, State.REPORTED.is_set(state)),
            "restart": (over, State.RESTART.is_set(state)),
            "state": (over, state, {"long_name": "bits of owtrend.model.rows.State"}),
            "stale": (dim, stale, _STALE),
        },
        attrs={"subsystem": subsystem},
    )


def require_fitting(entry: HistogramEntry, single: Reductor) -> None:
    """Raise NotFoundError unless a reductor has a meaning for a histogram, and it the labels."""
    segments = [segment for _, segment in entry.segments]
    if not any(single.fits(segment) for segment in segments):
        known = dict.fromkeys(name for segment in segments for name in DEFAULT if parse(name).fits(segment))
        raise NotFoundError(f"{entry.name}: no reductor {single.name!r} for it; it has {', '.join(known)} and more")
    for letter, label in single.ranges.items():
        axes = [segment.axes["xyz".index(letter)] for segment in segments if single.fits(segment)]
        names = dict.fromkeys(name for axis in axes for name in axis.labels.values())
        if isinstance(label, str) and label not in names:
            raise NotFoundError(f"{entry.name}, {letter}: no label {label!r}{hint(label, names)}")
