"""Times and lengths of time as people type them."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from owtrend.errors import UsageError
from owtrend.times import duration, parse_interval, parse_time, to_utc


@pytest.mark.parametrize(
    ("text", "day", "expected"),
    [
        ("10:30", "2018-06-01T10:00", "2018-06-01T10:30"),
        ("9:05:30", "2018-06-01T10:00", "2018-06-01T09:05:30"),
        ("01:00", "2018-06-01T22:00", "2018-06-02T01:00"),
        ("2018-06-03T01:00Z", "2018-06-01T22:00", "2018-06-03T01:00"),
        ("2018-06-03T01:00", "2018-06-01T22:00", "2018-06-03T01:00"),
    ],
)
def test_a_bare_time_is_on_the_day_nearest_to_the_run(text, day, expected):
    assert parse_time(text, np.datetime64(day, "ns")) == np.datetime64(expected, "ns")


def test_what_is_no_time_is_an_error():
    with pytest.raises(UsageError, match="not a time: 'noon'"):
        parse_time("noon", np.datetime64("2018-06-01", "ns"))


def test_a_bare_time_needs_a_run_to_have_a_day():
    with pytest.raises(UsageError, match="not a time: '10:30'"):
        parse_time("10:30")


@pytest.mark.parametrize("every", ["10min", 600, timedelta(minutes=10), np.timedelta64(10, "m")])
def test_an_interval_is_text_seconds_or_a_timedelta(every):
    assert parse_interval(every) == np.timedelta64(600, "s")


@pytest.mark.parametrize("every", ["ten", "0s", -1, None, "NaT"])
def test_what_is_no_interval_is_an_error(every):
    with pytest.raises(UsageError):
        parse_interval(every)


def test_a_time_without_a_zone_is_utc():
    noon = datetime(2018, 6, 1, 12, tzinfo=UTC)
    assert to_utc("2018-06-01T12:00") == to_utc("2018-06-01T14:00+02:00") == noon
    assert to_utc(datetime(2018, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))) == noon
    assert to_utc("v1") is None


def test_long_lengths_of_time_are_plain_numbers():
    assert duration(timedelta(days=3102, hours=8)) == "3,102 days"
    assert duration(timedelta(minutes=90)) == "1.5 h"
