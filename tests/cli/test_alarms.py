"""owtrend alarms, ack, silence, comment, close: what a person types and reads."""

import json
import multiprocessing
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from owtrend.cli.main import main
from owtrend.errors import AmbiguousNameError, NotFoundError, StoreError, UsageError
from owtrend.quality.alarms import people, table
from owtrend.quality.alarms.alarm import Kind, Report, Subject, Timing
from owtrend.quality.alarms.engine import Observed, records, update
from owtrend.quality.alarms.reconcile import Settings
from owtrend.quality.flag import Quality
from owtrend.quality.journal import Action, Journal
from owtrend.store.repository import Store

MINUTE = 60 * 10**9
BEGIN = int(datetime(2018, 6, 1, 12, tzinfo=UTC).timestamp() * 1e9)
HOSTILE = "<script>\x1b[31m"


@pytest.fixture
def store(tmp_path):
    """A store with two alarms that are on, of rules on histograms with unpleasant names."""
    made = Store.create(tmp_path / "store")
    reports = {
        Subject(Kind.RULE, name, "EMC", HOSTILE): [
            Report(BEGIN, BEGIN + MINUTE, Quality.ERROR, False, f"mean 7; error: mean > 5 {HOSTILE}", 300000)
        ]
        for name in ("mean", "width")
    }
    timings = {"mean": Timing(), "width": Timing()}
    now = datetime(2018, 6, 1, 12, 1, tzinfo=UTC)
    observed = Observed(incidents=(), covered={}, reports=reports, timings=timings)
    update(Journal(made.location), observed, Settings(), now=now, incident_quality=Quality.ERROR)
    return made.location


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments], catch_exceptions=False, env={"COLUMNS": "250"})


def test_alarms_are_listed_with_since_when_and_why_and_names_cannot_move_the_cursor(store):
    shown = run("alarms", store).output
    assert "2 alarms on" in shown
    assert "2018-06-01 12:00:00" in shown
    assert "\x1b" not in shown
    assert f"owtrend ack {store} ID" in shown
    rows = json.loads(run("alarms", store, "--json").output)
    assert [(row["name"], row["state"], row["quality"], row["run"]) for row in rows] == [
        ("mean", "firing", "error", 300000), ("width", "firing", "error", 300000)
    ]  # fmt: skip


def test_people_acknowledge_comment_silence_and_close_and_the_history_says_so(store):
    first, second = (record.id for record in records(Journal(store))[0])
    assert "acknowledged" in run("ack", store, first[:6], "--note", "I look at it", "--user", "me").output
    run("comment", store, first, "--note", HOSTILE, "--user", "you")
    run("close", store, second, "--note", "gone", "--user", "me")
    silent = run("silence", store, "--subsystem", "EMC", "--for", "2h", "--note", "tests", "--user", "me").output
    rows = {row["id"]: row for row in json.loads(run("alarms", store, "--json").output)}
    assert (rows[first]["acknowledged"], rows[first]["silenced"], rows[second]["acknowledged"]) == ("me", True, "")
    history = run("alarms", store, "--history", first).output
    assert all(word in history for word in ("firing", "acknowledge", "I look at it", "you"))
    assert "\x1b" not in history
    assert "tests" in run("silence", store).output
    assert "ended" in run("silence", store, "--end", silent.split(":")[0]).output
    assert run("silence", store).output.strip().endswith("nothing")


def test_accepted_warnings_are_listed_with_accepted_incidents(store):
    journal = Journal(store)
    details = {"rule": "mean", "subsystem": "EMC", "histogram": HOSTILE, "start": BEGIN}
    journal.add(Action.ACCEPT_WARNING, "abc", note="known", who="me", details=details)
    shown = run("accept", store).output
    assert "1 accepted" in shown
    assert "warnings of rule mean: EMC <script>" in shown
    assert "\x1b" not in shown
    (row,) = json.loads(run("accept", store, "--json").output)
    assert (row["id"], row["who"], row["runs"]) == ("abc", "me", [])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (["ack", "ffff", "--note", "x"], NotFoundError, "no alarm 'ffff'"),
        (["ack", "FIRST"], UsageError, "say why with --note"),
        (["silence", "--subsystem", "EMC", "--note", "x"], UsageError, "a silence needs an end"),
        (["silence", "--for", "1000d", "--note", "x"], UsageError, "at most 90 days"),
        (["silence", "--for", "soon", "--note", "x"], UsageError, "not a length of time"),
        (["silence", "FIRST"], UsageError, "say why"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error_that_says_what_to_do(store, arguments, error, text):
    verb, *rest = arguments
    first = records(Journal(store))[0][0].id
    with pytest.raises(error, match=text):
        run(verb, store, *[first if one == "FIRST" else one for one in rest])
    assert len(Journal(store).entries(people.ACTIONS)) == 0


def test_an_alarm_that_is_over_takes_comments_only(store):
    over = records(Journal(store))[0][0].id
    people.close(Journal(store), over, "gone", "me")
    now = datetime(2018, 6, 1, 12, 2, tzinfo=UTC)
    update(Journal(store), Observed(incidents=(), covered={}), Settings(), now=now, incident_quality=Quality.ERROR)
    for verb in ("ack", "close", "silence"):
        with pytest.raises(UsageError, match="is over"):
            run(verb, store, over, "--note", "x")
    assert run("comment", store, over, "--note", "x").exit_code == 0
    assert len(Journal(store).entries(people.ACTIONS)) == 2


@pytest.mark.parametrize(
    ("part", "fields"), [("alarms", "{"), ("alarms", "{}"), ("alarm_progress", "{"), ("alarm_progress", "[]")]
)
def test_a_damaged_journal_is_one_error_that_says_what_to_do(store, part, fields):
    with closing(sqlite3.connect(Journal(store)._local)) as other, other:
        other.execute(f"update {part} set fields = ?", [fields])
    with pytest.raises(StoreError, match="put a copy of the journal in its place"):
        run("alarms", store)


def test_a_silence_that_cannot_be_read_is_an_error(store):
    Journal(store).add(Action.SILENCE, "ab", note="x", who="me", details={})
    with pytest.raises(StoreError, match="silence ab cannot be read"):
        run("alarms", store)


def test_an_id_that_fits_several_alarms_or_none_is_asked_for(store, monkeypatch):
    found, pending = records(Journal(store))
    alike = [replace(record, id=f"ab{number}") for number, record in enumerate(found)]
    monkeypatch.setattr(table, "records", lambda _: (alike, pending))
    assert table.find(Journal(store), "ab1") == alike[1]
    with pytest.raises(AmbiguousNameError, match="fits 2 alarms: ab0, ab1"):
        table.find(Journal(store), "ab")
    with pytest.raises(NotFoundError, match="no alarm ''"):
        table.find(Journal(store), "")


def _act(location, who):
    journal = Journal(location)
    for number, record in enumerate(records(journal)[0] * 5):
        people.acknowledge(journal, record.id, f"note {number}", who)
        people.comment(journal, record.id, f"note {number}", who)
        people.silence(journal, f"note {number}", alarm=record.id, who=who)


@pytest.mark.slow
def test_two_people_at_once_through_two_processes_lose_nothing(store):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_act, args=(store, who)) for who in ("me", "you")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    entries = Journal(store).entries(people.ACTIONS)
    assert sorted(entry.who for entry in entries) == ["me"] * 30 + ["you"] * 30
    assert {(entry.who, entry.note) for entry in entries} == {
        (who, f"note {number}") for who in ("me", "you") for number in range(10)
    }
