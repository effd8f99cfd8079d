"""One interval of a run as a plug-in sees it: its slice, its derived histograms, its hot channels per event."""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.detectors import derive
from owtrend.detectors import hot_channels as channels
from owtrend.detectors.listing import Home, home
from owtrend.detectors.protocol import first_fitting
from owtrend.errors import NotFoundError, hint
from owtrend.histograms import run_histogram
from owtrend.histograms.labelled import labelled
from owtrend.histograms.subsystem_slice import TimeSlice, time_slices
from owtrend.histograms.time_slice import time_slice
from owtrend.store.reader import Reader

__all__ = ["derived", "hot_channels", "hot_channels_in", "subsystem_slice"]

SCALE, THRESHOLD = "scale_events", "hot_channel_threshold"  # options with a meaning for every detector that has them


def subsystem_slice(
    reader: Reader, subsystem: str, run: int, start: Any, stop: Any, *, select: Sequence[str] = ()
) -> TimeSlice:
    """The slice of all histograms of a subsystem, its own or those in a host's files; see `Archive.time_slice`."""
    of = home(reader, subsystem, run)
    if not of.hosted:
        return time_slices(reader, subsystem, run, start, stop, select=select)
    names = [glob.escape(entry.name) for entry in of.chosen(select)]
    return replace(time_slices(reader, of.view.name, run, start, stop, select=names), subsystem=subsystem)


class _Interval:
    """The slices of one interval, each read when it is needed, and the events in them."""

    def __init__(self, of: Home, config: Config, run: int, start: Any, stop: Any, scaled: bool) -> None:
        self._of, self._config, self._run, self._ends, self._scaled = of, config, run, (start, stop), scaled
        self._counter: channels.EventsOfRun | None = None

    def slice_of(self, name: str) -> xr.Dataset:
        """The slice of one histogram, flow bins included."""
        of = self._of
        pieces = [run_histogram.find(of.view, self._run, of.find(name), None)]
        return time_slice(labelled(pieces, ragged=False, flow=True, subsystem=of.name), *self._ends)

    def counter(self) -> channels.EventsOfRun:
        """What counts the events of the run."""
        if self._counter is None:
            self._counter = channels.EventsOfRun(self._of.view, self._run, self._of.detector, self._config)
        return self._counter

    def events(self, gained: xr.Dataset) -> float | None:
        """The events in the time that a slice covers; None if contents are not to be divided."""
        return self.counter().during(gained) if self._scaled else None


def derived(
    reader: Reader, config: Config, subsystem: str, run: int, start: Any, stop: Any, *, select: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> dict[str, xr.Dataset]:  # fmt: skip
    """Derived histograms of one interval; see `owtrend.Archive.derived`."""
    of = home(reader, subsystem, run)
    settings = of.detector.settings(options)
    known = of.derived
    for pattern in select:
        if not any(fnmatchcase(name, pattern) for name in known):
            there = f"among {len(known)}" if known else f"of {subsystem}"
            raise NotFoundError(f"{of.view.where}: no derived histogram like {pattern!r} {there}{hint(pattern, known)}")
    chosen = [
        one for name, one in known.items() if not select or any(fnmatchcase(name, pattern) for pattern in select)
    ]  # fmt: skip
    interval = _Interval(of, config, run, start, stop, bool(settings.get(SCALE, False)))
    return {one.name: derive.made(one, interval.slice_of, interval.events) for one in chosen}


def hot_channels_in(
    gained: xr.Dataset, of: Home, settings: Mapping[str, Any], counter: Callable[[], channels.EventsOfRun]
) -> pd.DataFrame:
    """Hot channels of a time slice, with or without flow bins; ``counter`` is called if events are needed."""
    flow = slice(1, -1) if gained.attrs["flow"] else slice(None)
    events = counter().during(gained) if settings.get(SCALE, True) else None
    threshold = float(settings.get(THRESHOLD, 0)) or None
    return channels.hot_channels(gained.isel(x=flow), of.detector, events=events, threshold=threshold)


def hot_channels(
    reader: Reader, config: Config, subsystem: str, run: int, start: Any, stop: Any, *, select: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Hot channels of one interval; see `owtrend.Archive.hot_channels`."""
    of = home(reader, subsystem, run)
    settings = of.detector.settings(options)
    entries = of.chosen(select)
    if not select:
        layouts = np.unique(of.view.layout(of.view.run_index(run)))
        held: NDArray[np.bool_] = np.any(of.view.holds[layouts], axis=0)
        entries = [
            entry for entry in entries
            if first_fitting(of.detector.hot_channels, entry.name) and any(held[number] for number, _ in entry.segments)
        ]  # fmt: skip
        if not entries:
            raise NotFoundError(f"{of.view.where}: no histogram of run {run} has a threshold for hot channels")
    interval = _Interval(of, config, run, start, stop, scaled=True)
    tables = []
    for entry in entries:
        found = hot_channels_in(interval.slice_of(entry.name), of, settings, interval.counter)
        tables.append(found.assign(histogram=entry.name))
    columns = ["histogram", *channels.COLUMNS]
    return pd.concat(tables, ignore_index=True)[columns]
