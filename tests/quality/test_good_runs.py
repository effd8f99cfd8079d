"""Flags on intervals, sign-off by two people, good-run lists, and what flags cost."""

import csv
import io
import itertools
import json
import multiprocessing

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import owtrend
from owtrend.cli.main import status
from owtrend.conditions.columns import table_of
from owtrend.conditions.stored import add
from owtrend.config import Config, SubsystemConfig
from owtrend.errors import NotFoundError, UsageError
from owtrend.quality import journal as journals
from owtrend.quality.good_runs import Choice, as_csv, as_json, good_runs, lost_data, without
from owtrend.quality.journal import Journal
from owtrend.quality.journal.database import _in_memory
from owtrend.quality.run_flags import ACTIONS, Judgement, flag_run, flags_of, sign_off, sign_offs, unflag, withdraw
from owtrend.store.repository import Store
from tests.builders import MINUTE, START, append, archive_of, snapshot

RUN, OTHER = 300000, 300001


@pytest.fixture(scope="module")
def archive():
    """Two runs of ten minutes, an hour apart; in one, two subsystems."""
    rows = [snapshot(60 * number + minute, run=run) for number, run in enumerate((RUN, OTHER)) for minute in range(11)]
    rows += [snapshot(minute, run=RUN, subsystem="TPC") for minute in range(11)]
    return archive_of(*rows)


@pytest.fixture
def journal(archive):
    _in_memory.pop(archive.location, None)
    return Journal(archive.location)


@pytest.fixture
def reader(archive):
    return Store.open(archive.location).reader()


def minutes(intervals):
    return [tuple((np.array(one).astype("datetime64[ns]") - START) / MINUTE) for one in intervals]


def test_a_flagged_interval_is_left_out_of_its_run(reader, journal):
    flag_run(reader, journal, RUN, "EMC", start=START + 2 * MINUTE, stop=START + 4 * MINUTE, note="noisy")
    flag_run(reader, journal, RUN, start=START + 3 * MINUTE, stop=START + 5 * MINUTE, note="beam dump")
    first, second = good_runs(reader, journal)
    assert (first.run, minutes(first.good)) == (RUN, [(0, 2), (5, 10)])
    assert (second.run, minutes(second.good)) == (OTHER, [(60, 70)])
    assert first.seconds == 7 * 60
    (of_tpc,) = good_runs(reader, journal, Choice(subsystems=["TPC"]))
    assert minutes(of_tpc.good) == [(0, 3), (5, 10)]
    assert [one.run for one in good_runs(reader, journal, Choice(whole=True))] == [OTHER]


def test_lists_are_made_with_and_without_a_flag(reader, journal):
    flag_run(reader, journal, RUN, "EMC", judgement=Judgement.LIMITED, name="hole", note="supermodule 3 is off")
    flag_run(reader, journal, OTHER, stop="13:05", note="ramp")
    assert [one.run for one in good_runs(reader, journal)] == [RUN, OTHER]
    assert [one.run for one in good_runs(reader, journal, Choice(without=["hole"]))] == [OTHER]
    assert minutes(good_runs(reader, journal, Choice(without=["hole"]))[0].good) == [(60, 70)]
    assert [one.run for one in good_runs(reader, journal, Choice(without=["hole", "bad"]))] == [OTHER]
    assert [one.run for one in good_runs(reader, journal, Choice(having=["hole"]))] == [RUN]
    with pytest.raises(UsageError, match="no flag called 'hool'; there are bad, hole"):
        good_runs(reader, journal, Choice(without=["hool"]))


def test_a_flag_that_is_taken_back_no_longer_holds_and_stays_in_the_journal(reader, journal):
    flag = flag_run(reader, journal, RUN, note="whole run", user="a")
    assert [one.run for one in good_runs(reader, journal)] == [OTHER]
    unflag(journal, flag.number, note="wrong run", user="b")
    assert [one.run for one in good_runs(reader, journal)] == [RUN, OTHER]
    assert flags_of(journal.entries()) == []
    assert [(entry.who, entry.note) for entry in journal.entries()] == [("a", "whole run"), ("b", "wrong run")]
    with pytest.raises(NotFoundError, match="no flag 1"):
        unflag(journal, flag.number)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"note": " "}, "no reason given"),
        ({"note": "x", "start": "12:09", "stop": "12:01"}, "nothing lies in that interval"),
        ({"note": "x", "start": START + 10 * MINUTE}, "the run is from 2018-06-01T12:00:00 to 2018-06-01T12:10:00"),
        ({"note": "x", "start": "noon"}, "not a time"),
        ({"note": "x", "name": "\x1b[31m"}, "expected a word"),
    ],
)
def test_a_flag_without_meaning_is_refused(reader, journal, options, words):
    with pytest.raises(UsageError) as error:
        flag_run(reader, journal, RUN, **options)
    assert words in str(error.value)
    with pytest.raises(NotFoundError, match="no run 7"):
        flag_run(reader, journal, 7, note="x")


def test_it_takes_two_different_people_to_sign_a_run_off(reader, journal):
    assert not sign_off(reader, journal, RUN, user="Anna").complete
    with pytest.raises(UsageError, match="anna has signed it off already; another person") as error:
        sign_off(reader, journal, RUN, user=" anna ")
    assert "\n" not in str(error.value)
    assert good_runs(reader, journal, Choice(signed=True)) == []
    assert sign_off(reader, journal, RUN, user="Ben").people == ("Anna", "Ben")
    (found,) = good_runs(reader, journal, Choice(signed=True))
    assert (found.run, found.signed_by) == (RUN, ("Anna", "Ben"))
    withdraw(journal, RUN, user="ANNA")
    assert sign_offs(reader, journal.entries(), [RUN])[RUN].people == ("Ben",)


