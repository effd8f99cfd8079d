"""Two passes compared: the same one, other data, other settings, and what only one has."""

import json

import numpy as np
import pytest

import owtrend
from owtrend.cli.main import status
from owtrend.compute import compute
from owtrend.config import Config, ScoreConfig
from owtrend.errors import NotFoundError, UsageError
from owtrend.output.passes import _relative, compare_passes
from owtrend.store.repository import Store
from tests.builders import append, archive_of, histogram, snapshot, snapshots

RUNS = (300000, 300001, 300002)


def rows(run, hot=False):
    rng = np.random.default_rng(run)
    gains = rng.poisson(40, (12, 20)).cumsum(axis=0)
    if hot:
        gains[8:, 5] += 400 * np.arange(1, 5)
    contents = [np.pad(gain, 1) for gain in gains]
    return snapshots(
        {"a/b": contents, "c": contents}, run, minutes=range((run - RUNS[0]) * 60, (run - RUNS[0]) * 60 + 12)
    )


@pytest.fixture(scope="module")
def store():
    """A store whose passes have tags: of two runs, of these again, with a third that is hot, with less budget."""
    archive = archive_of(*rows(RUNS[0]), *rows(RUNS[1]))
    store = Store.open(archive.location)
    compute.compute(store.location, workers=0, tag="first")
    compute.compute(store.location, workers=0, force=True, tag="again")
    append(store.location, rows(RUNS[2], hot=True), fold=False)
    compute.compute(store.location, workers=0, tag="third")
    settings = Config(scores=ScoreConfig(false_alarms=1e-9))
    compute.compute(store.location, workers=0, config=settings, tag="strict")
    return store


@pytest.mark.slow
def test_a_pass_that_was_made_again_is_the_same(store):
    found = compare_passes(store, "first", "again", deep=True)
    assert found.equal
    assert found.compared == 2
    assert compare_passes(store, "first", "first").equal


@pytest.mark.slow
def test_a_run_that_only_one_pass_has_is_listed_with_its_incidents(store):
    found = compare_passes(store, "again", "third")
    assert found.only_in_one == ("EMC run 300002",)
    assert [incident.runs for incident in found.appeared] == [(RUNS[2],)]
    assert compare_passes(store, "third", "again").gone == found.appeared


@pytest.mark.slow
def test_other_settings_change_what_they_concern_only(store):
    found = compare_passes(store, "third", "strict")
    assert {one.trends for one in found.runs} <= {0}
    assert all("settings" in one.why for one in found.runs)
    assert json.loads(json.dumps(found.to_dict()))["compared"] == 3


@pytest.mark.slow
def test_a_number_that_changed_by_more_than_rounding_is_found(store):
    def write(scale):
        with store.writer("derived") as begin:
            transaction = begin()
            value = transaction.group["trends/EMC/value"]
            block = value[1]
            value[1] = block * scale
            transaction.commit("other numbers")
        return store.version

    before = store.version
    assert compare_passes(store, before, write(1 + 1e-13), deep=True).equal
    after = write(1 + 1e-6)
    assert compare_passes(store, before, after).equal  # made from the same
    found = compare_passes(store, before, after, deep=True)
    (one,) = found.runs
    assert (one.run, one.scores, one.why) == (RUNS[1], 0, "")
    assert one.trends > 20
    assert one.largest == pytest.approx(1e-6, rel=1e-3)
    assert one.where.split()[0] in ("a/b", "c")


@pytest.mark.slow
def test_the_command_lists_differences_and_says_so_by_its_status(store, capsys):
    assert status(["compare-passes", store.location, "first", "again"]) == 0
    assert "have the same trends and scores of 2 run x subsystem" in capsys.readouterr().out
    assert status(["compare-passes", store.location, "again", "third"]) == 1
    assert "appeared: run 300002" in capsys.readouterr().out
    assert status(["compare-passes", store.location, "again", "third", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["incidents_appeared"][0]["runs"] == [RUNS[2]]
    with pytest.raises(NotFoundError, match="no version 'nothing'"):
        compare_passes(store, "nothing", "again")


def test_a_tag_that_is_taken_is_refused_before_anything_is_computed():
    archive = archive_of(snapshot(1, histogram([0, 1, 0])))
    Store.open(archive.location).tag("taken")
    with pytest.raises(UsageError, match="there is a tag 'taken' already"):
        compute.compute(archive.location, workers=0, tag="taken")
    assert owtrend.open(archive.location).version == archive.version


def test_numbers_that_are_missing_in_one_pass_differ_without_end():
    nan = np.nan
    old, new = np.array([1, nan, nan, 0, 2, np.inf, np.inf]), np.array([1, nan, 1, 0, 2.2, np.inf, -np.inf])
    assert _relative(old, new).round(6).tolist() == [0, 0, np.inf, 0, 0.090909, 0, np.inf]


@pytest.mark.slow
def test_a_run_that_got_another_snapshot_differs_in_that_only(store):
    before = store.version
    late = rows(RUNS[0])[-1]
    append(store.location, [snapshot(30, *late.values(), histogram([0, 1, 0], "new"), run=RUNS[0])], fold=False)
    compute.compute(store.location, workers=0)
    found = compare_passes(store, before, store.version)
    first = found.runs[0]
    assert (first.run, first.rows, first.trends) == (RUNS[0], 1, 0)
    assert first.why.split(", ")[0] == "data"
    assert 'EMC: histogram ["new"]' in found.only_in_one
