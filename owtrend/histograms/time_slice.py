"""Increments and time slices of one labelled histogram; restarts and gaps."""

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError, NotFoundError
from owtrend.histograms.steps import previous_rows
from owtrend.kernels.cells import difference as kernels
from owtrend.model import schema
from owtrend.model.rows import State
from owtrend.times import parse_time

__all__ = ["gaps", "increments", "rows_slice", "time_slice"]


def increments(histogram: xr.Dataset) -> xr.Dataset:
    """Increment of each snapshot.

    Parameters
    ----------
    histogram
        As `Archive.histogram` gives it, of one run (dim ``time``) or several (dim ``snapshot``).

    Returns
    -------
    :
        The same variables and dtypes. Entry ``t`` covers ``(start, time]``; ``start`` is the snapshot before, NaT for
        the first of a run, which counts since the run began. After a ``restart`` (the entries fell), in reset mode and
        for gauges the snapshot itself is the gain. ``reported`` is true where anything changed. A bin is negative if
        its entries moved.

    Raises
    ------
    DimsError
        If it is no histogram with rows in time.
    """
    schema.require_histogram(histogram, rows=True)
    dim = schema.time_dim(histogram)
    previous, restart, first = _previous(histogram)
    gauge = _is_gauge(histogram)
    changed = np.zeros(len(previous), dtype=bool)
    if schema.RECEIVED in histogram.coords:  # a report, though it may have nothing new for the region
        entries = _entries(histogram)
        changed = _increments(entries, np.arange(len(entries)) - 1 if gauge else previous) != 0
        histogram = histogram.drop_vars(schema.RECEIVED)
    gained = histogram.copy()
    for name in histogram.data_vars:
        variable = histogram[name].transpose(dim, ...)
        if variable.chunks is None:
            values = _increments(variable.values, previous)
            gained[name] = variable.copy(data=values)
            news = _increments(variable.values, np.arange(len(values)) - 1) if gauge else values
            changed |= (news.reshape(len(news), -1) != 0).any(axis=1)
        else:
            variable = variable.chunk({dim: -1})
            gained[name] = variable.copy(data=variable.data.map_blocks(_increments, previous, dtype=variable.dtype))
            changed |= (gained[name] != 0).any([d for d in variable.dims if d != dim]).values
    times = histogram[schema.TIME].values
    start = np.where(first, np.datetime64("NaT"), np.roll(times, 1))
    over = (previous >= 0) & (previous < np.arange(len(times)) - 1)  # rows out of order
    start[over] = times[previous[over]]
    return gained.assign_coords(start=(dim, start), reported=(dim, changed), restart=(dim, restart))


def time_slice(histogram: xr.Dataset, start: Any = None, stop: Any = None) -> xr.Dataset:
    """Increment over one interval of one run, from as few rows as the restarts inside allow (two without any).

    Parameters
    ----------
    histogram
        As `Archive.histogram` gives it, of one run.
    start, stop
        UTC: a time, or a text such as ``"10:30"`` (of the run's first day, or the day after if that is before the
        run), or None for the run's ends. The slice is ``(start, stop]``, cut to snapshots: it begins at the last one
        at or before ``start`` (at the run's beginning if there is none) and ends at the last one at or before ``stop``.

    Returns
    -------
    :
        The parts without ``time``, and coords: ``start`` (NaT: since the run began) and ``stop`` as cut,
        ``snapshots``, ``restarts`` and ``gaps`` inside, ``reported`` (in how many the entries changed). Of a gauge its
        last value. ``covers_from`` and ``covers_to`` are its reports at or before ``start`` and ``stop`` (NaT: none):
        a component sends every few minutes, and what came after its last report is not in the slice. ``state`` has the
        bits of `State` of all that happened inside, and the attribute ``steps`` names what is no gain or restart.

    Raises
    ------
    DimsError
        If it is no histogram of one run.
    NotFoundError
        If no snapshot lies in the interval.
    """
    schema.require_histogram(histogram, rows=True)
    if schema.TIME not in histogram.dims:
        raise DimsError(f"{histogram.attrs.get('name')}: a time slice is of one run; choose it by run=...")
    times = histogram[schema.TIME].values
    begin = times[0] - np.timedelta64(1, "ns") if start is None else parse_time(start, times[0], times[-1])
    end = times[-1] if stop is None else parse_time(stop, times[0], times[-1])
    first = int(np.searchsorted(times, begin, side="right"))
    last = int(np.searchsorted(times, end, side="right")) - 1
    if first > last:
        raise NotFoundError(
            f"{histogram.attrs.get('name')}: no snapshot in ({_text(begin)}, {_text(end)}] UTC; "
            f"the run has {len(times)} from {_text(times[0])} to {_text(times[-1])}"
        )
    return rows_slice(histogram, first, last)


