"""Damage of every kind: it is named by the check, and repair, ingest and compute bring all of it back."""

import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

import owtrend
from owtrend.cli import main
from owtrend.compute.compute import compute
from owtrend.errors import StoreDamagedWarning, StoreError
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from owtrend.store.upkeep.repair import ledger, repair
from tests import builders
from tests.store import faults

pytestmark = pytest.mark.slow
CHECKSUM = "its bytes have changed (checksum)"
ROWS = 70  # more than a chunk


def _study(case):
    """A case like another one, for before a release."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.study)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files, and a store of three runs with its trends and scores."""
    folder, chance = tmp_path_factory.mktemp("whole"), np.random.default_rng(1)
    for run in (300000, 300001, 300002):
        fills = {name: np.cumsum(chance.poisson(5, (ROWS, 8)), axis=0).tolist() for name in ("h", "g")}
        builders.write_run(folder / "data", fills, run=run)
    builders.ingest(folder / "data", folder / "store")
    compute(str(folder / "store"), workers=0)
    store = Store.open(folder / "store")
    return Whole(folder, check(store).digest, derived(store))


class Whole(NamedTuple):
    """Files and their store, with all that it holds."""

    folder: Path
    digest: str
    derived: dict


@pytest.fixture
def store(whole, tmp_path):
    shutil.copytree(whole.folder / "store", tmp_path / "store")
    return Store.open(tmp_path / "store")


def derived(store):
    """Trends and scores by run, whatever the order in which the runs came."""
    view = store.reader().subsystem("EMC")
    return {
        (what, array, run): getattr(view, what).block(array, run_index, slice(0, ROWS))
        for what, arrays in {"trends": ("value", "error", "state"), "scores": ("z", "total", "flagged")}.items()
        for array in arrays
        for run, run_index in view.run_indices.items()
    }


def bring_back(store, whole, *, computed=True):
    builders.ingest(whole.folder / "data", store.location)
    again = Store.open(store.location)
    report = check(again)
    assert (report.problems, report.digest) == ([], whole.digest)
    if not computed:
        return
    compute(store.location, workers=0)
    found = derived(again)
    assert found.keys() == whole.derived.keys()
    for name, values in whole.derived.items():
        np.testing.assert_array_equal(found[name], values, err_msg=str(name))


@pytest.mark.parametrize(
    ("array", "chunk", "where", "action"),
    [
        ("raw/EMC/counts", (1, 0, 0), "EMC run 300001, 64 snapshots, 2018-06-01T12:00:00 to 2018-06-01T13:03:00 UTC: "
         "counts of h and 1 more", "drop EMC run 300001, 64 snapshots, "),
        ("scores/EMC/total", (0, 0, 0), "EMC: scores, total", "drop the damaged scores of EMC"),
        *map(_study, [
            ("raw/EMC/sums", (2, 1, 0), "EMC run 300002, 6 snapshots", "drop EMC run 300002, 6 snapshots, "),
            ("raw/EMC/time", (0, 0), "EMC: time of 3 runs, 300000 to 300002", "drop 3 runs, 300000 to 300002 of EMC"),
            ("raw/EMC/digest", (0, 0, 0), "EMC: digest of 3 runs", "drop 3 runs, 300000 to 300002 of EMC"),
            ("raw/EMC/provenance", (1, 0), "EMC: provenance of run 300001", "drop run 300001 of EMC"),
            ("raw/EMC/summary", (0, 0), "EMC: summaries of runs", "drop all summaries of EMC"),
            ("raw/EMC/run", (0,), "EMC: run, which all its runs need", "drop all runs of EMC"),
            ("raw/EMC/registry", (0,), "EMC: registry, which all its runs need", "drop all runs of EMC"),
            ("trends/EMC/value", (0, 0, 0, 1), "EMC: trends, value", "drop the damaged trends of EMC"),
            ("scores/EMC/revision", (0,), "EMC: scores, revision", "drop all scores of EMC"),
            ("quality/origin", (0,), "origin", "drop all quality"),
        ]),
    ],
    ids=lambda value: value.replace("/", "-") if isinstance(value, str) and "/" in value else "",
)  # fmt: skip
def test_changed_bytes_are_named_and_brought_back(store, whole, array, chunk, where, action):
    faults.spoil(store, array, *chunk)
    (problem,) = check(store).problems
    assert problem.startswith(where)
    assert problem.endswith(CHECKSUM)
    assert repair(store, dry_run=True).actions[0].startswith(action)
    assert check(store).problems == [problem]
    done = repair(store)
    assert done.actions[0].startswith(action)
    assert done.tag in store.tags
    assert ledger(store.reader())[0]["what"] == "repaired"
    bring_back(store, whole, computed="raw" not in array)


@pytest.mark.parametrize("lose", [Path.unlink, faults.flip])
@pytest.mark.parametrize(
    "array", ["raw/EMC/n_rows", *map(_study, ["raw/EMC/counts", "raw/EMC/layout", "trends/EMC/error"])]
)
def test_a_damaged_list_of_chunks_is_named_and_brought_back(store, whole, array, lose):
    lose(faults.manifest_of(store, array))
    problems = check(Store.open(store.location)).problems
    assert any("the list of its chunks: " in problem or "which all its runs need" in problem for problem in problems)
    repair(Store.open(store.location))
    bring_back(store, whole, computed="trends" in array)


