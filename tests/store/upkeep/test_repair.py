import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import owtrend
from ingest.archive import ingest
from owtrend.cli import main
from owtrend.errors import NotFoundError, StoreError, StoreLockedError, UsageError
from owtrend.store import repository
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep import repair
from owtrend.store.upkeep.check import check
from tests import builders
from tests.builders import snapshot

ROWS = [[0, 1, 0], [0, 2, 0], [0, 5, 0]]


@pytest.fixture
def two_runs(tmp_path):
    for run in (300000, 300001):
        builders.write_run(tmp_path / "data", {"h": ROWS}, run=run)
    builders.ingest(tmp_path / "data", tmp_path / "store")
    return Store.open(tmp_path / "store")


def size(store):
    return sum(path.stat().st_size for path in Path(store.location).rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_removed_run_is_gone_but_not_from_tags_and_can_be_ingested_again(two_runs, tmp_path):
    before = check(two_runs).digest
    two_runs.tag("good")
    repair.remove_run(two_runs, 300000, why="taken with a wrong map")
    opened = owtrend.open(two_runs.location)
    assert opened.runs.index.tolist() == [300001]
    assert opened.histogram("EMC", "h").sizes["snapshot"] == 3
    assert owtrend.open(two_runs.location, as_of="good").runs.index.tolist() == [300000, 300001]
    (entry,) = repair.ledger(two_runs.reader())
    assert (entry["what"], entry["subsystem"], entry["run"], entry["rows"]) == ("removed", "EMC", 300000, 3)
    assert entry["why"] == "taken with a wrong map"
    revision = two_runs.reader().subsystem("EMC").per_run["revision"][0]
    builders.ingest(tmp_path / "data", two_runs.location)
    assert check(two_runs).digest == before
    assert two_runs.reader().subsystem("EMC").per_run["revision"][0] > revision


@pytest.mark.slow
def test_a_run_in_the_tail_is_removed_too(tmp_path):
    store = Store.create(tmp_path / "store")
    with appender(store) as live:
        live.append([snapshot(1), snapshot(1, run=300001), snapshot(1, subsystem="TPC")])
    repair.remove_run(store, 300000, why="a test", subsystem="EMC")
    assert owtrend.open(store.location).runs["subsystems"].to_dict() == {300000: "TPC", 300001: "EMC"}
    with appender(store) as live:
        live.append([snapshot(2)])
    assert len(store.reader().subsystem("EMC").times(0)) == 1
    assert check(store).problems == []


@pytest.mark.slow
def test_merged_stores_are_equal_in_any_order(tmp_path):
    """Two halves of a data taking, some snapshots in both; a copied store is as good as the first."""
    rows = [[0, n + 1, 0] for n in range(6)]
    builders.write_run(tmp_path / "data", {"h": rows, "p": rows})
    files = sorted((tmp_path / "data").rglob("*.root"))
    builders.ingest(tmp_path / "data", tmp_path / "all")
    for name, own in (("early", files[:4]), ("late", files[2:])):
        found = ingest.find_files(own, timezone="UTC")
        ingest.ingest(found, tmp_path / name, workers=0, timezone="UTC")
    shutil.copytree(tmp_path / "late", tmp_path / "copy")
    for name, other in (("early", "copy"), ("late", "early")):
        result = CliRunner().invoke(
            main.main, ["merge", str(tmp_path / name), str(tmp_path / other), "--why", "a test"]
        )
        assert "2 added, " in result.output
        report = check(Store.open(tmp_path / name))
        assert (report.problems, report.digest) == ([], check(Store.open(tmp_path / "all")).digest)
    assert repair.merge(Store.open(tmp_path / "late"), Store.open(tmp_path / "copy"), why="again")["added"] == 0
    assert [entry["what"] for entry in repair.ledger(Store.open(tmp_path / "late").reader())] == ["merged"] * 2
    assert builders.ingest(tmp_path / "data", tmp_path / "early").known >= 4  # the rows kept where they came from


def test_a_repair_needs_a_run_and_a_reason(two_runs):
    with pytest.raises(UsageError, match="no reason given"):
        repair.remove_run(two_runs, 300000, why=" ")
    with pytest.raises(NotFoundError, match="no run 7"):
        repair.remove_run(two_runs, 7, why="not there")
    result = CliRunner().invoke(main.main, ["remove", two_runs.location, "300001", "--why", "a test"])
    assert (result.exit_code, len(repair.ledger(two_runs.reader()))) == (0, 1)


@pytest.mark.slow
def test_cleaning_frees_old_versions_and_keeps_the_newest_and_tags(tmp_path):
    store = Store.create(tmp_path / "store")
    with appender(store) as live:
        for minute in range(70):
            live.append([snapshot(minute)])
            if minute == 10:
                store.tag("early")
        live.fold(everything=True)
    expected, before = check(store).digest, size(store)
    assert CliRunner().invoke(main.main, ["clean", store.location]).output.endswith("0.0 MB freed\n")
    freed = store.clean(timedelta(0), force=True)
    assert size(store) == pytest.approx(before - freed, rel=0.02)
    assert freed > before / 5
    with appender(store) as live:
        live.append([snapshot(100)])
    assert store.tags == ("early",)
    assert len(store.reader("early").subsystem("EMC").times(0)) == 11
    assert check(store, as_of="early").problems == []
    view = store.reader().subsystem("EMC")
    assert (len(view.times(0)), check(store).problems) == (71, [])
    assert expected != check(store).digest


@pytest.mark.parametrize("role", ["raw", "derived"])
def test_cleaning_leaves_a_store_alone_that_somebody_writes_to(two_runs, role):
    with (
        two_runs.writer(role),
        pytest.raises(StoreLockedError, match=f"the {role} writer"),
    ):
        two_runs.clean()


@pytest.mark.slow
def test_cleaning_keeps_what_may_be_in_use(two_runs):
    with pytest.raises(UsageError, match="younger than 1 h may be in use"):
        two_runs.clean(timedelta(minutes=50))
    result = CliRunner().invoke(main.main, ["clean", two_runs.location, "--older-than", "0", "--force"])
    assert (result.exit_code, check(two_runs).problems) == (0, [])


@pytest.mark.slow
def test_cleaning_that_is_killed_half_way_leaves_a_whole_store(two_runs, monkeypatch):
    expire = two_runs._repository.expire_snapshots

    def killed(older_than):
        expire(older_than=older_than)
        raise KeyboardInterrupt

    monkeypatch.setattr(two_runs._repository, "expire_snapshots", killed)
    with pytest.raises(KeyboardInterrupt):
        two_runs.clean(timedelta(0), force=True)
    again = Store.open(two_runs.location)
    assert (again.fallen_back, check(again).problems) == (None, [])
    again.clean(timedelta(0), force=True)
    assert check(again).problems == []


def test_cleaning_says_which_older_version_is_damaged_and_deletes_it_once_it_is_old_enough(two_runs):
    repair.remove_run(two_runs, 300001, why="for another version")
    newest, *older = two_runs._repository.ancestry(branch="main")
    used = {manifest for _, manifest, _ in two_runs.nodes(newest.id)}
    lost = next(manifest for one in older for _, manifest, _ in two_runs.nodes(one.id) if manifest not in used)
    (Path(two_runs.location) / "manifests" / lost).unlink()
    words = (
        r"the version of .* is damaged \(a file of the store is missing\); from .* on `owtrend clean .* --older-than"
    )
    with pytest.raises(StoreError, match=words):
        Store.open(two_runs.location).clean(timedelta(hours=1))
    Store.open(two_runs.location).clean(timedelta(0), force=True)
    assert check(Store.open(two_runs.location)).problems == []


def test_cleaning_without_the_file_of_an_older_version_says_what_is_left_to_do(two_runs):
    older = list(two_runs._repository.ancestry(branch="main"))[1]
    (Path(two_runs.location) / "snapshots" / older.id).unlink()
    with pytest.raises(StoreError, match=r"version before that of .* cannot be read, .*`owtrend merge NEW "):
        Store.open(two_runs.location).clean(timedelta(0), force=True)


@pytest.mark.parametrize(
    ("hours", "words"), [(3, "3 h ahead of that of the disk"), (-3, "is 3 h behind the newest version")]
)
def test_cleaning_by_a_clock_that_is_wrong_deletes_nothing(two_runs, monkeypatch, hours, words):
    monkeypatch.setattr(repository, "_now", lambda: datetime.now(UTC) + timedelta(hours=hours))
    before = size(two_runs)
    with pytest.raises(StoreError, match=words):
        two_runs.clean(timedelta(0), force=True)
    assert size(two_runs) == before


def test_a_tag_cannot_be_given_twice(two_runs):
    two_runs.tag("good")
    with pytest.raises(StoreError, match="tag 'good' cannot be created"):
        two_runs.tag("good")
