import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import owtrend
from ingest import SnapshotReader
from owtrend.compute import compute
from owtrend.errors import SnapshotError, StoreLockedError, UsageError
from owtrend.model.axis import Axis
from owtrend.model.rows import Accumulation
from owtrend.store import append
from owtrend.store.append import appender
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.store.upkeep.check import check, rows_of
from tests import builders
from tests.builders import MINUTE, START, histogram, snapshot
from tests.studies import cases


@pytest.fixture
def empty():
    return Store.in_memory()


def contents(empty, name="h", **chosen):
    return owtrend.open(empty.location).histogram("EMC", name, run=300000, **chosen).contents.values.tolist()


@pytest.mark.slow
def test_appended_rows_are_there_at_once_and_in_order_of_time(empty):
    with appender(empty) as live:
        for minute in (1, 2, 4, 3):
            live.append([snapshot(minute), snapshot(minute, subsystem="TPC")])
    assert contents(empty) == [[1, 2], [2, 4], [3, 6], [4, 8]]
    runs = owtrend.open(empty.location).runs
    assert runs.loc[300000, ["snapshots", "subsystems"]].tolist() == [8, "EMC, TPC"]


@pytest.mark.slow
def test_one_append_is_one_version(empty):
    with appender(empty) as live:
        live.append([snapshot(1), snapshot(1, subsystem="TPC")])
        before = empty.reader()
        live.append([snapshot(2), snapshot(2, subsystem="TPC")])
        assert [len(before.subsystem(name).times(0)) for name in ("EMC", "TPC")] == [1, 1]
        assert [len(empty.reader().subsystem(name).times(0)) for name in ("EMC", "TPC")] == [2, 2]


@pytest.mark.slow
def test_of_snapshots_at_one_time_equal_ones_are_kept_once_else_the_one_with_more_entries(empty):
    more = snapshot(1, histogram([0, 9, 9, 0]), source="more")
    for order in ([snapshot(1), more], [more, snapshot(1)]):
        with appender(empty) as live:
            results = [live.append([one]) for one in order]
        assert contents(empty) == [[9, 9]]
        assert sum(result.added for result in results) <= 1
    with appender(empty) as live:
        assert live.append([more]).duplicates == 1
    table = owtrend.open(empty.location).quarantine
    assert set(table["source"]) == {"EMC 300000 1"}
    assert "with 3 entries against 18; the one with more is kept" in table["reason"][0]


@pytest.mark.slow
def test_folding_moves_whole_chunks_and_shows_the_same(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(1, 140)])
        before = contents(empty)
        assert live.fold()
        view = empty.reader().subsystem("EMC")
        assert (view.folded(0), len(view.tail[300000])) == (128, 11)
        assert contents(empty) == before == [[n, 2 * n] for n in range(1, 140)]
        revision = view.per_run["revision"][0]
        assert live.fold(everything=True)
        view = empty.reader().subsystem("EMC")
        assert (view.folded(0), view.tail, view.per_run["revision"][0]) == (139, {}, revision)
        assert contents(empty) == before
        live.append([snapshot(200)])
        assert contents(empty)[-1] == [200, 400]
        assert empty.reader().subsystem("EMC").per_run["revision"][0] == revision + 1
    assert check(empty).problems == []


@pytest.mark.slow
def test_folding_step_by_step_lets_appends_between(empty, monkeypatch):
    monkeypatch.setattr(append, "_FOLD_CELLS", 1)
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(1, 66)])
        steps = 0
        while not live.fold(seconds=0):
            steps += 1
            live.append([snapshot(100 + steps)])
            assert contents(empty)[:65] == [[n, 2 * n] for n in range(1, 66)]
        assert steps > 5
        assert empty.reader().subsystem("EMC").folded(0) == 64
    assert len(contents(empty)) == 65 + steps


