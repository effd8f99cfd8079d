"""A small store of two runs, made once."""

import pytest

import owtrend
from tests import making

ROWS = [[0, 1, 0, 1], [1, 1, 4, 1], [0, 2, 0, 0], [0, 5, 1, 0]]  # a restart at the third: entries fall from 7 to 2


@pytest.fixture(scope="session")
def small_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    making.write_run(folder / "data", {"h": ROWS, "sometimes": [ROWS[0], None, ROWS[1], None]})
    making.write_run(folder / "data", {"h": ROWS[:2]}, run=300001, start=making.START.replace(hour=14))
    making.write_run(folder / "data", {"t": ROWS}, subsystem="TPC")
    making.ingest(folder / "data", folder / "store")
    return folder / "store"


@pytest.fixture
def small(small_store):
    return owtrend.open(small_store)
