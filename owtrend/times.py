"""Times and lengths of time as people type them; all times are UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from owtrend.display import quoted
from owtrend.errors import UsageError

__all__ = ["duration", "nanoseconds", "parse_interval", "parse_time", "to_utc"]

_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # whole years that datetime64[ns] holds; NumPy wraps others around silently
_BARE = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?", re.ASCII)
_ZONED = re.compile(r".*T.*[+-]\d\d(:?\d\d)?", re.ASCII)


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
        if isinstance(time, str):
            if first is not None and _BARE.fullmatch(time):
                clock = time.zfill(len(time) + (time.index(":") < 2))
                found = np.datetime64(f"{first.astype('datetime64[D]')}T{clock}", "ns")
                end = first if last is None else last
                return found + day if first - found > found + day - end else found
            if _ZONED.fullmatch(time) and (in_utc := to_utc(time)) is not None:
                time = in_utc.replace(tzinfo=None)
            elif not re.match(r"\d{4}(?!\d)|now$|today$", time, re.ASCII):
                raise ValueError("no year of four digits")
        elif hasattr(time, "values"):  # of xarray, as histogram.time[3]
            time = time.values[()]
        return nanoseconds(np.datetime64(time, "ns") if isinstance(time, int) else np.datetime64(time))
    except (OverflowError, TypeError, ValueError) as error:
        years = f", in the years {_FIRST_YEAR} to {_LAST_YEAR}" if isinstance(error, OverflowError) else ""
        raise UsageError(
            f"not a time: {quoted(value)}; give for example '10:30' or '2018-06-01T10:30:00', in UTC{years}"
        ) from error


def nanoseconds(time: np.datetime64) -> np.datetime64:
    """A time in nanoseconds.

    Raises
    ------
    ValueError
        If it is not a time (NaT).
    OverflowError
        If nanoseconds cannot hold it: they reach from 1678 to 2261.
    """
    if np.isnat(time):
        raise ValueError("not a time")
    year = int(time.astype("datetime64[Y]").astype(np.int64)) + 1970
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise OverflowError(f"it is in the year {year}, expected {_FIRST_YEAR} to {_LAST_YEAR}")
    return time.astype("datetime64[ns]")


def parse_interval(every: Any) -> np.timedelta64:
    """A length of time from text such as ``10min``, a timedelta, or a number of seconds.

    Raises
    ------
    UsageError
        If it is no length of time, or not positive.
    """
    import pandas as pd  # here, for the store reads times without it

    try:
        if isinstance(every, str) and not re.search(r"[^\W\d]|:", every):
            raise ValueError("a number without a unit, which pandas takes for nanoseconds")
        if isinstance(every, str):
            every = re.sub(r"(?<=\d)\s*d\b", "D", every)  # of days, as people write them
        length = pd.Timedelta(every, unit="s") if isinstance(every, int | float) else pd.Timedelta(every)
        length = length if pd.isna(length) else length.as_unit("ns")
        positive = not pd.isna(length) and length > pd.Timedelta(0)
    except (OverflowError, TypeError, ValueError) as error:
        raise UsageError(f"not a length of time: {quoted(every)}; give for example '10min' or '30s'") from error
    if not positive:
        raise UsageError(f"an interval must be longer than nothing, not {quoted(every)}")
    result: np.timedelta64 = length.to_timedelta64()
    return result


def duration(length: timedelta) -> str:
    """A length of time in words, in the largest unit that it has one of.

    >>> duration(timedelta(seconds=5400))
    '1.5 h'
    >>> duration(timedelta(days=3102))
    '3,102 days'
    """
    seconds = length.total_seconds()
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if abs(seconds) >= unit:
            number = seconds / unit
            return f"{number:,.0f} {name}" if abs(number) >= 100 else f"{number:.3g} {name}"
    return f"{seconds:.3g} s"


def to_utc(time: str | datetime) -> datetime | None:
    """A time, or its ISO 8601 text, in UTC, which it is taken for if it has no zone; None if it is no time."""
    try:
        when = time if isinstance(time, datetime) else datetime.fromisoformat(time)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        return None
