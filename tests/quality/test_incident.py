"""Findings joined to incidents, by hand."""

import pandas as pd
import pytest

from owtrend.model.finding import table
from owtrend.quality.incident import incidents
from tests.model.test_finding import flag, minutes


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


def test_an_incident_has_its_most_significant_reason_and_how_many_histograms():
    flags = [flag(0, 5, z=4), flag(0, 5, histograms=("g", "k"), z=9), flag(5, 10, histograms=("g",), z=9, run=2)]
    (made,) = incidents(table(flags)).to_dict("records")
    assert (made["histograms"], made["findings"], made["runs"]) == (3, 3, (1, 2))
    assert (made["histogram"], made["z"], made["why"]) == ("g", 9, "at 0")


def test_a_certain_finding_is_the_most_significant():
    (made,) = incidents(table([flag(0, 5, z=40), flag(0, 5, certain=True)])).to_dict("records")
    assert made["certain"]
    assert pd.isna(made["z"])


def test_no_flags_are_no_incidents():
    assert incidents(table([])).empty
