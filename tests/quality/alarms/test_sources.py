"""Alarms of incidents and of subsystems that no longer send."""

import json
from dataclasses import replace

import pytest

from owtrend.model.finding import Aspect, Concerned, Finding, Score
from owtrend.quality.alarms.alarm import Alarm, Kind, State, Subject
from owtrend.quality.alarms.sources import Coverage, aged, incident_alarms, merged, source_alarms
from owtrend.quality.flag import Quality
from owtrend.quality.incident import Incident, Part, RunFindings, incidents
from tests.quality.alarms.test_alarm import MINUTE

REPORT = MINUTE


def finding(first, last, *, run=1, subsystem="EMC", score=Score.BIN, histogram="h"):
    return Finding(
        subsystem=subsystem, run=run, histograms=(histogram,), start=first * MINUTE, stop=last * MINUTE, score=score,
        z=9.0, why="too many", report=REPORT, side=1,
    )  # fmt: skip


def one(*findings):
    (made,) = incidents([RunFindings(1, findings, {})])
    return made


def covered(*runs):
    """Runs of the first and last minute, with a snapshot a minute."""
    rows = [(number, first * MINUTE, last * MINUTE, last - first) for number, (first, last) in enumerate(runs, 1)]
    return {"EMC": Coverage(tuple(rows))}


@pytest.mark.parametrize(
    ("incident", "runs", "stop"),
    [
        (one(finding(10, 13)), [(0, 13)], None),
        (one(finding(10, 13)), [(0, 15)], None),  # a finding two reports later would join
        (one(finding(10, 13)), [(0, 16)], 15),
        (one(finding(10, 13)), [(0, 13), (50, 54)], None),  # a level: the next run says little yet
        (one(finding(10, 13)), [(0, 13), (50, 55)], 55),
        (one(finding(10, 13)), [(0, 13), (50, 52), (60, 63)], 65),
        (one(finding(10, 13, score=Score.RESTART)), [(0, 13), (50, 51)], 51),  # an event
        (one(finding(10, 13)), [], None),
    ],
)
def test_an_incident_is_over_when_enough_reports_show_no_more_of_it(incident, runs, stop):
    (alarm,) = incident_alarms([incident], covered(*runs), Quality.WARNING)
    if not runs:  # of unreadable files only
        assert alarm.state is State.RESOLVED
        return
    assert (alarm.start, alarm.fired) == (10 * MINUTE, 11 * MINUTE)
    assert alarm.stop == (None if stop is None else stop * MINUTE)
    assert alarm.state is (State.FIRING if stop is None else State.RESOLVED)
    assert (alarm.worst, alarm.why, alarm.run, alarm.histogram) == (Quality.WARNING, "too many", 1, "h")


def test_an_incident_of_two_subsystems_is_over_when_it_is_in_both():
    joint = one(finding(10, 13), finding(11, 20, subsystem="TPC"))
    emc = covered((0, 30))["EMC"]
    tpc = Coverage(((1, 0, 20 * MINUTE, 20),))
    (alarm,) = incident_alarms([joint], {"EMC": emc, "TPC": tpc}, Quality.ERROR)
    assert alarm.state is State.FIRING
    (alarm,) = incident_alarms([joint], {"EMC": emc, "TPC": emc}, Quality.ERROR)
    assert alarm.stop == 22 * MINUTE


def test_an_incident_that_became_part_of_another_one_is_found_there():
    late = one(finding(20, 23))
    joined = one(finding(10, 13), finding(14, 23))
    (alarm,) = incident_alarms([late], covered((0, 23)), Quality.ERROR)
    assert merged([alarm], [late]) == {}
    assert merged([alarm], [joined]) == {alarm.subject: Subject(Kind.INCIDENT, joined.id, "EMC")}
    other = Incident(
        id="x", parts=(Part("TPC", 1, 0, 10**18, 1),), histograms=(Concerned("TPC", "h", Aspect.BINS, 0),),
        top=finding(1, 2), spans=(), deviations=(),
    )  # fmt: skip
    assert merged([alarm], [other]) == {}


def test_an_incident_is_shown_where_it_is_most_significant():
    weak, strong = finding(10, 13), replace(finding(11, 13, subsystem="TPC"), z=20.0)
    (alarm,) = incident_alarms([one(weak)], covered((0, 13)), Quality.ERROR)
    joint = one(weak, strong)
    (later,) = incident_alarms([joint], covered((0, 13)), Quality.ERROR)
    assert (alarm.subject.subsystem, later.subject.subsystem) == ("EMC", "TPC")
    assert (alarm.concerns, later.concerns) == (("EMC",), ("EMC", "TPC"))
    assert Alarm.from_dict(json.loads(json.dumps(later.to_dict()))) == later
    assert merged([alarm], [joint]) == {alarm.subject: later.subject}


def test_a_subsystem_that_sends_nothing_is_an_alarm_until_it_sends_again():
    runs = covered((0, 10))
    assert list(source_alarms(runs, [], 15 * MINUTE, 5 * MINUTE)) == []
    assert list(source_alarms(runs, [], 10**6 * MINUTE, 0)) == []
    (alarm,) = source_alarms(runs, [], 16 * MINUTE, 5 * MINUTE)
    assert (alarm.state, alarm.start, alarm.why) == (State.FIRING, 10 * MINUTE, "EMC has sent nothing for 6 min")
    assert list(source_alarms(runs, [alarm], 99 * MINUTE, 5 * MINUTE)) == [alarm]
    (ended,) = source_alarms(covered((0, 101)), [alarm], 101 * MINUTE, 5 * MINUTE)
    assert (ended.state, ended.stop) == (State.RESOLVED, 101 * MINUTE)


def test_alarms_of_a_subsystem_that_sends_nothing_are_stale():
    runs = covered((0, 13))
    alarms = incident_alarms([one(finding(10, 13))], runs, Quality.ERROR)
    assert [alarm.state for alarm in aged(alarms, runs, 18 * MINUTE, 5 * MINUTE)] == [State.FIRING]
    assert [alarm.state for alarm in aged(alarms, runs, 19 * MINUTE, 5 * MINUTE)] == [State.STALE]
    assert aged(alarms, runs, 10**6 * MINUTE, 0) == alarms
