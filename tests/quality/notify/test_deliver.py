"""Delivery: once, also when receivers fail, processes die, and clocks jump."""

import random
import time
from collections import Counter
from datetime import timedelta

import pytest

from owtrend.quality.alarms.notice import News
from owtrend.quality.flag import Quality
from owtrend.quality.journal import outbox
from owtrend.quality.notify.backoff import delay
from owtrend.quality.notify.deliver import deliver, status
from owtrend.quality.notify.message import Answer, Outcome
from owtrend.quality.notify.outbox import nanoseconds
from tests.notices import NOW, Inbox, config, item, later, memory, notice, queued

SENT, RETRY, REFUSED = (Answer(outcome, outcome.value) for outcome in Outcome)
MINUTE = 60 * 10**9


def run(journal, settings, box, now=NOW):
    return deliver(journal, settings, now=now, senders=lambda _: box)


def test_a_message_that_fails_is_tried_when_it_is_due_and_has_the_same_id():
    journal, settings, answers = memory(), config(), iter([RETRY, RETRY, SENT])
    box = Inbox(lambda _: next(answers))
    (identity,) = queued(journal, settings, notice())
    summary, now = run(journal, settings, box), NOW
    assert (summary.failed, summary.sent, summary.problems) == (1, 0, {"shift": "retry"})
    assert run(journal, settings, box).failed == 0  # it is not due
    while summary.next_due is not None:
        assert summary.next_due > now
        now = summary.next_due
        summary = run(journal, settings, box, now)
    assert ([one.id for one in box.tries], len(box.got)) == ([identity] * 3, 1)
    (row,) = status(journal, settings)
    assert (row["last_sent"], row["waiting"], row["oldest"]) == (now, 0, None)


def test_waits_double_up_to_half_an_hour_and_what_is_refused_is_tried_far_less_often():
    waits = [delay("x", tries, RETRY) / MINUTE for tries in range(1, 12)]
    assert waits[:3] == [pytest.approx(0.25 * 2**n, rel=0.26) for n in range(3)]
    assert max(waits) <= 30
    assert min(waits[-3:]) >= 22
    assert delay("x", 1, REFUSED) >= 45 * MINUTE
    assert delay("x", 20, REFUSED) <= 24 * 60 * MINUTE
    assert delay("x", 10**6, RETRY) <= 30 * MINUTE
    assert len({delay(str(number), 5, RETRY) for number in range(50)}) > 20


def test_a_server_that_asks_for_time_gets_it_up_to_six_hours():
    assert delay("x", 1, Answer(Outcome.RETRY, "", 3600.0)) == 60 * MINUTE
    assert delay("x", 1, Answer(Outcome.RETRY, "", 1e300)) == 360 * MINUTE
    assert delay("x", 1, Answer(Outcome.RETRY, "", -5.0)) == delay("x", 1, RETRY)


def test_a_receiver_that_is_away_costs_two_tries_not_one_per_message():
    journal, settings = memory(), config()
    queued(journal, settings, *(notice(item(number)) for number in range(9)))
    box = Inbox(lambda _: RETRY)
    summary = run(journal, settings, box)
    assert len(box.tries) == 2
    assert NOW < summary.next_due < later(1)
    box.answers = lambda _: SENT
    assert run(journal, settings, box, later(1)).sent == 9


def _broken(message) -> Answer:
    raise ZeroDivisionError


def test_one_receiver_that_fails_does_not_hold_up_another():
    journal = memory()
    settings = config(receivers={name: {"type": "log", "logger": name} for name in ("bad", "good")})
    queued(journal, settings, notice())
    boxes = {"bad": Inbox(_broken), "good": Inbox()}
    summary = deliver(journal, settings, now=NOW, senders=lambda receiver: boxes[receiver.logger])
    assert (summary.sent, summary.failed) == (1, 1)
    assert "ZeroDivisionError" in summary.problems["bad"]