@pytest.mark.slow
def test_a_late_snapshot_lands_in_its_place_also_in_a_folded_chunk(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(2, 140, 2)])
        live.fold(everything=True)
        live.append([snapshot(7)])
        expected = [[n, 2 * n] for n in (2, 4, 6, 7, 8)]
        assert contents(empty)[:5] == expected
        live.fold(everything=True)
    view = empty.reader().subsystem("EMC")
    assert (view.tail, view.folded(0)) == ({}, 70)
    assert contents(empty)[:5] == expected
    assert check(empty).problems == []


@pytest.mark.slow
def test_a_histogram_that_turns_non_integer_is_rebinned_or_vanishes_reads_back(empty):
    rows = [
        [histogram([0, 1, 2, 0], dtype="f4")],
        [histogram([0, 1.5, 2, 0], dtype="f4"), histogram([0, 2**40, 0], "folder/new", dtype="i8")],
        [histogram([0, 1, 2, 3, 0], dtype="f4")],
        [histogram([0, 1, np.nan, -0.0], dtype="f4")],
    ]
    with appender(empty) as live:
        for minute, held in enumerate(rows):
            live.append([snapshot(minute, *held)])
    view = empty.reader().subsystem("EMC")
    for found, held in zip(rows_of(view, 0, np.arange(4)), rows, strict=True):
        assert found == {one.path: one for one in held}


def test_an_append_that_fails_leaves_nothing_and_the_next_goes_on(empty, monkeypatch):
    with appender(empty) as live:
        live.append([snapshot(1)])
        with monkeypatch.context() as patch:
            patch.setattr(Transaction, "commit", None)
            with pytest.raises(TypeError):
                live.append([snapshot(2, histogram([0, 1, 0], "other"))])
        assert contents(empty) == [[1, 2]]
        live.append([snapshot(3)])
        assert contents(empty) == [[1, 2], [3, 6]]
    assert check(empty).problems == []


@pytest.mark.slow
def test_everything_is_folded_also_after_a_folding_of_whole_chunks_was_begun(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(TIME_CHUNK + 6)])
        assert not live.fold(seconds=0)
        assert live.fold(everything=True)
    view = empty.reader().subsystem("EMC")
    assert (view.tail, view.folded(0)) == ({}, TIME_CHUNK + 6)


@pytest.mark.slow
def test_the_last_rows_of_a_run_are_folded_when_others_have_gone_on_for_half_an_hour(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(5)])
        for minutes in (range(5, 30), range(30, 40)):
            assert set(empty.reader().subsystem("EMC").tail) >= {300000}
            live.append([snapshot(minute, run=300001) for minute in minutes])
            live.fold()
    view = empty.reader().subsystem("EMC")
    assert (set(view.tail), view.folded(0)) == ({300001}, 5)
    assert contents(empty) == [[minute, 2 * minute] for minute in range(5)]


@pytest.mark.slow
def test_a_late_row_moves_those_behind_it_and_none_is_lost(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(2, 72)])
        live.fold(everything=True)
        live.append([snapshot(1)])
        live.fold()
        assert len(contents(empty)) == 71
        live.append([snapshot(72)])
        live.fold(everything=True)
    assert contents(empty) == [[minute, 2 * minute] for minute in range(1, 73)]
    assert check(empty).problems == []


@pytest.mark.slow
def test_a_read_that_fails_while_folding_loses_nothing(empty, monkeypatch):
    with appender(empty) as live:
        live.append([snapshot(1), snapshot(2)])
    own = vars(SubsystemReader)["tail"].func
    failing = iter([OSError("the network is down")])

    def tail(view):
        for error in failing:
            raise error
        return own(view)

    monkeypatch.setattr(SubsystemReader, "tail", property(tail))
    with appender(empty) as live:
        with pytest.raises(OSError, match="network"):
            live.fold()
        live.append([snapshot(3)])
        assert live.fold(everything=True)
    assert contents(empty) == [[1, 2], [2, 4], [3, 6]]


@pytest.mark.slow
def test_folding_everything_includes_rows_that_came_meanwhile(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(5)])
        assert not live.fold(seconds=0, everything=True)
        live.append([snapshot(5)])
        assert live.fold(everything=True)
    assert empty.reader().subsystem("EMC").tail == {}


