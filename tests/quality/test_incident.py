"""Findings joined to incidents, by hand."""

import json
from itertools import pairwise

import pytest

from owtrend.errors import StoreError
from owtrend.model.finding import BinRange, Score
from owtrend.quality.incident import Incident, RunFindings, incidents
from owtrend.quality.results import COLUMNS, incident_table
from tests.model.test_finding import MINUTE, flag, minutes

HOUR = 60  # minutes: run 1 begins at 0, run 2 after an hour, and so on
BINS = tuple(BinRange("x", number, number, number - 1.0, float(number)) for number in range(1, 9))


def runs(*findings):
    """Findings by their run, in order of run number; each can be compared with the one before."""
    order = sorted({one.run for one in findings})
    names = {one.subsystem for one in findings}
    before = dict(pairwise(reversed(order)))
    return [
        RunFindings(run, [one for one in findings if one.run == run], dict.fromkeys(names, before[run]))
        if run in before else RunFindings(run, [one for one in findings if one.run == run], {})
        for run in order
    ]  # fmt: skip


def join(*findings):
    return incidents(runs(*findings))


def level(run, *, at=0, histogram="h", bin_number=1, side=1, **more):
    """What is found in a run about a level that changed."""
    begin = (run - 1) * HOUR + at
    more = {"bins": (BINS[bin_number],), "side": side, **more}
    return flag(begin, begin + 5, run=run, histograms=(histogram,), **more)


@pytest.mark.parametrize(("begin", "count"), [(5, 1), (15, 1), (16, 2)])
def test_flags_at_most_two_reports_apart_are_one_incident(begin, count):
    assert len(join(flag(0, 5), flag(begin, begin + 5))) == count


def test_a_long_flag_holds_those_after_it_together():
    assert len(join(flag(0, 60), flag(10, 15), flag(65, 70))) == 1


def test_subsystems_that_overlap_are_one_incident_and_others_are_not():
    made = join(flag(0, 10), flag(9, 12, "TPC"), flag(11, 14, "HLT"), flag(14, 20, "ABC"))
    assert [one.subsystems for one in made] == [("EMC", "HLT", "TPC"), ("ABC",)]
    assert minutes(one.start for one in made) == [0, 14]
    assert minutes(one.stop for one in made) == [14, 20]


def test_an_incident_has_its_most_significant_reason_and_how_many_histograms():
    flags = [flag(0, 5, z=4), flag(0, 5, histograms=("g", "k"), z=9), flag(5, 10, histograms=("g",), z=9, run=2)]
    made = incident_table(join(*flags))
    assert tuple(made.columns) == COLUMNS
    (row,) = made.to_dict("records")
    assert (row["histograms"], row["findings"], row["runs"]) == (3, 3, (1, 2))
    assert (row["histogram"], row["z"], row["why"], row["run"], row["subsystem"]) == ("g", 9, "at 0", 1, "EMC")
    assert [tuple(part) for part in row["parts"]] == [
        ("EMC", 1, 0, 5 * MINUTE, 2), ("EMC", 2, 5 * MINUTE, 10 * MINUTE, 1)
    ]  # fmt: skip


def test_a_certain_finding_is_the_most_significant():
    (made,) = join(flag(0, 5, z=40), flag(0, 5, certain=True, score=Score.GAP))
    assert made.top.certain


def test_no_flags_are_no_incidents():
    assert incident_table(join()).empty


def test_a_level_that_holds_is_one_incident_since_its_first_run():
    first = level(1)
    (made,) = join(first, level(2, score=Score.CHI2, bins=(), side=0), level(3))
    assert (made.id, made.runs, made.findings) == (first.id, (1, 2, 3), 3)
    assert [one[1:] for one in made.histograms] == [("h", "bins", first.start)]


@pytest.mark.parametrize(
    "other",
    [
        {"side": -1}, {"bin_number": 3}, {"histogram": "k"}, {"score": Score.FRACTION}, {"subsystem": "TPC"},
        {"certain": True, "score": Score.ABSENT},
    ],
)  # fmt: skip
def test_what_deviates_in_another_way_in_the_next_run_is_another_incident(other):
    assert [one.runs for one in join(level(1), level(2, **other))] == [(1,), (2,)]


def test_a_run_without_the_deviation_ends_its_incident():
    calm = level(2, histogram="k")
    assert [one.runs for one in join(level(1), calm, level(3))] == [(1,), (2,), (3,)]


def test_what_begins_while_an_incident_goes_on_is_another_one_with_a_run_of_its_own():
    new = level(2, histogram="k", at=3)
    held, other = join(level(1), level(2), new, level(3), level(3, histogram="k"), level(2, subsystem="TPC"))
    assert held.runs == (1, 2, 3)
    assert (other.runs, other.subsystems) == ((2, 3), ("EMC", "TPC"))
    assert other.start == level(2, subsystem="TPC").start


def test_an_incident_that_goes_on_keeps_its_histograms_whatever_bins_say_most_today():
    flags = [level(1), level(1, histogram="k"), level(2), level(2, histogram="k", bin_number=5), level(3, at=1)]
    again = level(4, histogram="k", bin_number=5)  # not seen in run 3, in which the others went on
    (made,) = join(*flags, level(4), again)
    assert made.runs == (1, 2, 3, 4)


def test_joining_goes_on_where_it_stopped():
    flags = [
        flag(0, 10), flag(9, 12, "TPC"), level(1, histogram="k", at=40), level(1, at=57), level(2), level(2, at=20),
        level(2, histogram="k"), level(2, histogram="n", at=4), level(3), level(3, subsystem="TPC", at=2),
        flag(3 * HOUR - 2, 3 * HOUR + 1, run=3, certain=True, score=Score.GAP), level(4, histogram="n"), level(4, at=3),
    ]  # fmt: skip
    whole = runs(*flags)
    for last in range(len(whole)):
        known = [Incident.from_json(one.to_json()) for one in incidents(whole[:last])]
        assert incidents(whole[last:], known) == incidents(whole)


def test_a_run_at_the_same_time_joins_an_incident_in_several_places():
    (made,) = join(flag(0, 100), flag(10, 12, run=2), flag(40, 42, "TPC", run=2), flag(101, 105, run=2))
    assert (made.findings, made.runs) == (4, (1, 2))


def test_the_order_of_findings_in_a_run_does_not_matter():
    flags = [level(1), level(1, histogram="k", at=4), level(2, at=20), level(2), level(2, histogram="n", at=18)]
    assert join(*flags) == join(*reversed(flags))


def test_an_incident_of_a_newer_owtrend_is_an_error():
    (made,) = join(level(1))
    line = json.loads(made.to_json())
    with pytest.raises(StoreError, match="update owtrend"):
        Incident.from_json(json.dumps(line | {"parts": [[1, 2]]}))
