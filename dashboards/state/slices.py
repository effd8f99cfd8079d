"""The histograms that one user looks at: whole runs, or one time slice of each, projected as chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import owtrend
from dashboards.state import region
from dashboards.state.view import Selection
from owtrend.kernels.cells import difference

__all__ = ["Slices", "gaps", "time_slices", "whole_runs"]


@dataclass(frozen=True, eq=False)
class Slices:
    """What the run gained, as it came and as it is shown, and what further runs did; None where they have nothing."""

    facts: xr.Dataset
    shown: xr.Dataset
    others: Mapping[int, xr.Dataset | None]


def whole_runs(chosen: Selection) -> Slices:
    """All increments of each run, with or without restarts."""
    return _slices(chosen, owtrend.time_slice(chosen.cumulative), dict.fromkeys(chosen.further, (None, None)))


def time_slices(chosen: Selection) -> Slices:
    """What was gained in the chosen interval, and in further runs in the same time since they began."""
    mine = owtrend.time_slice(chosen.cumulative, chosen.start, chosen.stop)
    times, ends = chosen.cumulative["time"].values, {}
    for run, cumulative in (chosen.further if _one_axis(chosen) else {}).items():
        own = cumulative["time"].values
        start = None if chosen.start is None else own[0] + (chosen.start - times[0])
        stop = own[0] + ((times[-1] if chosen.stop is None else chosen.stop) - times[0])
        ends[run] = (None if start is None else _nearest(own, start), _nearest(own, stop))
    return _slices(chosen, mine, ends)


def gaps(cumulative: xr.Dataset) -> list[tuple[np.datetime64, np.datetime64]]:
    """Begin and end of the intervals in which snapshots were missed."""
    times = cumulative["time"].values
    missed = np.flatnonzero(difference.gaps(times))
    return [(times[number - 1], times[number]) for number in missed.tolist()]


def _slices(
    chosen: Selection, mine: xr.Dataset, ends: Mapping[int, tuple[np.datetime64 | None, np.datetime64 | None]]
) -> Slices:  # fmt: skip
    ranges, others = chosen.ranges, {}
    for run, (start, stop) in ends.items():
        if not _one_axis(chosen):
            break  # maps do not lie over each other
        empty = start is not None and stop is not None and start >= stop
        gained = None if empty else owtrend.time_slice(chosen.further[run], start, stop)
        others[run] = None if gained is None else _projected(gained, chosen.axes, ranges)
    return Slices(mine, region.projected(mine, chosen.axes, ranges), others)


def _projected(content: xr.Dataset, axes: str, ranges: region.Ranges) -> xr.Dataset | None:
    """Another run's histogram; None if it has not these axes or edges."""
    try:
        return region.projected(content, axes, ranges)
    except owtrend.OwtrendError:
        return None


def _one_axis(chosen: Selection) -> bool:
    dims = [axis for axis in "xyz" if axis in chosen.cumulative.dims]
    return len(chosen.axes or dims) == 1


def _nearest(times: NDArray[np.datetime64], when: np.datetime64) -> np.datetime64:
    return times[int(np.abs(times - when).argmin())]
