"""When the histograms of a run were present, reported, and restarted: the stored states, unpacked."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.model.rows import State
from owtrend.store.reader import SubsystemReader

__all__ = ["RunActivity", "WaitsSoFar", "counts_together", "in_ns", "median_wait"]


@dataclass(frozen=True, eq=False)
class RunActivity:
    """States of the histograms of a run in each of its rows.

    Parameters
    ----------
    times
        Ends of the snapshots, ``(time,)``.
    state
        Bits of `owtrend.trends.run_trends`, ``(time, histogram)``.
    waits
        Typical time between two reports of a histogram as known in each row [ns], see `WaitsSoFar`; ``(time,)``.
    """

    times: NDArray[np.datetime64]
    state: NDArray[np.uint8]
    waits: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def from_store(cls, view: SubsystemReader, run: int, columns: slice | None = None) -> Self:
        """Read from the stored trends of a run; ``columns``: some histograms, by their order in the registry."""
        run_index = view.run_index(run)
        times = view.times(run_index)
        columns = slice(0, len(view.registry.histograms)) if columns is None else columns
        return cls(times, view.trends.block("state", run_index, slice(0, len(times)), columns))

    def with_waits(self, expected: float | None) -> Self:
        """The same with ``waits``; ``expected`` is the wait in the run before [ns], None if there is none."""
        so_far = WaitsSoFar(expected)
        times = self.times.astype("datetime64[ns]").view("int64").tolist()
        waits = [so_far.add(time, reported) for time, reported in zip(times, self.reported, strict=True)]
        return replace(self, waits=np.array(waits))

    def without(self, ignored: NDArray[np.bool_]) -> Self:
        """The same with some histograms never present, such as gauges, which count nothing."""
        return replace(self, state=np.where(ignored, 0, self.state))

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Whether each snapshot holds each histogram, ``(time, histogram)``."""
        return State.HELD.is_set(self.state)

    @cached_property
    def reported(self) -> NDArray[np.bool_]:
        """Whether each histogram changed in each snapshot, ``(time, histogram)``."""
        return State.REPORTED.is_set(self.state)

    @cached_property
    def restarted(self) -> NDArray[np.bool_]:
        """Whether each histogram counted from zero again, ``(time, histogram)``."""
        return State.RESTART.is_set(self.state)

    @cached_property
    def lost(self) -> NDArray[np.bool_]:
        """Whether what each histogram gained is not known: a bin is full, or all were scaled; ``(time, histogram)``."""
        return State.LOST.is_set(self.state)

    @cached_property
    def wait(self) -> float:
        """Median time between two reports of a histogram [ns]."""
        return median_wait(self.times, self.reported)


class WaitsSoFar:
    """The typical time between two reports of a histogram [ns], as it is known while a run goes on.

    The median of all waits so far. As long as these are fewer than the histograms that reported, for the first waits
    are the short ones, that of the run before, ``expected``; if there is none, and no wait yet, the median time between
    snapshots.
    """

    def __init__(self, expected: float | None) -> None:
        self._expected = expected
        self._latest = np.empty(0, dtype=np.int64)  # report of each histogram, -1: none
        self._waits = np.empty(0, dtype=np.int64)  # in order of length
        self._spacings = np.empty(0, dtype=np.int64)
        self._before: int | None = None

    def add(self, time: int, reported: NDArray[np.bool_]) -> float:
        """The wait as known after a snapshot at ``time`` [ns] in which some histograms ``reported``."""
        more = len(reported) - len(self._latest)
        self._latest = np.concatenate([self._latest, np.full(more, -1, dtype=np.int64)])
        known = self._latest[reported & (self._latest >= 0)]
        self._waits = _inserted(self._waits, np.sort(time - known))
        self._latest[reported] = time
        if self._before is not None:
            self._spacings = _inserted(self._spacings, np.array([time - self._before]))
        self._before = time
        if len(self._waits) < np.count_nonzero(self._latest >= 0) and self._expected is not None:
            return self._expected
        for lengths in (self._waits, self._spacings):
            if len(lengths):
                return _middle(lengths)
        return 60e9


def _inserted(ordered: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.insert(ordered, np.searchsorted(ordered, more), more)


def _middle(ordered: NDArray[np.int64]) -> float:
    low, high = (len(ordered) - 1) // 2, len(ordered) // 2
    return (float(ordered[low]) + float(ordered[high])) / 2


def median_wait(times: NDArray[np.datetime64], reported: NDArray[np.bool_]) -> float:
    """Median time between two reports of a histogram [ns]; between snapshots if no histogram reports twice."""
    waits = [np.diff(times[column].astype("datetime64[ns]").view("int64")) for column in reported.T if column.sum() > 1]
    if waits:
        return float(np.median(np.concatenate(waits)))
    return float(np.median(np.diff(times.view("int64")))) if len(times) > 1 else 60e9


def counts_together(
    times: NDArray[np.datetime64], reported: NDArray[np.bool_], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Counts of each histogram while all report: between the last of the first reports and the first of the last.

    Interpolated, with the length of that time [s].
    """
    together = np.full(counts.shape[1], np.nan)
    seconds = (times - times[0]) / np.timedelta64(1, "s")
    middle = seconds - np.diff(seconds, prepend=seconds[0] - 60.0) / 2
    columns = np.flatnonzero(reported.sum(axis=0) > 2)
    if not len(columns):
        return together, 0.0
    first = middle[reported[:, columns].argmax(axis=0)]
    last = middle[len(middle) - 1 - reported[::-1, columns].argmax(axis=0)]
    begin, end = np.quantile(first, 0.9, method="higher"), np.quantile(last, 0.1, method="lower")
    for column in columns[(first <= begin) & (last >= end)].tolist():
        rows = reported[:, column]
        together[column] = np.diff(np.interp((begin, end), middle[rows], np.cumsum(counts[rows, column])))[0]
    return together, float(end - begin)


def in_ns(time: np.datetime64 | float) -> int:
    """A time, or a length of time, in whole ns."""
    return int(time.astype("datetime64[ns]").view("int64")) if isinstance(time, np.datetime64) else int(time)
