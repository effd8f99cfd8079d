"""When the histograms of a run were present, reported, and restarted: the stored states, unpacked."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.model.rows import State
from owtrend.store.reader import SubsystemReader

__all__ = ["RunActivity", "counts_together", "in_ns", "median_wait"]


@dataclass(frozen=True, eq=False)
class RunActivity:
    """States of the histograms of a run in each of its rows.

    Parameters
    ----------
    times
        Ends of the snapshots, ``(time,)``.
    state
        Bits of `owtrend.trends.run_trends`, ``(time, histogram)``.
    """

    times: NDArray[np.datetime64]
    state: NDArray[np.uint8]

    @classmethod
    def from_store(cls, view: SubsystemReader, run: int, columns: slice | None = None) -> Self:
        """Read from the stored trends of a run; ``columns``: some histograms, by their order in the registry."""
        run_index = view.run_index(run)
        times = view.times(run_index)
        columns = slice(0, len(view.registry.histograms)) if columns is None else columns
        return cls(times, view.trends.block("state", run_index, slice(0, len(times)), columns))

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
    def wait(self) -> float:
        """Median time between two reports of a histogram [ns]."""
        return median_wait(self.times, self.reported)


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
