"""The engine over days: restarts, gaps, several processes, and the journal afterwards."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from owtrend.quality.alarms import engine
from owtrend.quality.alarms.alarm import Kind, Report, State, Subject, Timing
from owtrend.quality.alarms.engine import Observed, records, update, window
from owtrend.quality.alarms.notice import News
from owtrend.quality.alarms.people import acknowledge, comment
from owtrend.quality.alarms.reconcile import Settings
from owtrend.quality.alarms.sources import Coverage
from owtrend.quality.flag import Quality
from owtrend.quality.journal import Action, Journal
from owtrend.quality.notify import outbox
from owtrend.quality.notify.deliver import deliver
from owtrend.quality.notify.message import Answer, Outcome
from tests.notices import Inbox, config
from tests.quality.alarms.test_alarm import MINUTE

DAY = 1440
BEGIN = int(datetime(2018, 6, 1, tzinfo=UTC).timestamp() * 1e9)
RUN = 720  # minutes


def at(minute):
    return datetime(2018, 6, 1, tzinfo=UTC) + timedelta(minutes=minute)


class Detector:
    """Rules that see faults; snapshots are lost in gaps that begin within faults."""

    def __init__(self, days, faults_a_day, seed):
        draw = random.Random(seed)
        self.bad = {}  # by subject, minutes
        self.gaps = set()
        self.faults = []
        for day in range(days):
            for number in range(faults_a_day):
                subject = Subject(Kind.RULE, f"rule {number}", "EMC", "h")
                first = day * DAY + draw.randrange(100, 1000)
                last = first + draw.randrange(20, 180)
                self.faults.append((subject, first, last))
                self.bad.setdefault(subject, set()).update(range(first, last))
            gap = self.faults[-1][1] + 5
            self.gaps.update(range(gap, gap + draw.randrange(10, 60)))

    def observed(self, minute):
        """What is known when a minute has ended."""
        newest = minute // RUN
        runs = [
            (run, BEGIN + run * RUN * MINUTE, BEGIN + min((run + 1) * RUN, minute + 1) * MINUTE, RUN)
            for run in range(max(newest - 3, 0), newest + 1)
        ]
        covered = {"EMC": Coverage(tuple(runs))}
        begin = window(covered)
        first = (begin - BEGIN) // MINUTE
        reports = {
            subject: [
                self.report(subject, number) for number in range(first, minute + 1) if number not in self.gaps
            ]
            for subject in self.bad
        }  # fmt: skip
        timings = {subject.name: Timing(hold_reports=2, keep=2 * MINUTE) for subject in self.bad}
        return Observed(incidents=(), covered=covered, begin=begin, reports=reports, timings=timings)

    def report(self, subject, minute):
        quality = Quality.ERROR if minute in self.bad[subject] else Quality.OK
        start = BEGIN + minute * MINUTE
        return Report(start, start + MINUTE, quality, quality is Quality.OK, "too high", minute // RUN)


def days_of(days, faults, seed, step=7):
    """What a receiver got in some days, with an update every few minutes, each by a process of its own.

    The receiver fails a third of the time.
    """
    detector, journal, dice = Detector(days, faults, seed), Journal(f"memory://days {seed}"), random.Random(seed)
    settings = config("shift")
    box = Inbox(lambda _: Answer(Outcome.RETRY if dice.random() < 1 / 3 else Outcome.SENT, ""))

    def send(minute):
        return deliver(Journal(journal.location), settings, now=at(minute), senders=lambda _: box)

    for minute in range(10, days * DAY, step):
        queue = partial(outbox.queue, settings=settings, now=at(minute))
        update(
            Journal(journal.location), detector.observed(minute), Settings(), now=at(minute),
            incident_quality=Quality.ERROR, queue=queue,
        )  # fmt: skip
        send(minute)
    minute = days * DAY
    while send(minute).next_due is not None:
        minute += 15
    return detector, box, journal


@pytest.mark.parametrize(
    ("days", "faults", "step"),
    [pytest.param(1, 4, 30, id="quick"), pytest.param(30, 10, 7, marks=pytest.mark.study, id="thirty days")],
)
def test_each_problem_is_announced_once_and_resolved_once_and_never_while_data_are_missing(days, faults, step):
    detector, box, journal = days_of(days, faults, seed=1, step=step)
    news = Counter((message.news, alarm) for message in box.got for alarm in message.alarms)
    assert len(box.tries) > 1.2 * len(box.got)
    assert set(news.values()) == {1}
    found = {record.id: record for record in records(journal)[0]}
    wanted = {  # faults of one rule that touch are one problem
        (subject, first) for subject, first, _ in detector.faults if first - 1 not in detector.bad[subject]
    }
    begun = {(record.alarm.subject, (record.alarm.start - BEGIN) // MINUTE) for record in found.values()}
    seen = {(subject, first) for subject, first in wanted if first not in detector.gaps}
    assert seen <= begun
    assert len(begun) <= len(wanted) + len(detector.gaps)
    for identity, record in found.items():
        assert news[News.FIRING, identity] == 1
        assert news[News.RESOLVED, identity] == (record.alarm.state is State.RESOLVED)
        if record.alarm.stop is not None:
            minute = (record.alarm.stop - BEGIN) // MINUTE - 1
            assert minute not in detector.gaps
            assert minute not in detector.bad[record.alarm.subject]


def test_the_journal_keeps_what_became_of_each_alarm_and_what_people_said():
    _, _, journal = days_of(1, 2, seed=2, step=30)
    (first, *_), _ = records(journal)
    acknowledge(journal, first.id, "looking", "me")
    comment(journal, first.id, "it was the high voltage", "you")
    history = [entry for entry in journal.entries() if entry.subject == first.id]
    states = [entry.details["state"] for entry in history if entry.action is Action.ALARM]
    assert [states[0], states[-1]] == [State.FIRING, State.RESOLVED]
    assert [entry.action for entry in history[len(states) :]] == [Action.ACKNOWLEDGE, Action.COMMENT]
    assert {entry.who for entry in history} == {engine.ENGINE, "me", "you"}


def test_an_update_that_fails_leaves_nothing_behind(tmp_path):
    detector, journal = Detector(1, 1, 3), Journal(tmp_path)
    minute = detector.faults[0][1] + 4

    def fail(*_):
        raise RuntimeError

    def once(queue):
        return update(
            journal, detector.observed(minute), Settings(), now=at(minute), incident_quality=Quality.ERROR, queue=queue
        )

    with pytest.raises(RuntimeError):
        once(fail)
    assert records(journal) == ([], [])
    assert len(once(lambda *_: None).notices) == 1
    assert once(fail).notices == ()


def test_a_pending_alarm_is_listed_and_nothing_else():
    detector = Detector(1, 1, 3)
    journal, minute = Journal("memory://pending"), detector.faults[0][1]
    status = update(
        journal, detector.observed(minute), Settings(), now=at(minute), incident_quality=Quality.ERROR
    )  # fmt: skip
    assert (status.records, len(status.pending), status.notices) == ((), 1, ())
    assert records(journal) == ([], [*status.pending])