def test_signatures_lapse_when_flags_change(reader, journal):
    for name in ("a", "b"):
        sign_off(reader, journal, RUN, user=name)
        sign_off(reader, journal, OTHER, user=name)
    flag = flag_run(reader, journal, RUN, note="late", user="c")
    found = sign_offs(reader, journal.entries(), [RUN, OTHER])
    assert (found[RUN].people, found[RUN].lapsed, found[OTHER].complete) == ((), ("a", "b"), True)
    sign_off(reader, journal, RUN, user="a")
    unflag(journal, flag.number)
    assert sign_offs(reader, journal.entries(), [RUN])[RUN].people == ()


def test_signatures_lapse_when_the_data_change():
    archive = archive_of(snapshot(1), snapshot(2))
    journal, store = Journal(archive.location), Store.open(archive.location)
    for name in ("a", "b"):
        sign_off(store.reader(), journal, RUN, user=name)
    append(archive.location, [snapshot(3)], fold=False)
    assert sign_offs(store.reader(), journal.entries(), [RUN])[RUN].lapsed == ("a", "b")


def test_files_have_the_good_intervals_and_what_they_were_made_from(reader, journal):
    flag_run(reader, journal, RUN, start=START + 2 * MINUTE, stop=START + 4 * MINUTE, note="noisy")
    found = good_runs(reader, journal)
    made = json.loads(as_json(found, reader, Choice()))
    assert made["version"] == reader.version
    assert made["runs"][0]["good"] == [
        ["2018-06-01T12:00:00.000Z", "2018-06-01T12:02:00.000Z"],
        ["2018-06-01T12:04:00.000Z", "2018-06-01T12:10:00.000Z"],
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["run"], row["seconds"]) for row in rows] == [
        ("300000", "120.0"),
        ("300000", "360.0"),
        ("300001", "600.0"),
    ]


def test_the_cost_of_flags_in_time_events_and_a_condition(reader, archive, journal):
    store = Store.open(archive.location)
    add(store, table_of({"run": [RUN, OTHER], "rate": [100.0, 50.0]}, "rates"))
    reader = store.reader()
    for start, stop in ((2, 4), (3, 6)):
        flag_run(
            reader, journal, RUN, "EMC", start=START + start * MINUTE, stop=START + stop * MINUTE, note="x", name="hole"
        )
    flag_run(reader, journal, OTHER, "EMC", start=START + 65 * MINUTE, note="x", name="hole")
    flag_run(reader, journal, RUN, judgement=Judgement.GOOD, note="fine")
    config = Config(subsystems={"EMC": SubsystemConfig(events="h")})
    (row,) = lost_data(reader, journal, config, condition="rate").to_dict("records")
    assert (row["flag"], row["subsystem"], row["runs"]) == ("hole", "EMC", 2)
    assert row["seconds"] == (4 + 5) * 60
    assert row["fraction"] == 9 / 20
    assert row["events"] == 3 * (4 + 5)  # the histogram gains three entries a minute
    assert row["rate"] == 60 * (4 * 100 + 5 * 50)
    (row,) = lost_data(reader, journal, Config(), runs=[RUN]).to_dict("records")
    assert np.isnan(row["events"])
    assert row["seconds"] == 4 * 60


@given(st.lists(st.tuples(st.integers(-5, 15), st.integers(-5, 15)), max_size=6))
def test_what_is_left_is_what_no_interval_covers(bad):
    left = without((0, 10), bad)
    expected = [at for at in range(10) if not any(start <= at < stop for start, stop in bad)]
    assert [at for start, stop in left for at in range(start, stop)] == expected
    assert all(before[1] < after[0] for before, after in itertools.pairwise(left))


def test_the_commands_flag_sign_and_list(archive, journal, tmp_path, capsys):
    store = archive.location
    assert status(["flag", store, str(RUN), "EMC", "--from", "12:02", "--to", "12:04", "--note", "\x1b[31mnoisy"]) == 0
    assert status(["flag", store]) == 0
    assert "\x1b" not in capsys.readouterr().out
    for user, code in (("a", 0), ("a", 1), ("b", 0)):
        assert status(["sign-off", store, str(RUN), "--user", user]) == code
    assert "another person must sign it, too" in capsys.readouterr().err
    assert status(["good-runs", store, "--signed", "-o", str(tmp_path / "good.json")]) == 0
    assert [one["run"] for one in json.loads((tmp_path / "good.json").read_text())["runs"]] == [RUN]
    assert status(["good-runs", store, "--lost", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])[0]["seconds"] == 120
    assert owtrend.open(store).good_runs(signed=True)["seconds"].tolist() == [120, 360]
    assert isinstance(owtrend.open(store).good_runs(), pd.DataFrame)


def _write_many(location, who):
    reader, journal = Store.open(location).reader(), Journal(location)
    for number in range(10):
        flag_run(reader, journal, RUN, note=f"{who} {number}", user=who)
    sign_off(reader, journal, OTHER, user=who)


@pytest.mark.slow
def test_two_people_who_write_through_two_processes_lose_nothing(tmp_path):
    store = tmp_path / "store"
    append(store, [snapshot(minute, run=run) for run in (RUN, OTHER) for minute in (1, 2)])
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(store, who)) for who in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = Journal(store).entries(ACTIONS)
    notes = {flag.note for flag in flags_of(entries)}
    assert notes == {f"{who} {number}" for who in ("a", "b") for number in range(10)}
    assert sign_offs(Store.open(store).reader(), entries, [OTHER])[OTHER].complete
    assert journals.FILE in {path.name for path in store.iterdir()}
