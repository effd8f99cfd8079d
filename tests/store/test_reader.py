"""Rows of a run that are the end of the run before it: stored, checked and copied, but not shown."""

from itertools import product

import numpy as np
import pytest

import owtrend
from owtrend.archive import Archive
from owtrend.compute.compute import compute
from owtrend.compute.live import live
from owtrend.model.rows import RunRows, carried_over
from owtrend.store.append import appender
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from owtrend.store.upkeep.repair import merge
from tests import builders
from tests.builders import archive_of, filled, snapshot
from tests.builders import labelled as axis_of
from tests.studies import cases

X = axis_of("abc")
KINDS = {
    "TH1": lambda fills: filled([X], fills, "h"),
    "TH2": lambda fills: filled([X, X], np.stack([fills, fills], axis=1), "h"),
    "TH3": lambda fills: filled([X] * 3, np.stack([fills] * 3, axis=1), "h"),
    "TProfile": lambda fills: filled([X], fills, "h", values=fills + 1),
    "weighted": lambda fills: filled([X], fills, "h", weights=fills + 0.5),
}


def runs_of(kind="TH1", copies=1, goes_on=False):
    """Two runs of which the second begins with files of the end of the first."""
    make = KINDS[kind]
    fills = [np.random.default_rng(run).integers(0, 3, (5, 100)) + 0.5 for run in (1, 2)]
    first = [make(np.concatenate(fills[0][: row + 1])) for row in range(5)]
    base = [fills[0].ravel()] if goes_on else []
    second = [make(np.concatenate([*base, *fills[1][: row + 1]])) for row in range(5)]
    rows = [snapshot(row, one, run=1) for row, one in enumerate(first)]
    rows += [snapshot(4 + 0.1 * number, first[-1], run=2) for number in range(copies)]
    return rows + [snapshot(60 + row, one, run=2) for row, one in enumerate(second)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "copies"), cases(product(KINDS, (1, 2)), [("TH1", 1), ("TProfile", 2)]))
def test_a_run_does_not_count_the_end_of_the_run_before(kind, copies):
    rows = runs_of(kind, copies)
    archive, clean = archive_of(*rows), archive_of(*(row for row in rows if row.run == 1 or row.time >= rows[-5].time))
    assert archive.carried.to_dict("records") == [{"subsystem": "EMC", "run": 2, "snapshots": copies}]
    assert archive.runs.loc[2].tolist() == clean.runs.loc[2].tolist()
    for every in (None, "2min", "run"):
        found, expected = (one.trend("EMC", "h", "mean_x", runs=[2], every=every) for one in (archive, clean))
        np.testing.assert_array_equal(found.value, expected.value)
        np.testing.assert_array_equal(found.error, expected.error)
    whole = archive.trend("EMC", "h", "entries", every="run")
    assert whole.value.values.tolist() == [500, 500]
    piece = owtrend.time_slice(archive.histogram("EMC", "h", run=2, flow=True))
    assert piece.sums.sel(sum="entries").item() == 500
    assert (piece.restarts.item(), piece.snapshots.item()) == (0, 5)
    of_all, expected = (one.time_slice("EMC", 2)["h"] for one in (archive, clean))
    assert of_all == expected


@pytest.mark.slow
def test_the_store_keeps_all_rows_and_says_how_many_are_not_shown():
    rows = runs_of(copies=2)
    store, copy = Store.in_memory(), Store.in_memory()
    with appender(store) as raw:
        raw.append(rows[:9])
        raw.append(rows[9:])
        report = check(store)
        raw.fold(everything=True)
    merge(copy, store, why="a copy")
    for again in (check(store), check(copy)):
        assert (again.problems, again.rows, again.carried, again.digest) == ([], 12, 2, report.digest)


@pytest.mark.slow
def test_a_run_that_goes_on_counting_begins_with_what_it_has():
    archive = archive_of(*runs_of(goes_on=True))
    assert archive.carried.empty
    assert archive.trend("EMC", "h", "entries", run=2).value.values.tolist() == [500] + [100] * 5