def test_resolved_waits_until_the_problem_was_announced():
    journal, settings = memory(), config()
    queued(journal, settings, notice())
    answers = iter([RETRY])
    box = Inbox(lambda _: next(answers, SENT))
    run(journal, settings, box)
    queued(journal, settings, notice(item(minutes=1), news=News.RESOLVED))
    assert run(journal, settings, box).sent == 0
    run(journal, settings, box, later(1))
    assert [one.news for one in box.got] == ["firing", "resolved"]


def test_a_message_that_is_refused_holds_up_nothing_and_status_names_it():
    journal, settings = memory(), config()
    queued(journal, settings, notice())
    box = Inbox(lambda _: Answer(Outcome.REFUSED, "404 Not Found"))
    assert run(journal, settings, box).refused == 1
    queued(journal, settings, notice(item(minutes=1), news=News.RESOLVED), notice(item(2)), now=later(1))
    box.answers = lambda _: SENT
    assert run(journal, settings, box, later(1)).sent == 2
    assert run(journal, settings, box, later(40)).sent == 0
    (row,) = status(journal, settings)
    assert (row["waiting"], row["refused"], row["answer"], row["oldest"]) == (1, 1, "404 Not Found", NOW)
    assert run(journal, settings, box, later(76)).sent == 1


def test_a_process_that_dies_between_claim_and_answer_loses_nothing():
    journal, settings = memory(), config()
    (identity,) = queued(journal, settings, notice())
    _claim(journal, NOW)
    box = Inbox()
    assert run(journal, settings, box, later(1)).next_due == later(5)
    assert run(journal, settings, box, later(5)).sent == 1
    assert [one.id for one in box.got] == [identity]


def _claim(journal, now):
    with journal.connection(writes=True) as connection:
        (row,) = outbox.waiting(connection, "shift", nanoseconds(now))
        assert outbox.claim(connection, row, "dead", nanoseconds(now))


@pytest.mark.parametrize("what", ["claim", "try", "queue"])
def test_a_clock_that_was_a_year_ahead_stops_nothing(what):
    journal, settings, future = memory(), config(), NOW + timedelta(days=365)
    queued(journal, settings, notice(), now=future if what == "queue" else NOW)
    if what == "claim":
        _claim(journal, future)
    elif what == "try":
        run(journal, settings, Inbox(lambda _: REFUSED), future)
    assert run(journal, settings, Inbox(), later(1)).sent == 1


def test_what_was_sent_by_a_wrong_clock_does_not_use_up_the_rate():
    journal, settings = memory(), config(rate="1 per hour")
    queued(journal, settings, notice())
    assert run(journal, settings, Inbox(), NOW + timedelta(days=365)).sent == 1
    queued(journal, settings, notice(item(2)))
    assert run(journal, settings, Inbox()).sent == 1


def test_more_than_the_rate_become_one_summary_at_once_and_later_ones_wait_for_the_next():
    journal, settings = memory(), config(rate="5 per hour", address="https://page.example.org")
    alarms = [item(number, quality=Quality.ERROR if number == 29 else Quality.WARNING) for number in range(30)]
    queued(journal, settings, *map(notice, alarms))
    box = Inbox()
    summary = run(journal, settings, box)
    assert (summary.sent, summary.held_back, summary.next_due) == (5, 26, None)
    assert box.got[0].alarms == (alarms[29].id,)  # errors first
    assert box.subjects[-1] == "26 messages held back: 26 warnings"
    assert [name for one in box.got for name in one.alarms] == [alarms[29].id, *(one.id for one in alarms[:29])]
    assert status(journal, settings)[0]["waiting"] == 0

    queued(journal, settings, notice(item(40)), notice(item(41)), now=later(10))
    summary = run(journal, settings, box, later(10))
    assert (summary.sent, summary.next_due) == (0, later(60))
    assert run(journal, settings, box, later(61)).sent == 2


