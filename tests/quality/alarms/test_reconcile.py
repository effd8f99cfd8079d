"""What people are to learn: once when a problem is there, once when it is over, never because data are missing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from owtrend.quality.alarms.alarm import Kind, State, Subject, Timing, lives
from owtrend.quality.alarms.notice import News
from owtrend.quality.alarms.people import (
    People,
    accept_warning,
    acknowledge,
    close,
    end_silence,
    silence,
    undo_accept_warning,
)
from owtrend.quality.alarms.reconcile import Settings, reconcile
from owtrend.quality.alarms.record import Policy, Record
from owtrend.quality.flag import Quality
from owtrend.quality.journal import Action, Journal
from tests.quality.alarms.test_alarm import SUBJECT, reports

TIMING = Timing(no_data_after=2)
OTHER = Subject(Kind.RULE, "width", "EMC", "h")


class Desk:
    """What an engine does minute by minute: the alarms of the data so far, compared with what was recorded."""

    def __init__(self, settings=Settings(), location="memory://desk"):  # noqa: B008 - it is frozen
        self.settings, self.records, self.sent, self.states = settings, {}, [], []
        self.journal = Journal(location)

    def at(self, minute, texts, settings=None, renamed=None):
        """It is ``minute``; returns what is new, as (news, sources of its alarms)."""
        now = datetime.fromtimestamp(minute * 60, UTC)
        alarms = [
            alarm for subject, text in texts.items() for alarm in lives(reports(text[:minute]), subject, TIMING)
        ]  # fmt: skip
        people = People(self.journal.entries())
        outcome = reconcile(self.records.values(), alarms, people, settings or self.settings, now, renamed)
        self.records |= {
            record.id: Record.from_dict(record.id, record.to_dict()) for record in outcome.records
        }  # as after a restart
        self.states += [state for _, state, _ in outcome.history]
        for identity, why in outcome.ended_silences.items():
            end_silence(self.journal, identity, why, "owtrend")
        news = [(notice.news, sorted(item.alarm.subject.source for item in notice.items)) for notice in outcome.notices]
        self.sent += [(notice.news, item.id) for notice in outcome.notices for item in notice.items]
        return news

    def all(self, **texts):
        """Each minute until the longest text ends."""
        subjects = {Subject(Kind.RULE, name, "EMC", "h"): text for name, text in texts.items()}
        return [self.at(minute, subjects) for minute in range(1, max(map(len, texts.values())) + 1)]

    @property
    def only(self):
        (record,) = self.records.values()
        return record


@pytest.fixture
def desk(request, monkeypatch):
    from owtrend.quality.journal import database

    monkeypatch.setattr(database, "_in_memory", {})
    return Desk()


def test_a_problem_is_announced_once_and_resolved_once(desk):
    assert desk.all(mean=".wwe???e..") == [
        [], [(News.FIRING, ["mean"])], [], [(News.WORSE, ["mean"])], [], [], [], [], [(News.RESOLVED, ["mean"])], []
    ]  # fmt: skip
    assert desk.only.settled
    assert desk.states == [State.FIRING, State.NO_DATA, State.FIRING, State.RESOLVED]


def test_a_silence_speaks_when_it_ends_while_the_problem_is_there(desk):
    text = {SUBJECT: "." + "e" * 30}
    now = datetime.fromtimestamp(60, UTC)
    silence(desk.journal, "known", lasting=timedelta(minutes=5), name="mean", who="me", now=now)
    assert [desk.at(minute, text) for minute in range(2, 6)] == [[]] * 4
    assert desk.at(6, text) == [(News.FIRING, ["mean"])]
    assert desk.journal.entries()[-1].action is Action.END_SILENCE
    assert desk.at(3, text) == []  # a clock that goes back: the silence does not come back
    now = datetime.fromtimestamp(6 * 60, UTC)
    second = silence(desk.journal, "again", lasting=timedelta(minutes=5), alarm=desk.only.id, who="me", now=now)
    assert desk.at(7, text) == []
    end_silence(desk.journal, second.id, who="me")
    assert desk.at(8, text) == [(News.STILL, ["mean"])]
    assert desk.at(9, text) == []
    assert desk.only.round == 1


def test_a_silence_for_a_problem_ends_with_it_and_never_comes_back(desk):
    text = {SUBJECT: "ee....ee..."}
    assert desk.at(1, text) == [(News.FIRING, ["mean"])]
    silence(desk.journal, "being mended", alarm=desk.only.id, who="me")
    assert [desk.at(minute, text) for minute in (2, 3)] == [[], [(News.RESOLVED, ["mean"])]]
    assert People(desk.journal.entries()).silences() == []
    assert desk.at(8, text) == [(News.FIRING, ["mean"])]


def test_what_came_and_went_while_nobody_looked_is_announced_and_resolved(desk):
    assert desk.at(9, {SUBJECT: ".ee..ee.."}) == [(News.FIRING, ["mean", "mean"]), (News.RESOLVED, ["mean", "mean"])]


def test_what_ended_while_it_was_silenced_was_never_there_for_anybody(desk):
    now = datetime.fromtimestamp(0, UTC)
    silence(desk.journal, "tests", lasting=timedelta(minutes=5), subsystem="E*", who="me", now=now)
    assert desk.all(mean=".ee......") == [[]] * 9
    assert desk.only.settled


def test_an_acknowledgement_stops_the_escalation_and_ends_with_the_alarm(desk):
    policy = Policy(escalate_after=180, receivers=("shift",))
    settings = Settings(policies={"mean": policy}, escalate_to=("expert",))
    text = {SUBJECT: "e" * 20}
    assert desk.at(1, text, settings) == [(News.FIRING, ["mean"])]
    assert desk.at(3, text, settings) == []
    assert desk.at(4, text, settings) == [(News.ESCALATED, ["mean"])]
    assert desk.at(9, text, settings) == []
    quiet = Desk(settings, "memory://quiet")
    quiet.at(1, text)
    acknowledge(quiet.journal, quiet.only.id, "I look at it", "me")
    assert [quiet.at(minute, text) for minute in range(2, 12)] == [[]] * 10
    fresh = {SUBJECT: "e" * 12 + "." + "e" * 9}
    assert quiet.at(13, fresh) == [(News.RESOLVED, ["mean"])]
    assert quiet.at(14, fresh) == [(News.FIRING, ["mean"])]
    assert quiet.at(18, fresh) == [(News.ESCALATED, ["mean"])]


def test_alarms_of_a_group_are_announced_together_and_later_ones_wait_a_little(desk):
    policy = Policy(group="tracks")
    desk.settings = Settings(policies={"mean": policy, "width": policy, "tail": policy})
    found = desk.all(mean=".eeeeeeeee", width=".eeeeeeeee", tail="..eeeeeeee")
    assert found[1] == [(News.FIRING, ["mean", "width"])]
    assert found[2:6] == [[]] * 4
    assert found[6] == [(News.FIRING, ["tail"])]


def test_while_one_is_on_nothing_is_sent_about_those_it_inhibits(desk):
    desk.settings = Settings(policies={"high voltage": Policy(inhibits=("mean",))})
    found = desk.all(**{"high voltage": ".eee...", "mean": ".eeeeee"})
    assert [sent for sent in found if sent] == [
        [(News.FIRING, ["high voltage"])], [(News.RESOLVED, ["high voltage"]), (News.FIRING, ["mean"])]
    ]  # fmt: skip


def test_nothing_is_sent_about_old_data_until_new_ones_show_the_same(desk):
    settings = Settings(max_age=timedelta(minutes=10))
    text = {SUBJECT: "ee"}
    assert desk.at(100, text, settings) == []
    assert not desk.only.settled
    assert desk.at(101, {SUBJECT: "ee" + "?" * 98 + "e"}, settings) == [(News.FIRING, ["mean"])]


def test_an_acceptance_that_is_taken_back_lets_its_alarm_come_back_once(desk):
    assert desk.at(2, {SUBJECT: ".w"}) == [(News.FIRING, ["mean"])]
    accept_warning(desk.journal, desk.only, "fewer triggers", "me")
    assert desk.at(3, {SUBJECT: "..."}) == [(News.RESOLVED, ["mean"])]
    assert desk.only.alarm.state is State.CLOSED
    undo_accept_warning(desk.journal, desk.only, who="me")
    assert desk.at(4, {SUBJECT: ".www"}) == [(News.FIRING, ["mean"])]
    assert desk.at(5, {SUBJECT: ".wwww"}) == []
    assert desk.at(6, {SUBJECT: ".wwww."}) == [(News.RESOLVED, ["mean"])]


def test_the_alarm_of_a_rule_that_was_removed_says_so(desk):
    desk.at(2, {SUBJECT: ".e"})
    people = People(desk.journal.entries())
    now = datetime.fromtimestamp(180, UTC)
    words = {
        bool(policies): reconcile(desk.records.values(), [], people, Settings(policies=policies), now).history[0][2]
        for policies in ({"mean": Policy()}, {})
    }
    assert words[False] == "there is no rule 'mean' any more: it was removed or renamed"
    assert "recomputation" in words[True]


def test_a_problem_that_a_recomputation_does_not_find_is_over_with_the_reason(desk):
    desk.at(2, {SUBJECT: ".e"})
    assert desk.at(3, {SUBJECT: "..."}) == [(News.RESOLVED, ["mean"])]
    assert desk.only.alarm.state is State.WITHDRAWN
    assert desk.at(4, {SUBJECT: "...."}) == []
    assert desk.at(5, {SUBJECT: ".eeee"}) == [(News.FIRING, ["mean"])]  # there after all


def test_a_closed_alarm_is_over_until_its_problem_comes_anew(desk):
    text = {SUBJECT: "eee..e"}
    desk.at(1, text)
    close(desk.journal, desk.only.id, "that histogram is gone", "me")
    assert [desk.at(minute, text) for minute in range(2, 7)] == [
        [(News.RESOLVED, ["mean"])], [], [], [], [(News.FIRING, ["mean"])]
    ]  # fmt: skip


def test_an_incident_that_becomes_part_of_another_one_is_told_once(desk):
    first, second = (Subject(Kind.INCIDENT, name, "EMC") for name in ("aaaa", "bbbb"))
    assert desk.at(2, {second: ".e"}) == [(News.FIRING, ["incident"])]
    assert desk.at(3, {first: "eee"}, renamed={second: first}) == []
    assert desk.only.alarm.subject == first
    assert desk.at(4, {first: "eee."}) == [(News.RESOLVED, ["incident"])]


@pytest.mark.parametrize("texts", [{"mean": ".ee.w?.", "width": "e..ee??."}])
def test_the_order_in_which_reports_come_changes_no_alarm(texts):
    subjects = {Subject(Kind.RULE, name, "EMC", "h"): text for name, text in texts.items()}
    found = []
    for order in [*permutations(range(7))][::97]:
        desk = Desk(location=f"memory://order {order}")
        known = dict.fromkeys(subjects, "?" * 8)
        for minute in order:
            for subject, text in subjects.items():
                known[subject] = known[subject][:minute] + text[minute] + known[subject][minute + 1 :]
            desk.at(8, known)
        for subject, text in subjects.items():
            known[subject] = text
        desk.at(8, known)
        now = {record.alarm for record in desk.records.values() if record.alarm.state is not State.WITHDRAWN}
        found.append({replace(alarm, missed=0) for alarm in now})
        for identity, record in desk.records.items():
            announced, resolved = (desk.sent.count((news, identity)) for news in (News.FIRING, News.RESOLVED))
            assert announced == resolved + record.alarm.state.on
    assert all(one == found[0] for one in found)


def test_records_are_read_as_they_were_written():
    (alarm,) = lives(reports("we"), SUBJECT, Timing())
    now = datetime(2018, 6, 1, 12, tzinfo=UTC)
    record = Record(id="x", alarm=alarm, announced=now, announced_as=Quality.WARNING, escalated=now, silenced="s")
    assert Record.from_dict("x", record.to_dict()) == record
