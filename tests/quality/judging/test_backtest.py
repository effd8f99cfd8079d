"""Backtests: the alarms that rules would have raised, and which known problems they catch."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from owtrend.cli.main import main
from owtrend.errors import UsageError
from owtrend.quality.judging import problems
from owtrend.quality.judging.backtest import SHIFT, backtest, watched_time
from owtrend.quality.judging.problems import Problem
from owtrend.quality.rules.flags import judged
from tests import builders
from tests.quality.rules.test_flags import minute, rule, snapshots

# Entries in each of twelve minutes: too many from the fourth to the sixth, and in the tenth.
GAINS = [(5, 0)] * 3 + [(50, 0)] * 3 + [(5, 0)] * 3 + [(40, 0)] + [(5, 0)] * 2
HOT = Problem("EMC", 1, minute(2), minute(5), frozenset({"h"}), "hot")
MISSED = Problem("EMC", 1, minute(7), minute(8), frozenset({"h"}), "not seen")
ELSEWHERE = Problem("EMC", 1, minute(2), minute(5), frozenset({"g"}), "of another histogram")


@pytest.fixture(scope="module")
def archive():
    return builders.archive_of(*snapshots(1, GAINS), *snapshots(2, [(5, 0)] * 3, day=1))


def results(archive, *rules, known=(HOT, MISSED, ELSEWHERE)):
    reader = archive._reader
    return backtest(reader, rules, judged(reader, rules), known)


def test_a_rule_catches_what_begins_while_its_alarm_does(archive):
    found = results(archive, rule(error="entries > 20"))
    (one,) = found.rules
    assert [(alarm.start, alarm.fired, alarm.stop) for alarm in one.alarms] == [
        (minute(2), minute(3), minute(6)), (minute(8), minute(9), minute(10)),
    ]  # fmt: skip
    assert [(caught.problem, caught.delay) for caught in one.caught] == [(HOT, minute(3) - minute(2))]
    assert one.missed == (MISSED,)
    assert one.unexplained == 1
    assert found.caught == {HOT: [("r", minute(1) - minute(0))], MISSED: [], ELSEWHERE: []}


def test_an_alarm_waits_as_long_as_its_rule_says(archive):
    for hold, delay in (("2min", 2), (3, 3)):
        (one,) = results(archive, rule(**{"error": "entries > 20", "for": hold})).rules
        assert [alarm.fired for alarm in one.alarms] == [minute(2 + delay)]


def test_alarms_are_counted_by_shifts_of_data(archive):
    (one,) = results(archive, rule(error="entries > 20")).rules
    assert watched_time(archive._reader) == {"EMC": (11 + 2) * 60 * 10**9}
    assert one.per_shift == 2 / (13 * 60e9 / SHIFT)
    assert (one.histograms, one.reports, one.unknown) == (1, 15, 0)


def test_an_alarm_from_before_a_problem_does_not_catch_it(archive):
    later = Problem("EMC", 1, minute(4), minute(5), frozenset(), "begins while the alarm is on")
    (one,) = results(archive, rule(error="entries > 20"), known=[later]).rules
    assert one.missed == (later,)


def test_a_rule_that_watches_nothing_is_listed(archive):
    (one,) = results(archive, rule(histogram="nothing", error="entries > 20")).rules
    assert (one.histograms, one.reports, one.alarms) == (0, 0, ())


def test_known_problems_come_from_a_file(tmp_path):
    path = tmp_path / "known.json"
    fields = {"subsystem": "EMC", "run": 1, "start": "2018-06-01T12:02:00+00:00", "stop": "2018-06-01T12:05"}
    path.write_text(json.dumps({"faults": [fields | {"kind": "hot", "histograms": ["h"], "size": 3}]}))
    assert problems.from_file(path) == [HOT]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("{}", "expected a list"),
        ("[1]", "problem 1: 1, expected an object"),
        ('[{"run": 1}]', "problem 1: no subsystem"),
        ('[{"subsystem": "E", "run": "x", "start": 1, "stop": 2}]', "run 'x', expected a number"),
        ('[{"subsystem": "E", "run": 1, "start": "noon", "stop": 2}]', "not a time"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, words):
    path = tmp_path / "known.json"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        problems.from_file(path)
    assert words in str(error.value)


RULES = """
rules:
- {{name: many, subsystem: EMC, histogram: h, error: "entries > {limit}"}}
"""


@pytest.fixture
def store(tmp_path):
    location = tmp_path / "store"
    builders.append(location, [*snapshots(1, GAINS)], fold=False)
    for name, limit in (("old", 20), ("new", 45)):
        (tmp_path / f"{name}.yaml").write_text(RULES.format(limit=limit))
    (tmp_path / "known.json").write_text(
        json.dumps([{"subsystem": "EMC", "run": 1, "start": minute(2), "stop": minute(5), "kind": "hot"}])
    )
    return location


def owtrend(*arguments):
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_the_command_judges_rules(store):
    old, new, known = (store.parent / name for name in ("old.yaml", "new.yaml", "known.json"))
    printed = owtrend("alarms", store, "--backtest", old, "--known", known)
    assert "1 of 1" in printed
    assert "1.0 min" in printed
    made = json.loads(owtrend("alarms", store, "--backtest", old, "--known", known, "--json"))
    assert made["problems"][0]["caught"] == {"many": 60.0}
    assert (made["rules"][0]["alarms"], made["rules"][0]["unexplained"]) == (2, 1)
    (change,) = json.loads(owtrend("alarms", store, "--diff", old, new, "--json"))
    assert (change["start"], change["stop"]) == ("2018-06-01 12:08:00", "2018-06-01 12:09:00")
    assert (change["old"], change["new"], change["why"]) == ("error", "ok", "entries 40; error: entries > 20")
    load = json.loads(owtrend("alarms", store, "--load", "--backtest", old, "--json"))
    assert load["busiest"] == [{"rule": "many", "alarms": 2}]
    assert "2 alarms in" in owtrend("alarms", store, "--load", "--backtest", old)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--known", "known.json"], "belong to"),
        (["--load", "--known", "known.json"], "belongs to --backtest"),
        (["--diff", "old.yaml", "new.yaml", "--load"], "--diff alone"),
        (["--backtest", "missing.yaml"], "cannot be read"),
    ],
)
def test_what_does_not_go_together_is_refused(store, monkeypatch, arguments, words):
    monkeypatch.chdir(store.parent)
    done = CliRunner().invoke(main, ["alarms", "store", *arguments])
    assert done.exit_code != 0
    assert words in done.output + str(done.exception)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    from ingest import simulate
    from ingest.archive import ingest
    from owtrend.compute import compute

    folder = tmp_path_factory.mktemp("demo")
    simulate(folder / "data", scale=0.02)
    ingest.ingest(ingest.find_files([folder / "data"]), folder / "store", workers=0)
    compute.compute(folder / "store", workers=0)
    return folder


@pytest.mark.study
def test_the_default_rules_over_the_demo_list_each_injected_fault_with_its_delay(demo):
    rules = Path(__file__).parents[3] / "examples" / "rules.yaml"
    made = json.loads(
        owtrend("alarms", demo / "store", "--backtest", rules, "--known", demo / "data" / "truth.json", "--json")
    )
    truth = json.loads((demo / "data" / "truth.json").read_text())
    assert len(made["problems"]) == len(truth["faults"])
    by_kind = {one["what"].partition(":")[0]: one for one in made["problems"]}
    for kind in ("dead_region", "hot_channel", "hv_trip", "drift", "rate_step"):
        assert 0 < min(by_kind[kind]["caught"].values()) < 12 * 60, kind
    for kind in ("gap", "truncated_file", "restart", "duplicate_after_end", "rebinning"):
        assert not by_kind[kind]["caught"], kind
        assert 0 < by_kind[kind]["alone"] < 12 * 60, kind
    assert all(np.isfinite(one["per_shift"]) for one in made["rules"])
