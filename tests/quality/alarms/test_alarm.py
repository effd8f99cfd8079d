"""The life of an alarm: every state and transition, minute by minute."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.errors import StoreError
from owtrend.quality.alarms.alarm import Alarm, Kind, Report, State, Subject, Timing, advance, at_time, lives
from owtrend.quality.flag import Quality

MINUTE = 60 * 10**9
SUBJECT = Subject(Kind.RULE, "mean", "EMC", "h")
LETTERS = {  # of a report
    ".": (Quality.OK, True), "a": (Quality.ACCEPTABLE, True), "?": (Quality.UNKNOWN, False),
    "w": (Quality.WARNING, False), "e": (Quality.ERROR, False), "b": (Quality.OK, False),  # b: between the thresholds
}  # fmt: skip
PENDING, FIRING, RECOVERING, NO_DATA = list(State)[:4]
RESOLVED = State.RESOLVED
TO_AND_FRO = [FIRING, RECOVERING, RECOVERING, FIRING, RECOVERING, RECOVERING, RESOLVED]


def reports(text, first=0):
    """A report a minute."""
    return [
        Report(minute * MINUTE, (minute + 1) * MINUTE, *LETTERS[letter], why=f"minute {minute}")
        for minute, letter in enumerate(text, start=first)
    ]


def states(text, timing):
    """The state after each report; None where there is no alarm, or it is over and not given again."""
    alarm, found = None, []
    for report in reports(text):
        alarm = advance(alarm, report, SUBJECT, timing)
        found.append(alarm and alarm.state)
        if alarm is not None and alarm.state.over:
            alarm = None
    return found


@pytest.mark.parametrize(
    ("text", "timing", "expected"),
    [
        ("..a?", Timing(), [None, None, None, None]),
        (".w.", Timing(), [None, FIRING, RESOLVED]),
        (".e..", Timing(), [None, FIRING, RESOLVED, None]),
        ("ww.", Timing(hold=2 * MINUTE), [PENDING, FIRING, RESOLVED]),
        ("w.w", Timing(hold=2 * MINUTE), [PENDING, None, PENDING]),
        ("w?w", Timing(hold_reports=2), [PENDING, PENDING, FIRING]),  # a gap is no good report
        ("ww", Timing(hold=MINUTE, hold_reports=3), [PENDING, PENDING]),
        ("eb.", Timing(), [FIRING, FIRING, RESOLVED]),
        ("e..e...", Timing(keep=3 * MINUTE), TO_AND_FRO),
        ("e..b...", Timing(keep=3 * MINUTE), TO_AND_FRO),
        ("e.?..", Timing(keep=2 * MINUTE), [FIRING, RECOVERING, FIRING, RECOVERING, RESOLVED]),
        ("e??.", Timing(no_data_after=2), [FIRING, FIRING, NO_DATA, RESOLVED]),
        ("e??e.", Timing(no_data_after=2), [FIRING, FIRING, NO_DATA, FIRING, RESOLVED]),
        ("e??b?", Timing(no_data_after=2), [FIRING, FIRING, NO_DATA, FIRING, FIRING]),
        ("w???", Timing(hold=9 * MINUTE, no_data_after=2), [PENDING] * 4),
        ("e" + "?" * 500, Timing(), [FIRING] * 3 + [NO_DATA] * 498),  # missing data never resolve
    ],
)  # fmt: skip
def test_each_report_has_its_state(text, timing, expected):
    assert states(text, timing) == expected


def test_an_alarm_knows_when_it_began_fired_and_ended_and_what_it_was_at_its_worst():
    first, second = lives(reports(".wwe.w"), SUBJECT, Timing(hold=2 * MINUTE))
    assert (first.start, first.fired, first.stop) == (1 * MINUTE, 3 * MINUTE, 5 * MINUTE)
    assert (first.quality, first.worst, first.why, first.bad) == (Quality.OK, Quality.ERROR, "minute 3", 3)
    assert (second.state, second.start, second.fired) == (State.PENDING, 5 * MINUTE, None)
    assert first.id != second.id
    assert Alarm.from_dict(first.to_dict()) == first
    with pytest.raises(StoreError, match="newer owtrend"):
        Alarm.from_dict({**first.to_dict(), "state": "bored"})


def test_a_source_that_stops_is_stale_and_never_over():
    (alarm,) = lives(reports("e"), SUBJECT, Timing())
    timing = Timing(stale_after=5 * MINUTE)
    assert at_time(alarm, 6 * MINUTE, timing) == alarm
    assert at_time(alarm, 7 * MINUTE, timing).state is State.STALE
    assert at_time(alarm, 10**6 * MINUTE, timing).state is State.STALE
    assert at_time(alarm, -(10**6) * MINUTE, timing) == alarm  # a clock that went back
    assert at_time(alarm, 10**6 * MINUTE, Timing()) == alarm
    stale = at_time(alarm, 7 * MINUTE, timing)
    assert advance(stale, reports("e", first=7)[0], SUBJECT, timing).state is State.FIRING
    assert advance(stale, reports(".", first=7)[0], SUBJECT, timing).state is State.RESOLVED
    pending = replace(alarm, state=State.PENDING)
    assert at_time(pending, 10**6 * MINUTE, timing) == pending


TIMINGS = st.builds(
    Timing, hold=st.integers(0, 3).map(lambda n: n * MINUTE), hold_reports=st.integers(1, 3),
    keep=st.integers(0, 3).map(lambda n: n * MINUTE), no_data_after=st.integers(1, 3),
)  # fmt: skip


@given(text=st.text("...wweb?", max_size=30), cut=st.integers(0, 30), timing=TIMINGS)
def test_what_is_looked_at_in_two_parts_is_as_in_one(text, cut, timing):
    whole = lives(reports(text), SUBJECT, timing)
    head = lives(reports(text)[:cut], SUBJECT, timing)
    before = head.pop() if head and not head[-1].state.over else None
    assert head + lives(reports(text)[cut:], SUBJECT, timing, before) == whole


@given(text=st.text("...wweb?", max_size=40), timing=TIMINGS)
def test_alarms_follow_each_other_and_end_only_by_a_good_report(text, timing):
    found = lives(reports(text), SUBJECT, timing)
    for alarm in found:
        assert alarm.start < (alarm.fired or alarm.latest) <= (alarm.stop or alarm.latest)
        if alarm.stop is not None:
            assert text[alarm.stop // MINUTE - 1] in ".a"
            assert alarm.fired is not None
    assert all(alarm.state is State.RESOLVED for alarm in found[:-1])
    assert all(one.stop <= other.start for one, other in pairwise(found))