@pytest.mark.slow
def test_thousands_of_messages_that_wait_take_a_second_or_two():
    journal, settings = memory(), config()
    began = time.process_time()
    queued(journal, settings, *(notice(item(number)) for number in range(3000)))
    run(journal, settings, Inbox(lambda _: RETRY))
    assert run(journal, settings, Inbox(), later(40)).held_back == 2981
    assert time.process_time() - began < 12  # about 2 s; when it grew with the square of their number, 18 s


def test_a_summary_that_fails_keeps_what_it_holds():
    journal, settings = memory(), config(rate="1 per hour")
    queued(journal, settings, notice(item(1)), notice(item(2)))
    answers = iter([RETRY])
    box = Inbox(lambda _: next(answers, SENT))
    run(journal, settings, box)
    queued(journal, settings, notice(item(1, minutes=1), news=News.RESOLVED))
    run(journal, settings, box, later(1))
    assert box.subjects == ["2 messages held back: 2 errors"]
    run(journal, settings, box, later(62))
    assert [one.news for one in box.got] == ["summary", "resolved"]


def test_a_receiver_that_left_the_configuration_keeps_its_messages():
    journal = memory()
    queued(journal, config("old"), notice())
    assert run(journal, config("new"), Inbox()).sent == 0
    rows = {row["receiver"]: row for row in status(journal, config("new"))}
    assert (rows["old"]["configured"], rows["old"]["waiting"]) == (False, 1)
    assert run(journal, config("old"), Inbox()).sent == 1


def test_pictures_are_drawn_once_for_all_and_one_that_fails_stops_nothing(caplog):
    journal, settings = memory(), config("a", "b")
    queued(journal, settings, notice(), notice(item(2, histogram="broken")))
    box, drawn = Inbox(shows_pictures=True), []

    def draw(drawing):
        drawn.append(drawing)
        return b"PNG" if drawing.histogram != "broken" else 1 / 0

    deliver(journal, settings, now=NOW, senders=lambda _: box, pictures=draw)
    assert (len(drawn), Counter(one.picture for one in box.got)) == (2, {b"PNG": 2, None: 2})
    assert "no picture of broken (ZeroDivisionError" in caplog.text


def _simulate(days, seed=1):
    """Ten problems a day, each resolved an hour later; a third of all tries fails, and every day has an outage."""
    dice, journal, settings = random.Random(seed), memory(), config("a", "b")
    box, outage = Inbox(), False

    def answer(message):
        return RETRY if outage or dice.random() < 1 / 3 else SENT

    box.answers = answer
    due = NOW
    for minute in range(0, days * 1440, 4):
        now = later(minute)
        outage = 600 <= minute % 1440 < 660
        new = [notice(item(minute))] if minute % 144 == 0 else []
        if minute >= 60 and (minute - 60) % 144 == 0:
            new.append(notice(item(minute - 60, minutes=60), news=News.RESOLVED))
        if new:
            queued(journal, settings, *new, now=now)
        if new or (due is not None and due <= now):
            due = run(journal, settings, box, now).next_due
    for minute in range(days * 1440, days * 1440 + 180, 4):
        outage = False
        run(journal, settings, box, later(minute))
    return journal, settings, box


@pytest.mark.parametrize("days", [pytest.param(1, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.study)])
def test_days_of_failing_receivers_lose_nothing_and_repeat_nothing(days):
    journal, settings, box = _simulate(days)
    received = Counter((one.id, one.news) for one in box.got)
    assert set(received.values()) == {1}
    assert Counter(news for _, news in received) == {"firing": 20 * days, "resolved": 20 * days}
    assert len(box.tries) > 1.3 * len(box.got)
    assert [row["waiting"] for row in status(journal, settings)] == [0, 0]
    order = [(one.thread, one.news) for one in box.got]
    assert all(order.index((thread, "firing")) < order.index((thread, "resolved")) for thread, _ in order)
