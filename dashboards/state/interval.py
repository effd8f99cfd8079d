"""Times as users type them -> an interval between snapshots; times as text."""

from typing import Any

import numpy as np
import xarray as xr

from owtrend.display import printable
from owtrend.errors import UsageError
from owtrend.times import parse_time

__all__ = ["between_snapshots", "text"]


def between_snapshots(
    cumulative: xr.Dataset | None, start: Any, stop: Any, notes: list[str]
) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """The interval from snapshot to snapshot, cut as `owtrend.time_slice` cuts; at least one snapshot.

    None stands for an end of the run. An impossible interval becomes the whole run, with the reason in ``notes``.
    """
    if cumulative is None or (start is None and stop is None):
        return None, None
    times = cumulative["time"].values
    try:
        first = -1 if start is None else _last_before(times, start)
        last = len(times) - 1 if stop is None else _last_before(times, stop)
    except UsageError as error:
        notes.append(f"{error}. The whole run is shown instead.")
        return None, None
    if last < first or first == len(times) - 1:
        first_text, last_text = ("run start" if start is None else start, "run end" if stop is None else stop)
        wanted = f"{printable(first_text)} to {printable(last_text)}"
        notes.append(f"There is no snapshot in the interval {wanted}; the whole run is shown instead.")
        return None, None
    last = max(last, first + 1)
    return None if first < 0 else times[first], None if last == len(times) - 1 else times[last]


def text(time: np.datetime64) -> str:
    """A time as text, to the second or, where needed, finer."""
    return str(np.datetime_as_string(time, "s" if time == time.astype("datetime64[s]") else "auto"))


def _last_before(times: Any, time: Any) -> int:
    """Index of the last of ``times`` at or before a time; -1 if all are later."""
    return int(np.searchsorted(times, parse_time(time, times[0]), side="right")) - 1