@pytest.mark.slow
def test_appending_makes_trends_stale_and_folding_does_not(empty):
    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(1, 6)])
        assert compute.compute(empty.location, workers=0, scores=False).runs == 1
        trend = owtrend.open(empty.location).trend("EMC", "h", "entries", run=300000)
        assert trend.value.values.tolist() == [3.0] * 5
        live.fold(everything=True)
        assert compute.compute(empty.location, workers=0, scores=False).runs == 0
        live.append([snapshot(6)])
        assert owtrend.open(empty.location).trend("EMC", "h", "entries", run=300000).sizes["time"] == 6
        assert compute.compute(empty.location, workers=0, scores=False).runs == 1


@pytest.mark.slow
def test_a_run_is_cumulative_or_in_reset_mode_but_not_both(empty):
    with appender(empty) as live:
        live.append([snapshot(1)])
        with pytest.raises(UsageError, match="run 300000 of EMC is cumulative so far"):
            live.append([snapshot(2)], accumulation=Accumulation.RESET)
        live.append([snapshot(1, run=300001), snapshot(2, run=300001)], accumulation=Accumulation.RESET)
    archive = owtrend.open(empty.location)
    assert contents(empty) == [[1, 2]]
    gained = owtrend.increments(archive.histogram("EMC", "h", run=300001))
    assert gained.contents.values.tolist() == [[1, 2], [2, 4]]


def test_only_one_process_appends(tmp_path):
    store = Store.create(tmp_path / "store")
    with appender(store), pytest.raises(StoreLockedError, match="another process is the raw writer"), appender(store):
        pass


