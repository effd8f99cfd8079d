import json

import numpy as np
import pytest
from click.testing import CliRunner

from owtrend.cli import main
from owtrend.compute.compute import compute
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check, rows_of
from tests import builders
from tests.ingest.decode.test_reader import CLASSES, ROOT_FILES


@pytest.fixture
def filled(tmp_path):
    """A store of genuine snapshots of ROOT, with weights, profiles, labels and what not."""
    builders.ingest(ROOT_FILES, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.mark.slow
def test_a_good_store_has_no_problems_and_one_digest(filled):
    report = check(filled)
    assert report.problems == []
    assert report.rows == 3
    assert report.digest == check(filled).digest


def test_rows_come_back_as_they_were_stored(filled):
    from ingest import SnapshotReader

    view = filled.reader().subsystem("EMC")
    files = sorted(ROOT_FILES.glob("EMC*.root"))
    for histograms, path in zip(rows_of(view, 0, np.arange(3)), files, strict=True):
        snapshot = SnapshotReader().read(path)
        assert histograms.keys() == set(snapshot)
        for name, one in histograms.items():
            assert one == snapshot[name]


@pytest.mark.slow
def test_every_class_of_root_comes_back_as_it_was_stored(tmp_path):
    from dataclasses import replace

    from ingest import SnapshotReader

    snapshot = SnapshotReader().read(CLASSES)
    named = replace(snapshot, subsystem="QC", run=1, time=np.datetime64("2024-01-01", "ns"))
    store = Store.create(tmp_path / "store")
    with appender(store) as live:
        live.append([named])
    (histograms,) = rows_of(store.reader().subsystem("QC"), 0, np.arange(1))
    for path, one in snapshot.items():
        assert histograms[path] == one
    assert check(store).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("array", ["counts", "weights", "sums"])
def test_a_changed_cell_is_found(filled, array):
    with filled.writer("raw") as begin:
        transaction = begin()
        transaction.write_block("EMC", array, 0, 1, 3, np.array([[77]]))
        transaction.commit("a cosmic ray")
    report = check(filled)
    assert len(report.problems) == 1
    assert report.problems[0].startswith("EMC run 300000, 2018-06-01T12:01:03 UTC: checksum mismatch")
    result = CliRunner().invoke(main.main, ["check", filled.location])
    assert result.exit_code == 1
    assert "PROBLEM: EMC run 300000" in result.output


@pytest.mark.slow
def test_the_command_prints_the_digest(filled):
    result = CliRunner().invoke(main.main, ["check", filled.location, "--digest"])
    assert (result.exit_code, result.output.strip()) == (0, check(filled).digest)


@pytest.mark.slow
def test_the_command_counts_what_compute_saw():
    rows = {"h": [[0, 500, 0], [0, 900, 0], [0, 100, 0]], "m": [[0, *[100] * 20, 0], [0, 99, *[101] * 19, 0], None]}
    archive = builders.archive_of(*builders.snapshots(rows))

    def printed(*options):
        return CliRunner().invoke(main.main, ["check", archive.location, *options]).output

    assert "restarts and the like of 1 run are not up to date: run `owtrend compute" in printed()
    compute(archive.location, scores=False, workers=0)
    assert "  EMC: 1 restart, 1 moved-entries snapshot of histograms; `owtrend kinds" in printed()
    (seen,) = json.loads(printed("--json"))["recognised"]
    assert seen == {
        "subsystem": "EMC", "gauge": 0, "reset": 0, "restarts": 1, "out_of_order": 0, "unknown": 0, "moved": 1,
    }  # fmt: skip
