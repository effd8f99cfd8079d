"""What people see of notifications on the command line."""

import json
from datetime import timedelta

import pytest

from owtrend.cli import main
from owtrend.cli.notifying import pictures_of
from owtrend.quality.journal import Journal
from owtrend.quality.notify.deliver import deliver
from owtrend.quality.notify.message import Answer, Drawing, Outcome
from tests import builders
from tests.notices import NOW, Inbox, config, notice, queued
from tests.servers import web_server

CONFIG = "alarms: {receivers: {shift: {type: slack, url_env: CHAT_URL}}}"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    (tmp_path / "owtrend.yaml").write_text(CONFIG)
    return str(tmp_path / "owtrend.yaml")


def test_a_test_message_is_sent_and_its_answer_printed(settings, monkeypatch, capsys):
    with web_server() as server:
        monkeypatch.setenv("CHAT_URL", server.url("/xyzzyplugh"))
        assert main.status(["alarms", "test", "shift", "-c", settings]) == 0
        assert capsys.readouterr().out == "shift: sent (200 ok)\n"
        server.plan = lambda _: (404, {}, "no_service /xyzzyplugh")
        assert main.status(["alarms", "test", "shift", "-c", settings]) == 1
        assert capsys.readouterr().err == "owtrend: receiver shift: not sent: 404 no_service ***\n"
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["test", "shfit", "-c", "{}"], 1, "no receiver 'shfit'; did you mean 'shift'?; there are shift"),
        (["test", "shift", "-c", "{}"], 1, "environment variable 'CHAT_URL': no secret there"),
        (["test", "shift"], 1, "name the configuration"),
        (["store", "shift"], 2, "one STORE"),
    ],
)
def test_a_test_message_that_cannot_be_sent_is_one_line(arguments, status, words, settings, monkeypatch, capsys):
    monkeypatch.delenv("CHAT_URL", raising=False)
    assert main.status(["alarms", *(one.format(settings) for one in arguments)]) == status
    assert words in capsys.readouterr().err


def test_deliver_tries_what_is_due_and_says_what_became_of_it(settings, tmp_path, monkeypatch, capsys):
    builders.append(tmp_path / "store", [builders.snapshot(1)])
    queued(Journal(tmp_path / "store"), config("shift"), notice(), now=NOW - timedelta(days=1000))
    command = ["deliver", str(tmp_path / "store"), "-c", settings]
    with web_server(lambda number: (404, {}, "gone") if number == 0 else (200, {}, "ok")) as server:
        monkeypatch.setenv("CHAT_URL", server.url("/xyzzyplugh"))
        assert main.status(command) == 1
        first, second = capsys.readouterr().out.splitlines()
        assert "0 sent, 0 failed, 1 refused; the next is due at 2" in first
        assert second == "Receiver shift: 404 gone"
        assert main.status([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["sent"] == 0  # it is not due yet
    assert len(server.requests) == 1


def test_status_names_receivers_that_are_not_reached(tmp_path, capsys):
    builders.append(tmp_path / "store", [builders.snapshot(minute) for minute in (1, 2)])
    journal = Journal(tmp_path / "store")
    queued(journal, config("shift"), notice())
    refuses = Inbox(lambda _: Answer(Outcome.REFUSED, "404 Not Found"))
    deliver(journal, config("shift"), now=NOW, senders=lambda _: refuses)
    assert main.status(["status", str(tmp_path / "store")]) == 0
    line = "Receiver shift: 1 message not delivered, 1 refused, the oldest since 2026-11-28 18:10 UTC; it answered: 404"
    assert line in capsys.readouterr().out
    assert main.status(["status", str(tmp_path / "store"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["undelivered"]
    assert (row["receiver"], row["refused"], row["answer"]) == ("shift", 1, "404 Not Found")


@pytest.mark.slow
def test_pictures_are_drawn_from_the_store(tmp_path):
    builders.append(tmp_path / "store", [builders.snapshot(minute) for minute in (1, 2, 3)])
    start = int(builders.START.astype("int64"))
    drawing = Drawing("EMC", 300000, "h", start + 60 * 10**9, start + 180 * 10**9)
    assert pictures_of(str(tmp_path / "store"))(drawing).startswith(b"\x89PNG")
