"""Messages at real servers: each arrives once, through outages, failures of every kind, and two processes at once."""

import json
import logging
import multiprocessing
import sqlite3
from collections import Counter
from datetime import timedelta

import pytest

from owtrend.config.alarms import AlarmConfig
from owtrend.quality.journal import FILE, Journal
from owtrend.quality.notify.deliver import deliver, status
from tests.notices import NOW, Inbox, item, memory, notice, queued
from tests.servers import MID_ANSWER, OK, RESET, SILENT, mail_server, web_server

SECRETS = {
    "CHAT": "/services/T0123/xyzzyplughfoobar",
    "KEY": "correct horse",
    "HOOK": "/hook/plughxyzzy?token=quuxquux",
}
FAILURES = (RESET, MID_ANSWER, (500, {}, "oops"), (429, {"Retry-After": "90"}, "slow down"), SILENT)


@pytest.fixture
def secret_words(monkeypatch):
    def set_up(web):
        for name, text in SECRETS.items():
            monkeypatch.setenv(name, web.url(text) if text.startswith("/") else text)
        return ["xyzzyplugh", "plughxyzzy", "quuxquux", "correct horse", "correct+horse", "Y29ycmVjdCBob3Jz"]

    return set_up


def settings_for(mail, **more):
    smtp = {"type": "smtp", "host": "127.0.0.1", "port": mail.port, "security": "none", "sender": "owtrend@example.org",
            "to": ["shift@example.org"], "timeout": 0.3}  # fmt: skip
    web = {
        "slack": {"type": "slack", "url_env": "CHAT", "timeout": 0.3},
        "mattermost": {"type": "mattermost", "url_env": "CHAT", "timeout": 0.3},
        "webhook": {"type": "webhook", "url_env": "HOOK", "key_env": "KEY", "timeout": 0.3},
    }
    return AlarmConfig.model_validate({"receivers": {"mail": smtp, **web}, "rate": "500 per hour", **more})


def until_all_arrived(journal, settings, now=NOW):
    """Deliver whenever something is due, for a day at most."""
    for _ in range(300):
        due = deliver(journal, settings, now=now).next_due
        if due is None:
            return now
        assert due < NOW + timedelta(days=1)
        now = max(due, now + timedelta(seconds=1))
    raise AssertionError("something still waits")


def arrived(web, mail):
    """How often each piece of news arrived, by the way it came."""
    found = Counter(letter["Message-ID"] for letter in mail.letters)
    for body in web.bodies():
        found[body.get("id") or json.dumps(body)] += 1
    return found


@pytest.mark.parametrize("messages", [2, pytest.param(20, marks=pytest.mark.study)])
@pytest.mark.slow
def test_each_message_arrives_once_although_a_third_of_the_tries_fail(messages, secret_words, caplog):
    def plan(number):
        return FAILURES[number // 3 % len(FAILURES)] if number % 3 == 1 else OK

    journal = memory()
    with (
        caplog.at_level(logging.DEBUG),
        web_server(plan) as web,
        mail_server(lambda number: "451 later" if number % 3 == 1 else "250 OK") as mail,
    ):
        words = secret_words(web)
        settings = settings_for(mail)
        queued(journal, settings, *(notice(item(number)) for number in range(messages)))
        until_all_arrived(journal, settings)
    assert set(arrived(web, mail).values()) == {1}
    assert (len(web.accepted), len(mail.letters)) == (3 * messages, messages)
    assert len(web.requests) > len(web.accepted)
    keys = Counter(headers.get("Idempotency-Key") for _, headers, _ in web.requests)
    assert len(keys) == messages + 1  # those of the webhook, and none
    assert max(Counter(mail.tries).values()) > 1  # the same Message-ID at each try
    # what was logged, kept and answered
    assert not [word for word in words if word in caplog.text]
    with journal.connection(writes=False) as connection:
        kept = [str(row) for name in ("outbox", "outbox_said") for row in
                connection.exec_driver_sql(f"SELECT * FROM {name}")]  # fmt: skip
    assert kept
    assert not [word for word in words if word in "".join(kept)]


@pytest.mark.slow
def test_after_an_outage_of_an_hour_everything_arrives_once_and_in_order(secret_words):
    journal = memory()
    with web_server(lambda _: (503, {}, "down")) as web, mail_server(lambda _: "421 down") as mail:
        secret_words(web)
        settings = settings_for(mail)
        queued(journal, settings, *(notice(item(number)) for number in range(3)))
        for minute in range(0, 60, 5):
            deliver(journal, settings, now=NOW + timedelta(minutes=minute))
        assert (web.accepted, mail.letters) == ([], [])
        assert {row["receiver"]: row["waiting"] for row in status(journal, settings)} == dict.fromkeys(
            settings.receivers, 3
        )  # fmt: skip
        web.plan, mail.plan = lambda _: OK, lambda _: "250 OK"
        end = until_all_arrived(journal, settings, NOW + timedelta(minutes=60))
    assert set(arrived(web, mail).values()) == {1}
    assert (len(web.accepted), len(mail.letters)) == (9, 3)
    assert end <= NOW + timedelta(minutes=95)


def test_a_try_whose_answer_was_lost_is_repeated_with_the_same_key_and_body(secret_words):
    journal = memory()
    with web_server(lambda number: RESET if number == 0 else OK) as web, mail_server() as mail:
        secret_words(web)
        settings = settings_for(mail)
        settings = settings.model_copy(update={"receivers": {"webhook": settings.receivers["webhook"]}})
        queued(journal, settings, notice())
        until_all_arrived(journal, settings)
    (_, first, body), (_, second, again) = web.requests
    assert (first["Idempotency-Key"], body) == (second["Idempotency-Key"], again)


def _deliver_for_a_while(location, settings, path, barrier):
    class Slow(Inbox):
        def send(self, message):
            with path.open("a") as stream:
                stream.write(f"{message.id}\n")
            return super().send(message)

    barrier.wait()
    for _ in range(10):
        deliver(Journal(location), settings, now=NOW, senders=lambda _: Slow())


@pytest.mark.slow
def test_two_processes_that_deliver_at_once_send_once(tmp_path):
    journal = Journal(tmp_path)
    settings = AlarmConfig.model_validate({"receivers": {"a": {"type": "log"}}, "rate": "1000 per hour"})
    ids = queued(journal, settings, *(notice(item(number)) for number in range(40)))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    work = (tmp_path, settings, tmp_path / "sent.txt", barrier)
    both = [context.Process(target=_deliver_for_a_while, args=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    assert sorted((tmp_path / "sent.txt").read_text().split()) == sorted(ids)
    with sqlite3.connect(tmp_path / FILE) as kept:
        assert kept.execute("SELECT count(*), max(tries), count(sent) FROM outbox").fetchone() == (40, 1, 40)
    kept.close()
