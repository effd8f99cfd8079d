"""Flags joined to incidents, by hand."""

import numpy as np
import pandas as pd
import pytest

from owtrend.model.finding import COLUMNS, Finding, incidents, table

MINUTE = 60 * 10**9


def flag(start, stop, subsystem="EMC", histograms=("h",), z=5.0, **more):
    rest = {"run": 1, "score": "bin", "why": f"at {start}", "report": 5 * MINUTE, **more}
    return Finding(
        subsystem=subsystem, histograms=tuple(histograms), start=start * MINUTE, stop=stop * MINUTE, z=z, **rest
    )


def minutes(times):
    return [int(time.value // MINUTE) for time in pd.DatetimeIndex(times)]


def test_a_flag_survives_its_line():
    one = flag(0, 5, z=np.inf, histograms=())
    assert Finding.from_json(one.to_json()) == one


def test_the_table_is_in_order_of_time_and_names_a_single_histogram():
    made = table([flag(10, 15, histograms=("a", "b")), flag(0, 5), flag(5, 10, histograms=())])
    assert tuple(made.columns) == (*COLUMNS, "report")
    assert made["histogram"].tolist() == ["h", None, None]
    assert minutes(made["start"]) == [0, 5, 10]
    assert made["report"].iloc[0] == pd.Timedelta("5min")
    assert table([]).empty


@pytest.mark.parametrize(("begin", "count"), [(5, 1), (15, 1), (16, 2)])
def test_flags_at_most_two_reports_apart_are_one_incident(begin, count):
    assert len(incidents(table([flag(0, 5), flag(begin, begin + 5)]))) == count


def test_a_long_flag_holds_those_after_it_together():
    assert len(incidents(table([flag(0, 60), flag(10, 15), flag(65, 70)]))) == 1


def test_subsystems_that_overlap_are_one_incident_and_others_are_not():
    made = incidents(table([flag(0, 10), flag(9, 12, "TPC"), flag(11, 14, "HLT"), flag(14, 20, "ABC")]))
    assert made["subsystems"].tolist() == [("EMC", "HLT", "TPC"), ("ABC",)]
    assert minutes(made["start"]) == [0, 14]
    assert minutes(made["stop"]) == [14, 20]


def test_an_incident_tells_its_surest_reason_and_how_many_histograms():
    flags = [flag(0, 5, z=4), flag(0, 5, histograms=("g", "k"), z=9), flag(5, 10, histograms=("g",), z=9, run=2)]
    (made,) = incidents(table(flags)).to_dict("records")
    assert (made["histograms"], made["flags"], made["runs"]) == (3, 3, (1, 2))
    assert (made["histogram"], made["z"], made["why"]) == ("g", 9, "at 0")


def test_no_flags_are_no_incidents():
    assert incidents(table([])).empty
