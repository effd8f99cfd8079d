"""Incidents of a store, by one rule whether they are stored or joined now; files that cannot be read."""

import pytest

import owtrend
from owtrend.compute import compute
from owtrend.compute.stale import Stale
from owtrend.errors import NotFoundError
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.quality import results
from owtrend.quality.incident import incidents
from owtrend.store import quarantine, versions
from owtrend.store.derived import StoredScores
from owtrend.store.repository import Store
from tests import builders
from tests.builders import MINUTE, START

AXIS = Axis.spaced(3, 0.0, 3.0)
DAY = 24 * 60  # minutes


def counting(number):
    """A histogram with ``number`` fills in each bin."""
    return builders.filled([AXIS], [[0.5], [1.5], [2.5]] * number)


def filled_run(store, run, *, absent=(), snapshots=6):
    rows: list[dict[str, Histogram]] = [{"a": counting(n), "b": counting(n)} for n in range(1, snapshots + 1)]
    for number in absent:
        del rows[number]["b"]
    builders.append(store.location, builders.snapshots(rows, run, minutes=range(run * DAY, run * DAY + snapshots)))


def add_to_quarantine(store, run, minute, subsystem="EMC", reason="cut short"):
    time = int((START + minute * MINUTE).astype(int))
    line = quarantine.entry(
        f"{subsystem} {run} {minute} {reason}.root", reason, subsystem=subsystem, run=run, time=time
    )
    with store.writer("raw") as begin:
        transaction = begin()
        transaction.quarantine([line])
        transaction.commit("another file")


def computed(store):
    compute.compute(store.location, workers=0)
    return owtrend.open(store.location)


@pytest.fixture
def store():
    """Two runs; in the first, a histogram goes missing."""
    store = Store.in_memory()
    filled_run(store, 1, absent=(4, 5))
    filled_run(store, 2)
    return store


@pytest.mark.slow
def test_files_quarantined_after_a_run_was_scored_make_its_findings_stale_until_compute(store):
    assert computed(store).findings()["score"].tolist() == ["absent"]
    add_to_quarantine(store, 2, 2 * DAY + 6)
    before = owtrend.open(store.location)
    assert before.stale.values.tolist() == [["EMC", 2, "findings", Stale.DATA.value]]
    after = computed(store)
    assert after.stale.empty
    assert after.findings()["score"].tolist() == ["absent", "unreadable"]
    assert after.findings(runs=2)["why"].tolist() == ["cut short"]
    assert after.incidents()["runs"].tolist() == [(1,), (2,)]
    assert compute.compute(store.location, workers=0).scored == 0


@pytest.mark.slow
def test_unreadable_files_are_found_where_a_run_or_a_subsystem_has_no_others(store):
    add_to_quarantine(store, 7, 7 * DAY)
    add_to_quarantine(store, 7, 7 * DAY, reason="zero bytes")
    add_to_quarantine(store, 7, 7 * DAY + 1)
    add_to_quarantine(store, 7, 7 * DAY, "TPC")
    archive = computed(store)
    files = archive.findings(runs=7)
    assert files["subsystem"].tolist() == ["EMC", "TPC", "EMC"]
    assert files["why"].tolist() == ["cut short and 1 more file", "cut short", "cut short"]
    assert files["id"].is_unique
    assert archive.findings("TPC")["run"].tolist() == [7]
    assert archive.incidents("TPC")["subsystems"].tolist() == [("EMC", "TPC")]
    with pytest.raises(NotFoundError, match="no subsystem 'TCP'"):
        archive.incidents("TCP")


@pytest.mark.slow
def test_incidents_are_stored_and_read_without_joining_them_again(store, monkeypatch):
    add_to_quarantine(store, 2, 2 * DAY + 2)
    archive = computed(store)
    assert archive.incidents()["id"].tolist() == archive.findings()["id"].tolist()
    monkeypatch.setattr(results, "incidents", None)
    assert owtrend.open(store.location).incidents().equals(archive.incidents())


@pytest.mark.slow
def test_incidents_of_an_older_store_are_joined_when_they_are_asked_for(store):
    new = computed(store)
    with store.writer("derived") as begin:
        transaction = begin()
        del transaction.group["quality"]
        transaction.commit("as before incidents were stored")
    assert owtrend.open(store.location).incidents().equals(new.incidents())


@pytest.mark.slow
def test_only_runs_that_changed_are_read_again(store, monkeypatch):
    computed(store)
    read = []

    def spy(runs, known=()):
        runs = list(runs)
        read.extend(run.run for run in runs)
        return incidents(runs, known)

    monkeypatch.setattr(results, "incidents", spy)
    filled_run(store, 3, absent=(3, 4, 5))
    assert computed(store).incidents()["runs"].tolist() == [(1,), (3,)]
    assert read == [3]
    monkeypatch.setattr(versions, "INCIDENTS", versions.INCIDENTS + 1)
    assert owtrend.open(store.location).incidents()["runs"].tolist() == [(1,), (3,)]
    assert read == [3, 1, 2, 3]


@pytest.mark.slow
def test_of_later_runs_only_those_with_findings_are_read_when_an_earlier_one_changes(store, monkeypatch):
    filled_run(store, 3, absent=(3, 4))
    filled_run(store, 4)
    before, read = computed(store).incidents(), []
    add_to_quarantine(store, 2, 2 * DAY + 6)

    def spy(scores, run_indices):
        read.extend(run_indices)
        return lines(scores, run_indices)

    lines = StoredScores.lines
    monkeypatch.setattr(StoredScores, "lines", spy)
    after = computed(store).incidents()
    assert read == [1, 2]  # by run index: of runs 2 and 3
    assert after["runs"].tolist() == [(1,), (2,), (3,)]
    assert after[after["run"] != 2].reset_index(drop=True).equals(before)


@pytest.mark.slow
def test_what_reaches_into_a_run_that_changed_is_joined_anew_from_its_beginning():
    store = Store.in_memory()
    for run in (1, 2, 3):  # without a break between them
        rows = [{"a": counting(number)} for number in range(1, 7)]
        builders.append(
            store.location, builders.snapshots(rows, run, minutes=[run * 6 + number for number in range(6)])
        )
        for number in (0, 2, 5):
            add_to_quarantine(store, run, run * 6 + number)
    assert computed(store).incidents()["runs"].tolist() == [(1, 2, 3)]
    add_to_quarantine(store, 3, 3 * 6 + 4, reason="zero bytes")
    whole = computed(store).incidents()
    assert whole[["runs", "findings"]].values.tolist() == [[(1, 2, 3), 10]]
    with store.writer("derived") as begin:
        transaction = begin()
        transaction.write_quality(origin=[])
        transaction.commit("all anew")
    assert owtrend.open(store.location).incidents().equals(whole)


@pytest.mark.slow
def test_an_incident_of_whole_snapshots_has_no_histogram_rather_than_a_number():
    store = Store.in_memory()
    builders.append(store.location, builders.snapshots([{"a": counting(number)} for number in range(1, 7)], 1))
    add_to_quarantine(store, 1, 3)
    assert computed(store).incidents()["histogram"].tolist() == [None]
