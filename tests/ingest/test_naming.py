import re
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.naming import FileName, Pattern, are_later, is_product, parse, processed_name, reason, to_utc
from owtrend.errors import UsageError

NOON = datetime(2018, 6, 1, 12, 0, 5)
IN_UTC = datetime(2018, 6, 1, 10, 0, 5, tzinfo=UTC)  # at CERN


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/Run300000/EMC/EMChists.2018_06_01_12_00_05.root", FileName("EMC", 300000, NOON)),
        ("EMChistos_300000_c_2018_6_1_12_0_5.root", FileName("EMC", 300000, NOON, "C")),
        ("in/DQMhistos_300000_DQM_2018_06_01_12_00_05.root", FileName("DQM", 300000, NOON, "DQM")),
        ("Run300000/EMC/hists.combined.3.1527847205.root", None),
        ("Run300000/EMC/TPChists.2018_06_01_12_00_05.root", None),
        ("EMChistos_300000_C_2018_13_1_12_0_5.root", None),
        ("EMChistos_300000_C.root", None),
        (".EMChistos_300000_C_2018_6_1_12_0_5.root", None),
    ],
)
def test_overwatch_names(path, expected):
    assert parse(path) == expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{subsystem}/ShuttleInput/*.root", "a/ZDC/ShuttleInput/ZDCPedHisto.root", FileName("ZDC")),
        ("{run}/{subsystem}_{time}.root", "7/MID_20180601T120005.root", FileName("MID", 7, NOON)),
        ("{run}/{subsystem}_{time}.root", "7/MID_2018-06-01 12:00:05.root", FileName("MID", 7, NOON)),
        ("{mode}/**/{subsystem}.root", "b/x/y/z/TPC.root", FileName("TPC", None, None, "B")),
        ("{subsystem}/*.root", "TPC/deeper/x.txt", None),
        ("mon_{time}.root", "mon_1527847205.root", FileName(time=IN_UTC)),
        (
            "*{time}.root",
            "mon_1527847205250.root",
            FileName(time=IN_UTC.replace(microsecond=250000)),
        ),
        ("mon_{time}.root", "mon_15278472050.root", None),  # neither seconds nor milliseconds
        ("mon_{time}.root", "mon_1520180601120005.root", None),
        ("{time:%Y%m%d-%H%M%S}.root", "20180601-120005.root", FileName(time=NOON)),
        ("{run}_{time:%y%j}.root", "7_18152.root", FileName(None, 7, datetime(2018, 6, 1))),
        ("{time:%s}.root", "1527847205.root", FileName(time=IN_UTC)),
    ],
)
def test_patterns_read_their_fields(pattern, path, expected):
    assert parse(path, (Pattern.compile(pattern),)) == expected


def test_an_unknown_field_in_a_pattern_is_an_error_with_the_known_ones():
    with pytest.raises(UsageError, match=r"\{sub\}; known are \{subsystem\}, \{run\}, \{mode\}, \{time\}"):
        Pattern.compile("{sub}/x.root")


@pytest.mark.parametrize(
    ("pattern", "path", "why"),
    [
        (
            "m_{time}.root",
            "m_0000039600.root",
            "'0000039600' is impossible: it is in the year 1970, expected 1990 to 20",
        ),
        ("m_{time}.root", "m_22180601120005.root", "it is in the year 2218, expected 1990 to .*; give its format"),
        ("m_{time}.root", "m_20181301120005.root", "'m_{time}.root' fits, but its time '20181301120005' is impossible"),
        (
            "{subsystem}/m_{time}.root",
            "a/EMC/x_17.root",
            "up to 'a/EMC/', then expects 'm_{time}.root', .* 'x_17.root'",
        ),
        ("{subsystem}", "EMC.root", "then expects 'the end of the name', but there is '.root'"),
        ("Q/{run}", "EMC.root", "pattern 'Q/{run}' fits no part of it"),
    ],
)
def test_a_name_that_is_not_recognised_has_a_reason(pattern, path, why):
    patterns = (Pattern.compile(pattern),)
    assert parse(path, patterns) is None
    assert re.search(why, reason(path, patterns))


def test_without_a_pattern_the_reason_names_the_layout_of_overwatch_that_fits_best():
    words = reason("data/Run300000/EMC/TPChists.2018_06_01_12_00_05.root")
    assert words.startswith(
        "pattern 'Run{run}/{subsystem}/{subsystem}hists.{time}.root' fits up to 'data/Run300000/EMC/'"
    )


def test_an_unknown_format_of_the_time_is_an_error():
    with pytest.raises(UsageError, match="unknown %Q in the format of the time; known are %Y, %m"):
        Pattern.compile("{time:%Q}")


def test_overwatchs_products_are_recognised():
    assert is_product("Run1/EMC/hists.combined.1.1448388552.root")
    assert is_product("Run1/EMC/timeSlice.1.2.abc.root")
    assert is_product("ReplayData/Run1/EMC/EMChists.2018_06_01_12_00_05.root")
    assert not is_product("Run1/EMC/EMChists.2018_06_01_12_00_05.root")


def test_a_processed_name_is_read_back():
    assert parse(processed_name("EMC", 300000, NOON)) == FileName("EMC", 300000, NOON)


@pytest.mark.parametrize(
    ("local", "zone", "utc", "ambiguous"),
    [
        (NOON, "Europe/Zurich", "2018-06-01T10:00:05", False),
        (NOON, "UTC", "2018-06-01T12:00:05", False),
        (NOON.replace(tzinfo=UTC), "Europe/Zurich", "2018-06-01T12:00:05", False),
        (datetime(2017, 10, 29, 2, 30), "Europe/Zurich", "2017-10-29T00:30:00", True),
    ],
)
def test_local_times_become_utc(local, zone, utc, ambiguous):
    assert to_utc(local, zone) == (np.datetime64(utc, "ns"), ambiguous)


def test_an_unknown_zone_is_an_error():
    with pytest.raises(UsageError, match="no time zone 'Europe/Geneva'"):
        to_utc(NOON, "Europe/Geneva")


def minutes(*numbers):
    return np.array([60 * 10**9 * number for number in numbers], dtype=np.int64)


@pytest.mark.parametrize(
    ("certain", "ambiguous", "expected"),
    [
        (range(-30, 0), range(20), False),  # the run goes on into the first hour
        (range(120, 150), range(40, 60), True),  # and out of the second
        (range(-30, 0), range(60), False),
        ([*range(-30, 0), *range(120, 150)], range(60), None),  # one of the two hours is missing
        ([], range(20), None),
        (range(120, 180), [*range(30, 60), *range(60)], None),  # half of the first hour, all of the second
        (range(-60, 0), [*range(60), *range(20)], None),  # all of the first, a third of the second
    ],
)
def test_other_times_of_a_run_decide_the_hour_of_an_ambiguous_time(certain, ambiguous, expected):
    earlier = minutes(*ambiguous)
    assert are_later(minutes(*certain), earlier, earlier + 60 * minutes(1)) is expected
