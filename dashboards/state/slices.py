"""The histograms that a session shows: whole runs, or one time slice of each, projected as chosen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import owtrend
from dashboards.state import region
from dashboards.state.session import Session
from owtrend.histograms.labelled import axis_of, on_axes
from owtrend.model import schema
from owtrend.model.axis import Axis, common_axes

__all__ = ["Slices", "time_slices", "whole_runs"]


@dataclass(frozen=True, eq=False)
class Slices:
    """One interval of the chosen run, and of further runs.

    Parameters
    ----------
    content
        The histogram in that interval, unprojected.
    shown
        The same, projected; with the bins merged that ROOT merged in one of the others.
    others
        The same of further runs, projected; None where a run has nothing to show.
    """

    content: xr.Dataset
    shown: xr.Dataset
    others: Mapping[int, xr.Dataset | None]


def whole_runs(session: Session) -> Slices:
    """All increments of each run; restarts do not matter."""
    loaded = session.loaded
    return _slices(session, owtrend.time_slice(loaded.cumulative), dict.fromkeys(loaded.further, (None, None)))


def time_slices(session: Session) -> Slices:
    """The chosen interval, and in further runs the same time since their start."""
    view, loaded = session.view, session.loaded
    content = owtrend.time_slice(loaded.cumulative, view.start, view.stop)
    times, ends = loaded.cumulative["time"].values, {}
    for run, cumulative in (loaded.further if _one_axis(session) else {}).items():
        further_times = cumulative["time"].values
        start = None if view.start is None else further_times[0] + (view.start - times[0])
        stop = further_times[0] + ((times[-1] if view.stop is None else view.stop) - times[0])
        ends[run] = (None if start is None else _nearest(further_times, start), _nearest(further_times, stop))
    return _slices(session, content, ends)


def _slices(
    session: Session, content: xr.Dataset, ends: Mapping[int, tuple[np.datetime64 | None, np.datetime64 | None]]
) -> Slices:  # fmt: skip
    axes, ranges = session.view.axes, session.ranges
    others: dict[int, xr.Dataset | None] = {}
    for run, (start, stop) in ends.items():
        if not _one_axis(session):
            break  # maps cannot be drawn over each other
        if start is not None and stop is not None and start >= stop:
            others[run] = None
        else:
            others[run] = _projected(owtrend.time_slice(session.loaded.further[run], start, stop), axes, ranges)
    return Slices(content, *_in_common_bins(region.projected(content, axes, ranges), others))


def _in_common_bins(
    shown: xr.Dataset, others: Mapping[int, xr.Dataset | None]
) -> tuple[xr.Dataset, Mapping[int, xr.Dataset | None]]:  # fmt: skip
    """The same with the bins of axes merged that ROOT extended in some of the runs; a run with other bins keeps them.

    So do labelled axes: the picture matches them.
    """
    own = _axes(shown)
    each = {run: _axes(one) for run, one in others.items() if one is not None}
    if any(axis.labels for axes in (own, *each.values()) for axis in axes):
        return shown, others
    alike, joined, matching = [own], own, set()
    for run, axes in each.items():
        if (found := common_axes([*alike, axes])) is not None:
            alike.append(axes)
            matching.add(run)
            joined = found
    merged = {run: on_axes(one, joined) if one is not None and run in matching else one for run, one in others.items()}
    return on_axes(shown, joined), merged


def _axes(histogram: xr.Dataset) -> tuple[Axis, ...]:
    return tuple(axis_of(histogram, letter) for letter in schema.axes_of(histogram))


def _projected(content: xr.Dataset, axes: str, ranges: region.Ranges) -> xr.Dataset | None:
    """Another run's histogram; None if it lacks these axes or bin edges."""
    try:
        return region.projected(content, axes, ranges)
    except owtrend.OwtrendError:
        return None


def _one_axis(session: Session) -> bool:
    dims = [axis for axis in "xyz" if axis in session.loaded.cumulative.dims]
    return len(session.view.axes or dims) == 1


def _nearest(times: NDArray[np.datetime64], when: np.datetime64) -> np.datetime64:
    return times[int(np.abs(times - when).argmin())]
