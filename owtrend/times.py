"""Times and lengths of time as people type them; all times are UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from owtrend.errors import UsageError

__all__ = ["duration", "parse_interval", "parse_time", "to_utc"]


def parse_time(value: Any, first: np.datetime64 | None = None, last: np.datetime64 | None = None) -> np.datetime64:
    """A time in UTC [ns]; a bare ``"HH:MM[:SS]"`` is on the day that brings it nearest to ``first`` to ``last``.

    Raises
    ------
    UsageError
        If it is no time, or a bare one without ``first``.
    """
    day = np.timedelta64(1, "D")
    time: Any = value.removesuffix("Z") if isinstance(value, str) else value
    try:
        if first is not None and isinstance(time, str) and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", time):
            clock = time.zfill(len(time) + (time.index(":") < 2))
            found = np.datetime64(f"{first.astype('datetime64[D]')}T{clock}", "ns")
            end = first if last is None else last
            return found + day if first - found > found + day - end else found
        if hasattr(time, "values"):  # of xarray, as histogram.time[3]
            time = time.values[()]
        result: np.datetime64 = np.datetime64(time, "ns")
        return result
    except ValueError as error:
        raise UsageError(f"not a time: {value!r}; give for example '10:30' or '2018-06-01T10:30:00', in UTC") from error


def parse_interval(every: Any) -> np.timedelta64:
    """A length of time from text such as ``10min``, a timedelta, or a number of seconds.

    Raises
    ------
    UsageError
        If it is no length of time, or not positive.
    """
    import pandas as pd  # here, for the store reads times without it

    try:
        length = pd.Timedelta(every, unit="s") if isinstance(every, int | float) else pd.Timedelta(every)
    except (TypeError, ValueError) as error:
        raise UsageError(f"not a length of time: {every!r}; give for example '10min' or '30s'") from error
    if pd.isna(length) or length <= pd.Timedelta(0):
        raise UsageError(f"an interval must be longer than nothing, not {every!r}")
    result: np.timedelta64 = length.to_timedelta64()
    return result


def duration(length: timedelta) -> str:
    """A length of time in words, in the largest unit that it has one of.

    >>> duration(timedelta(seconds=5400))
    '1.5 h'
    """
    seconds = length.total_seconds()
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if abs(seconds) >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def to_utc(time: str | datetime) -> datetime | None:
    """A time, or its ISO 8601 text, in UTC, which it is taken for if it has no zone; None if it is no time."""
    try:
        when = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