def rows_slice(histogram: xr.Dataset, first: int, last: int) -> xr.Dataset:
    """The time slice of rows ``first`` to ``last``, both included; see `time_slice`."""
    times = histogram[schema.TIME].values
    previous, restart, _ = _previous(histogram)
    gauge = _is_gauge(histogram)
    if gauge:
        rows, signs = np.array([last]), np.array([1])
    else:
        rows, signs = kernels.coefficients(previous, first, last)
    picked = histogram.drop_vars([schema.RECEIVED, schema.STATE], errors="ignore").isel({schema.TIME: rows}).load()
    inside = slice(first, last + 1)
    entries = _entries(histogram)
    before = np.concatenate([[0.0], entries[:-1]])
    if not gauge:
        before = np.where(previous >= 0, entries[previous], 0.0)
    reports = np.flatnonzero(entries != before)
    covers = [
        np.datetime64("NaT", "ns") if not len(known) else times[known[-1]]
        for known in (reports[reports < first], reports[reports <= last])
    ]
    sign = xr.DataArray(signs, dims=schema.TIME)
    result = picked.map(lambda variable: (variable * sign).sum(schema.TIME, skipna=False))
    seen = np.bitwise_or.reduce(_states(histogram)[inside], initial=np.uint8(0))
    result = result.assign_attrs(histogram.attrs | {"gauge": gauge, "steps": State(int(seen)).words})
    for name in histogram.data_vars:
        result[name].attrs = histogram[name].attrs
    return result.assign_coords(
        start=times[first - 1] if first else np.datetime64("NaT", "ns"),
        stop=times[last],
        snapshots=last + 1 - first,
        restarts=int(restart[inside].sum()),
        gaps=int(kernels.gaps(times)[inside].sum()),
        reported=int((entries != before)[inside].sum()),
        covers_from=covers[0],
        covers_to=covers[1],
        state=seen,
    )


def gaps(histogram: xr.Dataset) -> list[tuple[np.datetime64, np.datetime64]]:
    """Start and end of each interval of one run in which snapshots are missing."""
    times = histogram[schema.TIME].values
    return [(times[row - 1], times[row]) for row in np.flatnonzero(kernels.gaps(times)).tolist()]


def _previous(histogram: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Row each row counts from, run by run; which rows are restarts; which are the first of their run."""
    entries, states = _entries(histogram), _states(histogram)
    runs = np.broadcast_to(histogram["run"].values, entries.shape)
    additive = np.broadcast_to(histogram["additive"].values, entries.shape)
    previous = np.full(len(entries), kernels.ZERO)
    bounds = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist(), len(runs)]
    for first, last in pairwise(bounds):
        if last > first:
            own = previous_rows(states[first:last], bool(additive[first]))
            fell = own >= 0
            fell[fell] = entries[first:last][fell] < entries[first:last][own[fell]]  # rows between were left out
            own[fell] = kernels.ZERO
            previous[first:last] = np.where(own >= 0, own + first, kernels.ZERO)
    begins = np.zeros(len(entries), dtype=bool)
    begins[[first for first in bounds[:-1] if first < len(entries)]] = True
    counts = additive & ~(State.GAUGE | State.RESET).is_set(states)
    return previous, (previous == kernels.ZERO) & counts & ~begins, begins


def _states(histogram: xr.Dataset) -> NDArray[np.uint8]:
    """What each row did; of histograms that come from no store it is decided by the entries alone."""
    if schema.STATE in histogram.coords:
        return np.asarray(histogram[schema.STATE].values, dtype=np.uint8)
    return np.full(histogram.sizes[schema.time_dim(histogram)], State.HELD, dtype=np.uint8)


def _is_gauge(histogram: xr.Dataset) -> bool:
    return bool(histogram.attrs["gauge"] or State.GAUGE.is_set(_states(histogram)).any())


def _entries(histogram: xr.Dataset) -> NDArray[np.float64]:
    """Entries by which restarts are decided: those of the whole histogram, though only a region be left of it."""
    if schema.RECEIVED in histogram.coords:
        return np.ascontiguousarray(histogram[schema.RECEIVED].values, dtype=np.float64)
    return np.ascontiguousarray(histogram["sums"].sel(sum="entries").values, dtype=np.float64)


def _increments(values: NDArray[Any], previous: NDArray[np.int64]) -> NDArray[Any]:
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return kernels.increments(flat, previous).reshape(values.shape)


def _text(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "s"))
