"""A small store of two runs, made once."""

import shutil
from itertools import count
from pathlib import Path

import pytest

import owtrend
from tests import builders

ROWS = [[0, 1, 0, 1], [1, 1, 4, 1], [0, 2, 0, 0], [0, 5, 1, 0]]  # a restart at the third: entries fall from 7 to 2


@pytest.fixture(scope="session")
def small_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    builders.write_run(folder / "data", {"h": ROWS, "sometimes": [ROWS[0], None, ROWS[1], None]})
    builders.write_run(folder / "data", {"h": ROWS[:2]}, run=300001, minutes=count(120))
    builders.write_run(folder / "data", {"t": ROWS}, subsystem="TPC")
    builders.ingest(folder / "data", folder / "store")
    return folder / "store"


@pytest.fixture
def small(small_store):
    return owtrend.open(small_store)


@pytest.fixture(scope="session")
def rooted(tmp_path_factory):
    """Three snapshots that ROOT wrote, of every class and kind of axis."""
    store = tmp_path_factory.mktemp("root") / "store"
    builders.ingest(Path(__file__).parents[0] / "data" / "root", store)
    return owtrend.open(store)


@pytest.fixture(scope="session")
def projections(tmp_path_factory):
    """The one snapshot that ROOT's answers are of."""
    folder = tmp_path_factory.mktemp("projections")
    (folder / "data").mkdir()
    source = Path(__file__).parents[0] / "data/root/projections.root"
    shutil.copy(source, folder / "data" / "EMChistos_300000_C_2018_6_1_12_0_0.root")
    builders.ingest(folder / "data", folder / "store")
    return owtrend.open(folder / "store")
