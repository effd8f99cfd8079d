"""Hot channels of an interval: channels with more content per event than a threshold."""

import fnmatch

import numpy as np
import pandas as pd
import xarray as xr

from owtrend.config import Config, SubsystemConfig
from owtrend.detectors.plugins import place_words
from owtrend.detectors.protocol import Detector, first_fitting
from owtrend.errors import NotFoundError, UsageError
from owtrend.histograms.labelled import values
from owtrend.model.finding import BinRange
from owtrend.store.reader import SubsystemReader
from owtrend.trends.intervals import Events, event_counter

__all__ = ["COLUMNS", "EventsOfRun", "hot_channels"]

COLUMNS = ("channel", "bin", "low", "high", "rate", "error", "threshold", "place")


class EventsOfRun:
    """The events of a subsystem in any interval of one run.

    They are those of the interval, not of the run's first snapshot. The counter of a configuration comes first, then
    that of the plug-in.
    """

    def __init__(self, view: SubsystemReader, run: int, detector: Detector, config: Config) -> None:
        self.where = f"{view.where}, run {run}"
        settings = config.for_subsystem(view.name)
        if settings.events is None and detector.events is not None:
            names = [entry.name for entry in view.registry.histograms.values()]
            if fitting := fnmatch.filter(names, detector.events.pattern):
                settings = SubsystemConfig(events=fitting[0], count=detector.events.reductor)
        counting = Config(subsystems={view.name: settings})
        self._events: Events | None = event_counter(view, run, counting, view.name)

    def during(self, gained: xr.Dataset) -> float:
        """The events in the time that a time slice covers: from its last report before to its last one inside.

        Raises
        ------
        NotFoundError
            If nobody counts events, or there are none in that time.
        """
        begin, end = (np.atleast_1d(gained[name].values) for name in ("covers_from", "covers_to"))
        if self._events is None:
            raise NotFoundError(
                f"{self.where}: no histogram counts events; name one as `events` in the configuration, or give the "
                "option scale_events=no"
            )
        found = 0.0 if np.isnat(end).any() else float(self._events.between(begin, end)[0])
        if not found > 0:
            raise NotFoundError(f"{self.where}: no events in the time of {gained.attrs.get('name')}")
        return found


def hot_channels(
    gained: xr.Dataset, detector: Detector, *, events: float | None, threshold: float | None = None
) -> pd.DataFrame:  # fmt: skip
    """The channels of a histogram that are hot in an interval, hottest first.

    Parameters
    ----------
    gained
        Time slice of a histogram with a channel in each bin of its only axis, without flow bins.
    events
        In that time; None: contents are not divided.
    threshold
        Content (per event) above which a channel is hot; None: that of the first pattern that fits.

    Returns
    -------
    :
        Columns ``channel`` (from 0 on), ``bin`` (from 1 on), ``low`` and ``high`` (edges), ``rate`` and its ``error``,
        ``threshold``, and ``place`` in words.
    """
    name = str(gained.attrs["name"])
    if "y" in gained.dims or "contents" not in gained:
        raise UsageError(f"{name}: hot channels need counts along one axis, a bin for each channel")
    if threshold is None:
        if (declared := first_fitting(detector.hot_channels, name)) is None:
            raise UsageError(f"{name}: {detector.name} has no threshold for it; give one")
        threshold = declared.threshold
    content = values(gained).compute()
    scale = 1.0 if events is None else events
    rate, error = content.value.values / scale, np.sqrt(content.variance.values) / scale
    hot = np.flatnonzero(rate > threshold)
    hot = hot[np.argsort(-rate[hot], kind="stable")]
    low, high = gained["x_left"].values, gained["x_right"].values
    rows = []
    for at in hot.tolist():
        bins = [BinRange("x", at + 1, at + 1, float(low[at]), float(high[at]))]
        place = place_words(detector, name, bins)
        rows.append((at, at + 1, low[at], high[at], rate[at], error[at], threshold, place))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"channel": np.int64, "bin": np.int64})
