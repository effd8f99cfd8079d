"""A store in memory, which most tests need no folder for."""

import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.errors import StoreError
from owtrend.store import Store, appender
from owtrend.store.check import check
from tests import making
from tests.snapshots import snapshot


def test_a_store_in_memory_is_appended_to_computed_and_read():
    store = Store.in_memory()
    with appender(store) as live:
        live.append([snapshot(minute) for minute in range(3)])
        live.fold(everything=True)
    assert compute(store.location, workers=0).runs == 1
    trend = owtrend.open(store.location).trend("EMC", "folder/h", "entries")
    assert trend["value"].values.tolist() == [0, 3, 3]


def test_a_store_in_memory_takes_in_files(tmp_path):
    making.write_run(tmp_path, {"h": [[0, 1, 0, 1], [1, 1, 4, 1]]})
    store, stored = Store.in_memory(), Store.create(tmp_path / "store")
    making.ingest(tmp_path, store.location)
    making.ingest(tmp_path, stored.location)
    assert check(store.reader()).digest == check(stored.reader()).digest
    assert making.ingest(tmp_path, store.location).added == 0


def test_a_store_in_memory_goes_with_its_last_user():
    store = Store.in_memory()
    location = store.location
    assert Store.open_or_create(location).version == store.version
    del store
    with pytest.raises(StoreError, match="no such store in this process"):
        Store.open(location)
