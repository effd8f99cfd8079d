"""The load of alarms on people, by hand."""

import math

from owtrend.quality.alarms.alarm import Alarm, Kind, State, Subject
from owtrend.quality.flag import Quality
from owtrend.quality.judging.load import MOST_A_DAY, load_of

HOUR = 3600 * 10**9
DAY = 24 * HOUR


def alarm(fired, length=HOUR // 60, rule="r", histogram="h", *, open_=False):
    subject = Subject(Kind.RULE, rule, "EMC", histogram)
    state, stop = (State.FIRING, None) if open_ else (State.RESOLVED, fired + length)
    return Alarm(subject, state, fired - 1, fired + length, Quality.OK, Quality.ERROR, fired=fired, stop=stop)


def test_alarms_are_counted_by_days_of_data():
    load = load_of([alarm(number * 6 * HOUR) for number in range(12)], 3 * DAY)
    assert (load.alarms, load.days, load.per_day, load.most, load.bearable) == (12, 3.0, 4.0, 4, True)
    assert load.standing == load.chattering == ()


def test_a_day_of_too_many_is_no_bearable_one():
    burst = [alarm(number * HOUR // 60, histogram=str(number)) for number in range(MOST_A_DAY + 1)]
    load = load_of(burst, 100 * DAY)
    assert load.most == MOST_A_DAY + 1
    assert load.per_day < 2
    assert not load.bearable


def test_what_fires_three_times_within_an_hour_chatters():
    often = [alarm(at * HOUR // 4) for at in (0, 1, 3)]
    seldom = [alarm(at * HOUR // 2, rule="s") for at in (0, 1, 2)]  # the third when the hour is over
    assert load_of([*often, *seldom], DAY).chattering == (("r", "EMC", "h", 3),)


def test_what_is_on_for_more_than_a_day_stands():
    load = load_of([alarm(0, DAY), alarm(0, DAY + 1, "s"), alarm(5, 2 * DAY, "t", open_=True)], DAY)
    assert [one.subject.name for one in load.standing] == ["t", "s"]


def test_the_ten_busiest_rules_are_listed():
    alarms = [alarm(number, rule=f"rule {of}") for of in range(12) for number in range(of)]
    busiest = load_of(alarms, DAY).busiest
    assert busiest == tuple((f"rule {of}", of) for of in range(11, 1, -1))


def test_nothing_is_no_load():
    load = load_of([], 0)
    assert (load.alarms, load.most, load.busiest) == (0, 0, ())
    assert math.isnan(load.per_day)
    assert load.bearable
