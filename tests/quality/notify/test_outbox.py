"""The outbox: each piece of news of each alarm once for each receiver, in the transaction of the alarms."""

import pytest

from owtrend.errors import StoreError
from owtrend.quality.alarms.alarm import Kind
from owtrend.quality.alarms.notice import News
from owtrend.quality.flag import Quality
from owtrend.quality.notify.deliver import deliver
from owtrend.quality.notify.outbox import queue
from tests.notices import NOW, Inbox, config, item, later, memory, notice, queued


def delivered(journal, settings, now=NOW):
    """What each receiver gets when everything that waits is delivered."""
    boxes = {receiver.logger: Inbox() for receiver in settings.receivers.values()}
    deliver(journal, settings, now=now, senders=lambda receiver: boxes[receiver.logger])
    return {name: box.got for name, box in boxes.items()}


def named(*names, **settings):
    return config(**settings, receivers={name: {"type": "log", "logger": name} for name in names})


def test_a_message_is_queued_once_however_often_the_engine_says_it():
    journal, settings = memory(), named("a", "b")
    first = queued(journal, settings, notice())
    assert len(first) == 2
    assert queued(journal, settings, notice(), notice()) == []
    got = delivered(journal, settings)
    assert {name: [one.id for one in messages] for name, messages in got.items()} == {"a": first[:1], "b": first[1:]}


def test_an_alarm_that_was_announced_in_another_group_is_not_announced_again():
    journal, settings = memory(), named("a")
    queued(journal, settings, notice(item(1), item(2)))
    queued(journal, settings, notice(item(2), item(3)))
    assert [one.alarms for one in delivered(journal, settings)["a"]] == [
        (item(1).id, item(2).id), (item(3).id,)
    ]  # fmt: skip


def test_a_second_round_of_the_same_news_is_another_message():
    journal, settings = memory(), named("a")
    rounds = [queued(journal, settings, notice(item(round=number), news=News.STILL)) for number in (0, 1, 1)]
    assert [len(ids) for ids in rounds] == [1, 1, 0]


def test_ids_do_not_depend_on_the_order_of_alarms_or_the_time():
    one, other, settings = memory(), memory(), named("a")
    first = queued(one, settings, notice(item(1), item(2)))
    assert queued(other, settings, notice(item(2), item(1)), now=later(99)) == first


def test_resolved_goes_to_everybody_who_knows_of_it_and_to_nobody_else():
    day = {"to": ["day"], "between": "08:00-19:00"}
    settings = named("day", "night", "boss", routes=[day, {"to": ["night"], "between": "19:00-08:00"}])
    journal = memory()
    queued(journal, settings, notice(), notice(news=News.ESCALATED, receivers=("boss",)))
    queued(journal, settings, notice(item(minutes=120), item(9, minutes=1), news=News.RESOLVED), now=later(120))
    got = delivered(journal, settings, later(120))
    assert [one.news for one in got["day"]] == ["firing", "resolved"]
    assert [one.news for one in got["boss"]] == ["escalated", "resolved"]
    assert [one.alarms for one in got["day"]][-1] == (item().id,)
    assert got["night"] == []


def test_an_alarm_that_is_there_again_is_announced_and_resolved_again_to_those_who_then_learn_of_it():
    settings = named("day", "night", routes=[{"to": ["day"], "between": "08:00-19:00"},
                                             {"to": ["night"], "between": "19:00-08:00"}])  # fmt: skip
    journal = memory()
    queued(journal, settings, notice(), notice(item(minutes=3), news=News.RESOLVED))
    again = notice(item(round=1)), notice(item(round=1), news=News.ESCALATED), notice(item(round=2), news=News.STILL)
    queued(journal, settings, *again, now=later(120))
    for _ in range(2):
        queued(journal, settings, notice(item(minutes=150, round=2), news=News.RESOLVED), now=later(150))
    got = {name: [one.news for one in messages] for name, messages in delivered(journal, settings, later(150)).items()}
    assert got == {
        "day": ["firing", "resolved"], "night": ["firing", "escalated", "still there", "resolved"],
    }  # fmt: skip


@pytest.mark.parametrize(("route", "fits"), [
    ({}, True),
    ({"subsystem": "E*"}, True),
    ({"subsystem": "TPC"}, False),
    ({"level": "error"}, False),
    ({"owner": "ana*"}, True),
    ({"owner": "bob"}, False),
    ({"histogram": "*FastOR*"}, True),
    ({"histogram": "x"}, False),
    ({"rule": "too many*"}, True),
    ({"rule": "x"}, False),
    ({"kinds": ["incident", "source"]}, False),
    ({"between": "18:00-18:10"}, False),
    ({"between": "18:10-18:11"}, True),
    ({"between": "19:00-20:00", "timezone": "Europe/Zurich"}, True),
    ({"weekdays": ["sat"]}, True),
    ({"weekdays": ["sun"]}, False),
])  # fmt: skip
def test_a_route_fits_what_it_names(route, fits):
    settings = named("a", routes=[{"to": ["a"], **route}])
    assert len(queued(memory(), settings, notice(item(quality=Quality.WARNING, owner="ana maria")))) == fits


def test_the_night_belongs_to_the_day_on_which_it_begins():
    settings = named("a", routes=[{"to": ["a"], "between": "20:00-08:00", "weekdays": ["sat"]}])  # NOW is a Saturday
    hours = {hour: len(queued(memory(), settings, notice(), now=later(60 * hour))) for hour in (-15, 1, 3, 13, 14, 26)}
    assert hours == {-15: 0, 1: 0, 3: 1, 13: 1, 14: 0, 26: 0}


def test_all_routes_that_fit_are_taken_and_each_receiver_gets_its_part_once():
    settings = named("emc", "all", routes=[{"to": ["emc", "all"], "subsystem": "EMC"}, {"to": ["all"]}])
    journal = memory()
    queued(journal, settings, notice(item(1), item(2, subsystem="TPC")))
    got = delivered(journal, settings)
    assert [one.alarms for one in got["emc"]] == [(item(1).id,)]
    assert [one.alarms for one in got["all"]] == [(item(1).id, item(2).id)]


def test_a_receiver_that_is_not_configured_leaves_it_to_the_routes(caplog):
    assert len(queued(memory(), named("a"), notice(receivers=("gone",)))) == 1
    assert "no such receivers of alarms" in caplog.text


def test_a_rule_pattern_never_fits_an_incident():
    settings = named("a", routes=[{"to": ["a"], "rule": "x"}])
    assert queued(memory(), settings, notice(item(kind=Kind.INCIDENT, name="x"))) == []


def test_what_is_queued_is_there_if_and_only_if_the_transaction_is():
    journal, settings = memory(), named("a")

    def fail():
        with journal.connection(writes=True) as connection:
            assert queue(connection, [notice()], settings, NOW)
            connection.exec_driver_sql("no SQL")

    with pytest.raises(StoreError):
        fail()
    assert delivered(journal, settings) == {"a": []}
    assert len(queued(journal, settings, notice())) == 1


def test_without_receivers_nothing_is_queued_and_no_table_made():
    journal = memory()
    assert queued(journal, config(receivers={}), notice()) == []
    assert deliver(journal, config(), now=NOW).next_due is None