@pytest.mark.parametrize("missing", ["subsystem", "run", "time"])
def test_a_snapshot_without_subsystem_run_or_time_is_refused_with_all_that_came_with_it(empty, missing):
    with appender(empty) as live, pytest.raises(SnapshotError, match=f"it has no {missing}"):
        live.append([snapshot(1), replace(snapshot(2), **{missing: None})])
    assert owtrend.open(empty.location).runs.empty


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of a run, and the digest of a store that took them in at once."""
    folder = tmp_path_factory.mktemp("files")
    builders.write_run(folder, {"h": [[0, n + 1, 0] for n in range(72)]})
    store = Store.in_memory()
    builders.ingest(folder, store.location)
    return sorted(folder.rglob("*.root")), check(store).digest, folder


@pytest.mark.slow
@pytest.mark.parametrize("minutes", cases([[0, 1, 2], [1, 3], [70, 71, 0], range(70)], [[70, 71, 0]]))
def test_files_ingested_into_a_run_with_a_tail_join_its_rows(files, minutes):
    """Live rows of the same run, some of them the same snapshots; then no row is in the tail any more."""
    paths, digest, folder = files
    reader, store = SnapshotReader(timezone="UTC"), Store.in_memory()
    with appender(store) as live:
        live.append([reader.read(paths[n]) for n in minutes])
    builders.ingest(folder, store.location)
    view = store.reader().subsystem("EMC")
    assert (view.tail, len(view.times(0))) == ({}, 72)
    report = check(store)
    assert (report.problems, report.digest) == ([], digest)


def test_a_histogram_without_statistics_is_refused_by_name(empty):
    bare = replace(histogram([0, 1, 0], "bare"), sums={"entries": 1.0})
    with appender(empty) as live, pytest.raises(SnapshotError, match="bare has no tsumw, tsumw2, tsumwx"):
        live.append([snapshot(1, bare)])


HISTOGRAMS = st.sampled_from([
    (histogram([0, 1, 2, 0], dtype="i4"),),
    (histogram([0, 3, 2, 0], dtype="i4"), histogram([0, 1, 0], "second")),
    (histogram([0, 1.5, 2, 0]),),
    (histogram([0, 3, 2, 0], axes=[Axis.spaced(2, -1, 10)], dtype="i4"),),
    (histogram([0, 9, 0], "second"),),
    (histogram([0, 2**40, 2, 0]),),
    (histogram([0, 1, 2, 4, 0], dtype="i4"),),
])  # fmt: skip
SNAPSHOTS = st.builds(
    lambda minute, held, run, subsystem: snapshot(minute, *held, run=run, subsystem=subsystem),
    st.integers(0, 12), HISTOGRAMS, st.sampled_from([300000, 300001]), st.sampled_from(["EMC", "TPC"]),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=2)
@given(data=st.data())
def test_any_order_repetition_and_grouping_makes_the_same_store(data):
    any_order_makes_the_same_store(data)


@pytest.mark.slow
@settings(max_examples=5)
@given(data=st.data())
def test_any_order_repetition_and_grouping_of_many_makes_the_same_store(data):
    any_order_makes_the_same_store(data)


def any_order_makes_the_same_store(data):
    came = data.draw(st.lists(SNAPSHOTS, min_size=1, max_size=8))
    digests = set()
    for _ in range(2):
        order = data.draw(st.permutations(came)) + data.draw(st.lists(st.sampled_from(came), max_size=3))
        location = Store.in_memory()
        with appender(location) as live:
            while order:
                count = data.draw(st.integers(1, 4))
                live.append(order[:count])
                order = order[count:]
                if data.draw(st.booleans()):
                    live.fold(everything=data.draw(st.booleans()))
        report = check(location)
        assert report.problems == []
        digests.add(report.digest)
    assert len(digests) == 1
    best = {}
    for one in came:
        key = (one.subsystem, one.run, one.time)
        if key not in best or (one.entries, one.digest) > (best[key].entries, best[key].digest):
            best[key] = one
    for (subsystem, run, when), one in best.items():
        view = location.reader().subsystem(subsystem)
        run_index = view.any_run_index(run)
        (number,) = np.flatnonzero(view.rows(run_index).time == when.astype(np.int64))
        (found,) = rows_of(view, run_index, np.array([number]))
        assert found == dict(one.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", cases([0, 1, 2], [1]))
def test_over_many_chunks_rows_come_in_any_order_and_are_folded_at_any_time(empty, seed):
    rng = random.Random(seed)
    minutes = list(range(200))
    came = sorted(minutes, key=lambda minute: minute + rng.choice([0, 0, 0, 5, 150]) * rng.random())
    with appender(empty) as live:
        while came:
            count = rng.randint(1, 60)
            live.append([snapshot(minute) for minute in came[:count]])
            came = came[count:]
            rng.choice([lambda: live.fold(seconds=0), live.fold, lambda: live.fold(everything=True), lambda: None])()
            held = sorted(set(minutes) - set(came))
            assert contents(empty) == [[minute, 2 * minute] for minute in held]
    assert check(empty).problems == []


@pytest.mark.slow
def test_plain_zarr_and_xarray_see_folded_rows_and_the_tail_apart(tmp_path):
    """As docs/architecture.md says: without owtrend, by the arrays alone."""
    empty = Store.create(tmp_path / "store")
    import json

    import icechunk
    import xarray as xr
    import zarr

    with appender(empty) as live:
        live.append([snapshot(minute) for minute in range(70)])
        live.fold()
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(empty.location))
    session = repository.readonly_session("main")
    dataset = xr.open_zarr(session.store, group="raw/EMC", consolidated=False, chunks=None)
    folded = int(dataset.n_rows[0])
    assert folded == 64
    assert dataset.counts.isel(run=0, time=slice(0, folded), cell=1).values.tolist() == list(range(64))
    assert dataset.time.isel(run=0, time=1).values == START + MINUTE
    group = zarr.open_group(session.store, mode="r")["raw/EMC"]
    lines = [bytes(line).rstrip(b"\0") for line in group["tail_rows"][:]]
    tail = {json.loads(line)["time"]: slot for slot, line in enumerate(lines) if line}
    assert [int(group["tail_counts"][slot, 1]) for _, slot in sorted(tail.items())] == list(range(64, 70))
