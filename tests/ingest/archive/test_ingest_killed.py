"""An ingest killed at any moment, or without a worker: nothing is lost or stored twice."""

import random
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
import pytest

import owtrend
from ingest.archive import ingest as archive
from ingest.simulator.simulate import simulate
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests.studies import sizes

pytestmark = pytest.mark.slow

RUNS, SNAPSHOTS, SUBSYSTEMS = 6, 4, 3  # three batches for two workers
INGESTING = """
import sys
from ingest.archive import ingest

def say(*words):
    print(*words, flush=True)

summary = ingest.ingest(ingest.find_files([sys.argv[1]]), sys.argv[2], workers=2, progress=say)
say("added", summary.added)
"""


class Undisturbed(NamedTuple):
    data: str
    rows: int
    digest: str


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """An archive with one damaged file, and the result of an undisturbed ingest."""
    folder = tmp_path_factory.mktemp("undisturbed")
    simulate(folder / "data", runs=RUNS, snapshots=SNAPSHOTS, scale=0.001, faults=())
    damaged = max((folder / "data" / "Run300003" / "HLT").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:2000])
    ingest(folder / "data", folder / "store")
    report = check(Store.open(folder / "store"))
    assert report.rows == RUNS * SNAPSHOTS * SUBSYSTEMS - 1
    return Undisturbed(str(folder / "data"), report.rows, report.digest)


def ingest(data, store):
    return archive.ingest(archive.find_files([data]), store, workers=0)


def begin(data, store):
    return subprocess.Popen([sys.executable, "-c", INGESTING, data, str(store)], stdout=subprocess.PIPE, text=True)


def follow(process, lines, rng):
    """Wait for ``lines`` more lines of output and a random moment longer; returns the worker processes."""
    for _ in range(lines):
        process.stdout.readline()
    time.sleep(rng.random() * 0.1)
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def assert_undisturbed(store, undisturbed):
    """The store is clean and equal to the undisturbed one, and a further call changes nothing."""
    report = check(Store.open(store))
    assert (report.problems, report.rows, report.digest) == ([], undisturbed.rows, undisturbed.digest)
    version = Store.open(store).version
    again = ingest(undisturbed.data, store)
    assert (again.added, again.duplicates, again.known) == (0, 0, undisturbed.rows + 1)  # and the damaged one
    assert Store.open(store).version == version
    assert len(owtrend.open(store).quarantine) == 1


@pytest.mark.parametrize("killed_after", sizes(([10],), ([5, 10],)))  # lines of output: in a later batch, in the first
def test_whenever_it_is_killed_the_next_call_goes_on_from_whole_runs(undisturbed, tmp_path, killed_after):
    rng, rows_before, workers = random.Random(1), 0, []
    for lines in killed_after:
        with begin(undisturbed.data, tmp_path / "store") as process:
            workers += follow(process, lines, rng)
            process.kill()
        assert process.returncode == -9
        store = Store.open(tmp_path / "store")
        report = check(store)
        assert report.problems == []
        assert report.rows >= rows_before
        rows_before = report.rows
        for subsystem in store.reader().subsystems:
            rows = store.reader().subsystem(subsystem).per_run["n_rows"]
            assert set(rows.tolist()) <= {0, SNAPSHOTS, SNAPSHOTS - (subsystem == "HLT")}
    assert rows_before > 0
    assert len(workers) == 2 * len(killed_after)
    assert not psutil.wait_procs(workers, timeout=20)[1], "workers outlive the process that started them"
    assert ingest(undisturbed.data, tmp_path / "store").added == undisturbed.rows - rows_before
    assert_undisturbed(tmp_path / "store", undisturbed)


@pytest.mark.study  # tests of the cluster kill a worker that computes
def test_a_worker_that_is_killed_costs_time_only(undisturbed, tmp_path):
    rng = random.Random(2)
    with begin(undisturbed.data, tmp_path / "store") as process:
        rng.choice(follow(process, 6, rng)).kill()  # while it converts
        *_, last = process.stdout
    assert process.returncode == 0
    assert last.split() == ["added", str(undisturbed.rows)]
    assert_undisturbed(tmp_path / "store", undisturbed)
