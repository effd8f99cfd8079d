from concurrent.futures import ThreadPoolExecutor

import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.errors import StoreError, StoreLockedError
from owtrend.store import appender
from owtrend.store.disk import locks
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.builders import snapshot


def test_a_store_is_not_made_over_something_else(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="already there and not empty"):
        Store.create(tmp_path)
    with pytest.raises(StoreError, match="unknown kind of store"):
        Store.open("ftp://somewhere")


def test_a_role_is_held_by_one_at_a_time(tmp_path):
    store = Store.create(tmp_path / "store")
    with (
        store.writer("raw"),
        pytest.raises(StoreLockedError, match="raw writer"),
        Store.open(store.location).writer("raw"),
    ):
        pass
    with store.writer("raw"):
        pass


def test_two_transactions_on_different_arrays_both_land(tmp_path):
    store = Store.create(tmp_path / "store")
    with store.writer("raw") as begin_raw, store.writer("derived") as begin_derived:
        one, other = begin_raw(), begin_derived()
        one.group.create_group("a")
        other.group.create_group("b")
        one.commit("a")
        other.commit("b")
    with store.writer("raw") as begin:
        assert sorted(begin().group.group_keys()) == ["a", "b"]


@pytest.mark.parametrize(
    "left",
    [
        ["config.yaml"],
        ["config.yaml", "snapshots/1CECHNKREP0F1RSTCMT0#1"],
        ["config.yaml", "snapshots/1CECHNKREP0F1RSTCMT0", "refs/branch.main/ref.json#1"],
    ],
)
def test_a_creation_that_was_killed_before_there_was_a_branch_is_begun_again(tmp_path, left):
    for name in left:
        (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / name).write_bytes(b"")
    (tmp_path / "store" / "refs").mkdir(exist_ok=True)
    assert Store.open_or_create(tmp_path / "store").reader().subsystems == ()


def test_a_folder_with_anything_else_is_left_as_it_is(tmp_path):
    for name in ("config.yaml", "snapshots/mine"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(StoreError, match="already there and not empty"):
        Store.open_or_create(tmp_path)
    assert (tmp_path / "snapshots" / "mine").read_text() == (tmp_path / "config.yaml").read_text() == "mine"


def test_a_store_that_another_process_creates_is_waited_for(tmp_path):
    with ThreadPoolExecutor(1) as thread:
        with locks.creation(tmp_path / "store"):
            other = thread.submit(Store.open_or_create, tmp_path / "store")
            store = Store._created(tmp_path / "store")
            assert not other.done()
        assert other.result(10).version == store.version


def test_a_store_in_memory_is_appended_to_computed_and_read():
    store = Store.in_memory()
    with appender(store) as live:
        live.append([snapshot(minute) for minute in range(3)])
        live.fold(everything=True)
    assert compute(store.location, workers=0).runs == 1
    trend = owtrend.open(store.location).trend("EMC", "h", "entries")
    assert trend["value"].values.tolist() == [0, 3, 3]


@pytest.mark.slow
def test_a_store_in_memory_takes_in_files(tmp_path):
    builders.write_run(tmp_path, {"h": [[0, 1, 0, 1], [1, 1, 4, 1]]})
    store, stored = Store.in_memory(), Store.create(tmp_path / "store")
    builders.ingest(tmp_path, store.location)
    builders.ingest(tmp_path, stored.location)
    assert check(store).digest == check(stored).digest
    assert builders.ingest(tmp_path, store.location).added == 0


def test_a_store_in_memory_goes_with_its_last_user():
    store = Store.in_memory()
    location = store.location
    assert Store.open_or_create(location).version == store.version
    del store
    with pytest.raises(StoreError, match="no such store in this process"):
        Store.open(location)


@pytest.mark.slow
def test_what_is_open_of_a_version_is_not_read_again():
    store = Store.in_memory()
    builders.append(store.location, [builders.snapshot(1)])
    reader = store.reader()
    assert Store.open(store.location).reader() is reader
    builders.append(store.location, [builders.snapshot(2)])
    assert len(store.reader().subsystem("EMC").times(0)) == 2
    assert len(reader.subsystem("EMC").times(0)) == 1


@pytest.mark.slow
def test_raw_data_are_not_read_again_after_derived_ones_were_written_unless_they_changed_too():
    store = Store.in_memory()
    builders.append(store.location, [builders.snapshot(1)])
    before = store.reader()
    runs = before.subsystem("EMC").per_run
    with store.writer("derived") as begin:
        transaction = begin()
        transaction.configure('{"subsystems": {}}', {})
        transaction.commit("configuration")
        after = store.reader()
        assert after.subsystem("EMC").per_run is runs
        assert (before.config_json, after.config_json) == ("", '{"subsystems": {}}')
        transaction = begin()
        builders.append(store.location, [builders.snapshot(2)])
        transaction.configure("{}", {})
        transaction.commit("configuration, after new data")
    assert len(store.reader().subsystem("EMC").times(0)) == 2
    assert len(after.subsystem("EMC").times(0)) == 1


@pytest.mark.slow
def test_chunks_are_no_larger_than_a_small_detector_needs():
    store = Store.in_memory()
    builders.append(store.location, [builders.snapshot(1)], fold=False)
    compute(store.location, workers=0)
    view = store.reader().subsystem("EMC")
    assert {name: view.group[name].chunks for name in ("counts", "tail_counts")} == {
        "counts": (1, 64, 1024), "tail_counts": (1, 4096)
    }  # fmt: skip
    assert view.trends.group["value"].chunks == (4, 256, 16, 1)
    assert view.scores.group["total"].chunks == (4, 256, 16)