@pytest.mark.filterwarnings("ignore::owtrend.errors.StoreDamagedWarning")
@pytest.mark.parametrize("lose", [Path.unlink, faults.flip, lambda path: path.write_bytes(b"")])
def test_a_store_whose_newest_version_is_damaged_goes_back_to_the_one_before(store, whole, lose):
    lose(faults.version_file(store))
    result = CliRunner().invoke(main.main, ["check", store.location])
    assert result.exit_code == 1
    assert "PROBLEM: " in result.output
    result = CliRunner().invoke(main.main, ["repair", store.location])
    assert result.exit_code == 0, result.output
    assert "done: go back to version" in result.output
    bring_back(store, whole, computed=False)


@pytest.mark.parametrize("content", [b"", b'{"snapshot":"'])
def test_a_store_whose_branch_is_lost_shows_the_newest_whole_version_and_refuses_to_be_written(store, whole, content):
    version = store.reader().version
    Path(store.location, "refs/branch.main/ref.json").write_bytes(content)
    with pytest.warns(StoreDamagedWarning, match="the newest whole one is of"):
        archive = owtrend.open(store.location)
    assert archive.version == version
    with pytest.warns(StoreDamagedWarning):
        fallen_back = Store.open(store.location)
    with pytest.raises(StoreError, match="owtrend repair"), appender(fallen_back) as live:
        live.append([builders.snapshot(3)])
    before = sorted(path.name for path in Path(store.location).rglob("*"))
    for refused in (lambda: fallen_back.clean(timedelta(0), force=True), lambda: fallen_back.tag("a")):
        with pytest.raises(StoreError, match="owtrend repair"):
            refused()
    assert sorted(path.name for path in Path(store.location).rglob("*")) == before
    repair(fallen_back)
    assert faults.branch(store) == version
    bring_back(store, whole, computed=False)


def test_rows_in_the_tail_that_are_damaged_are_dropped(store):
    with appender(store) as live:
        live.append([builders.snapshot(minute, run=300003) for minute in range(3)])
    faults.spoil(store, "raw/EMC/tail_counts", 1, 0)
    (problem,) = check(store).problems
    assert problem.startswith("EMC run 300003, ")
    repair(store)
    assert check(store).problems == []
    assert len(store.reader().subsystem("EMC").times(3)) == 2


def test_a_moved_time_is_found(store):
    with store.writer("raw") as begin:
        transaction = begin()
        transaction.group["raw/EMC/time"][1, 5] += 7 * 10**9
        transaction.commit("seven seconds")
    (problem,) = check(store).problems
    assert problem == (
        "EMC run 300001, 2018-06-01T12:05:07 UTC: time, mode, layout or provenance have changed"
    )  # fmt: skip


def test_a_quick_check_reads_which_rows_there_are_and_nothing_else(store):
    faults.spoil(store, "raw/EMC/counts", 1, 0, 0)
    faults.spoil(store, "raw/EMC/provenance", 1, 0)
    assert (check(store, deep=False).problems, check(store, deep=False).rows) == ([], 3 * ROWS)
    with store.writer("raw") as begin:
        transaction = begin()
        transaction.group["raw/EMC/time"][1, 5] += 7 * 60 * 10**9
        transaction.commit("seven minutes")
    assert check(store, deep=False).problems == ["EMC run 300001: times do not increase"]
    faults.spoil(store, "raw/EMC/layout", 0, 0)
    (problem,) = check(store, deep=False).problems
    assert problem.startswith("EMC: layout of 3 runs")


def test_a_removed_run_need_not_be_readable(store, whole):
    faults.spoil(store, "raw/EMC/counts", 1, 0, 0)
    result = CliRunner().invoke(main.main, ["remove", store.location, "300001", "--why", "damaged"])
    assert result.exit_code == 0, result.output
    bring_back(store, whole, computed=False)


@pytest.mark.study
@pytest.mark.filterwarnings("ignore::owtrend.errors.StoreDamagedWarning")
def test_any_changed_bit_and_any_lost_file_is_harmless_or_named_and_brought_back(whole, tmp_path):
    """1,000 bits and 200 files of every kind."""
    chance = random.Random(0)
    good = {name: values.tobytes() for name, values in whole.derived.items()}
    for number in range(1200):
        copy = tmp_path / str(number)
        shutil.copytree(whole.folder / "store", copy)
        kinds = [folder for folder in copy.iterdir() if folder.name not in ("locks", "checksums")]
        files = [path for path in [chance.choice(kinds)] for path in ([path] if path.is_file() else path.rglob("*"))]
        path = chance.choice([path for path in files if path.is_file() and path.stat().st_size])
        what = f"{number}: {path.relative_to(copy)}"
        if number % 6 == 5:
            path.unlink()
        else:
            faults.flip(path, chance.randrange(8 * path.stat().st_size))
        report = check(Store.open(copy))
        if not report.problems and Store.open(copy).fallen_back is None:
            assert report.digest == whole.digest, what
            assert {name: values.tobytes() for name, values in derived(Store.open(copy)).items()} == good, what
        else:
            repair(Store.open(copy))
            bring_back(Store.open(copy), whole)
        shutil.rmtree(copy)