@pytest.mark.parametrize(
    ("digests", "entries", "expected"),
    [
        pytest.param("aab", [9, 9, 3], 2, id="counts-from-zero-after-them"),
        pytest.param("aab", [9, 9, 12], 0, id="goes-on"),
        pytest.param("aa", [9, 9], 0, id="nothing-follows"),
        pytest.param("ba", [3, 9], 0, id="begins-otherwise"),
    ],
)
def test_first_rows_of_the_run_before(digests, entries, expected):
    rows = RunRows(
        time=np.arange(len(digests)), layout=np.zeros(len(digests), np.int32), flags=np.zeros(len(digests), np.uint8),
        digest=np.array([[ord(letter)] * 16 for letter in digests], dtype=np.uint8),
        provenance=tuple(f'{{"source": "", "entries": {count}}}' for count in entries),
    )  # fmt: skip
    assert carried_over(rows, b"a" * 16) == expected


@pytest.mark.slow
def test_live_and_in_one_pass_such_a_run_is_the_same():
    rows, expected, store = runs_of(copies=2), Store.in_memory(), Store.in_memory()
    with appender(expected) as raw:
        raw.append(rows)
    compute(expected.location, workers=0)
    with appender(store) as raw, live(store) as engine:
        for row in rows:
            raw.append([row])
            engine.take([row])
            engine.write()
    found, passed = (owtrend.open(one.location) for one in (store, expected))
    for array in ("value", "error"):
        stored = [one.stored("EMC").trends.block(array, 1, slice(0, 5)) for one in (found, passed)]
        np.testing.assert_array_equal(*stored)
    assert found.stale.empty
    assert found.findings().equals(passed.findings())
    assert not (passed.findings()["score"] == "restart").any()


@pytest.mark.slow
def test_trends_made_before_the_run_before_came_are_made_anew():
    rows = runs_of()
    store = Store.in_memory()
    with appender(store) as raw:
        raw.append(rows[5:])
        compute(store.location, workers=0)
        assert owtrend.open(store.location).stale.empty
        raw.append(rows[:5])
    archive = owtrend.open(store.location)
    assert 2 in archive.stale["run"].tolist()
    assert archive.trend("EMC", "h", "entries", run=2).value.values.tolist() == [100] * 5
    assert archive.trend("EMC", "h", "entries", run=2).sizes["time"] == 5


@pytest.fixture(scope="module")
def several_runs():
    """Runs whose rows are in full chunks; the second begins with the end of the first, the last has many layouts."""
    store = Store.in_memory()
    one = [builders.histogram([0, row, 2 * row, 0], f"h{row}") for row in range(1, 13)]
    rows = [*runs_of(), *(snapshot(120 + row, *one[:row], run=3) for row in range(1, 13))]
    builders.append(store.location, rows)
    compute(store.location, workers=0)
    return store


def listed(archive):
    """What lists and `status` have of all runs."""
    tables = (archive.runs, archive.histograms("EMC"), archive.carried, archive.kinds, archive.changes, archive.stale)
    return [table.to_dict() for table in tables]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["raw/EMC/summary", "trends/EMC/run_state"])
def test_what_a_store_lists_is_the_same_without_the_summaries_that_spare_its_rows(several_runs, path):
    before = owtrend.open(several_runs.location)
    expected, layouts = listed(before), before.stored("EMC").layouts_of_runs
    with several_runs.writer("raw") as begin:
        transaction = begin()
        transaction.delete(path)
        transaction.commit("as in earlier stores")
    without = owtrend.open(several_runs.location)
    assert listed(without) == expected
    np.testing.assert_array_equal(without.stored("EMC").layouts_of_runs, layouts)
    assert layouts.sum(axis=1).tolist() == [1, 1, 12]


@pytest.mark.slow
def test_lists_read_no_rows_of_runs_that_have_summaries(monkeypatch):
    store = Store.in_memory()
    builders.append(store.location, [snapshot(60 * run + row, run=run) for run in (1, 2) for row in (1, 2)])
    asked = []
    monkeypatch.setattr(SubsystemReader, "_array", lambda _, name: asked.append(name))
    monkeypatch.setattr(SubsystemReader, "read_all_rows", lambda _, *names: asked.extend(names))
    archive = Archive(store)
    assert (len(archive.runs), len(archive.histograms("EMC")), asked) == (2, 1, [])
