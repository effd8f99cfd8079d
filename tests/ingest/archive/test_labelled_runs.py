"""The labelled runs of the shared data, ingested in label call: the store agrees with the labels."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import owtrend
from ingest import naming
from ingest.archive import ingest
from owtrend.compute import compute
from owtrend.model.rows import RowFlag
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders

pytestmark = pytest.mark.slow


class Labelled(NamedTuple):
    folder: Path
    store: Path
    summary: ingest.IngestSummary
    runs: dict[int, dict]  # the labels of each, from labels.json

    @property
    def broken(self):
        """Unreadable files, with their kind of damage; missing files are left out."""
        events = [event for run in self.runs.values() for event in run["file_events"]]
        return {event["file"]: event["kind"] for event in events if event["kind"] != "missing_file"}

    def readable(self, run, subsystem):
        """The labels of the snapshots that can be read, in order of time."""
        return [label for label in self.runs[run]["snapshots"][subsystem] if label["file"] not in self.broken]

    def anomalies(self, kind):
        return [
            (run, label) for run, labels in self.runs.items() for label in labels["anomalies"] if label["kind"] == kind
        ]


@pytest.fixture(scope="module")
def labelled(shared, tmp_path_factory):
    folder, store = shared / "generated" / "runs", tmp_path_factory.mktemp("labelled") / "store"
    labels = json.loads((folder / "labels.json").read_text())["runs"]
    return Labelled(folder, store, builders.ingest(folder, store), {run["run"]: run for run in labels})


def rows_of(store, subsystem, run):
    view = Store.open(store).reader().subsystem(subsystem)
    return view.rows(view.run_indices[run])


def test_every_readable_snapshot_of_the_labels_is_there_at_its_time(labelled):
    numbers = {}
    for run, labels in labelled.runs.items():
        for subsystem in labels["subsystems"]:
            names = [naming.parse(label["file"]) for label in labelled.readable(run, subsystem)]
            times = rows_of(labelled.store, subsystem, run).time.view("datetime64[ns]")
            assert times.tolist() == [int(naming.to_utc(name.time, "UTC")[0].astype(int)) for name in names]
            numbers[run, subsystem] = len(times)
    assert len(numbers) == 12
    faulty = {(300103, subsystem): 19 for subsystem in ("EMC", "TOF", "TPC")}  # empty, missing, cut short
    assert numbers == dict.fromkeys(numbers, 20) | faulty
    summary = labelled.summary
    assert (summary.added, summary.duplicates, summary.skipped) == (sum(numbers.values()), 0, {})
    assert summary.runs == dict.fromkeys(("EMC", "TOF", "TPC"), sorted(labelled.runs))


def test_exactly_the_files_labelled_as_broken_are_quarantined(labelled):
    listed = owtrend.open(labelled.store).quarantine.set_index("source")
    assert sorted(listed.index) == sorted(labelled.broken)
    assert listed["object"].isna().all()
    words = {"zero_bytes": "empty file (0 bytes)", "truncated": "cut short (2,972 of 6,606 bytes)"}
    for source, kind in labelled.broken.items():
        assert words[kind] in listed.loc[source, "reason"]


def test_a_second_call_reads_nothing_and_lists_the_broken_files_again(labelled):
    again = builders.ingest(labelled.folder, labelled.store)
    known = labelled.summary.added + len(labelled.broken)
    assert (again.added, again.known, again.quarantine) == (0, known, labelled.summary.quarantine)
    assert len(owtrend.open(labelled.store).quarantine) == len(labelled.broken)


def test_snapshots_labelled_as_stalled_and_no_others_are_flagged_unchanged(labelled):
    stalls = {run: range(label["first"], label["last"] + 1) for run, label in labelled.anomalies("stall")}
    assert stalls
    for run, labels in labelled.runs.items():
        for subsystem in labels["subsystems"]:
            indices = np.array([label["index"] for label in labelled.readable(run, subsystem)])
            flags = rows_of(labelled.store, subsystem, run).flags
            assert indices[(flags & RowFlag.UNCHANGED) > 0].tolist() == list(stalls.get(run, ()))


def test_a_histogram_labelled_as_missing_is_absent_from_that_snapshot_alone(labelled):
    ((run, missing),) = labelled.anomalies("missing_hist")
    subsystem = missing["subsystem"]
    present = owtrend.open(labelled.store).histogram(subsystem, missing["hist"], run=run).time.values
    rows = rows_of(labelled.store, subsystem, run).time.view("datetime64[ns]")
    indices = [label["index"] for label in labelled.readable(run, subsystem)]
    absent = [index for index, time in zip(indices, rows, strict=True) if time not in present]
    assert absent == list(range(missing["first"], missing["last"] + 1))


def test_a_check_is_clean_and_counts_the_labelled_restarts(labelled):
    report = check(Store.open(labelled.store))
    assert (report.problems, report.rows) == ([], labelled.summary.added)
    archive = owtrend.open(labelled.store)
    slices = [archive.time_slice(subsystem, run=run) for run in archive.runs.index for subsystem in archive.subsystems]
    restarts = sum(made.interval.restarts for made in slices)
    assert restarts == len(labelled.anomalies("counter_reset")) == 1


@pytest.mark.study
def test_every_histogram_is_read_back_equal_to_uproot(labelled):
    import uproot

    opened = owtrend.open(labelled.store)
    compared = 0
    for run, labels in labelled.runs.items():
        for subsystem in labels["subsystems"]:
            rows = {}
            for label in labelled.readable(run, subsystem):
                with uproot.open(labelled.folder / label["file"]) as file:
                    for name in file.keys(cycle=False, recursive=True, filter_classname="/T(H|P).*/"):
                        rows.setdefault(name, []).append(file[name].values(flow=True))
            for name, expected in rows.items():
                got = owtrend.values(opened.histogram(subsystem, name, run=run, flow=True)).value.values
                np.testing.assert_array_equal(np.nan_to_num(got), np.nan_to_num(expected))
                compared += len(expected)
    assert compared > 1400


@pytest.fixture(scope="module")
def flags(labelled):
    compute.compute(labelled.store, workers=0)
    return owtrend.open(labelled.store).findings()


def when(labelled, run, subsystem, number):
    """Time of a labelled snapshot."""
    label = next(label for label in labelled.runs[run]["snapshots"][subsystem] if label["index"] == number)
    return naming.to_utc(naming.parse(label["file"]).time, "UTC")[0]


def test_every_labelled_fault_is_flagged_in_its_first_snapshots_or_as_soon_as_it_can_be(labelled, flags):
    late = {}
    for run, labels in labelled.runs.items():
        for label in labels["anomalies"]:
            subsystem, name = label.get("subsystem", "EMC"), label.get("hist")
            about = np.array([name is None or not names or name in names for names in flags["histograms"]])
            related = flags[(flags["run"] == run) & (flags["subsystem"] == subsystem) & about]
            stops = [when(labelled, run, subsystem, n) for n in range(label["first"], label["last"] + 1)]
            flagged = [
                number
                for number, stop in enumerate(stops)
                if ((related["start"] < stop) & (related["stop"] >= stop)).any()
            ]
            late[label["kind"], run] = flagged[0] if flagged else None
    assert None not in late.values()
    slow = {("slow_drift", 300104), ("module_gain", 300104)}
    assert {key: number for key, number in late.items() if key not in slow} == dict.fromkeys(late.keys() - slow, 0)
    assert late["slow_drift", 300104] <= 2


def test_the_clean_run_and_a_rate_that_falls_in_all_histograms_are_not_flagged(labelled, flags):
    assert flags[flags["run"] == 300101].empty
    (benign,) = labelled.runs[300103]["benign"]
    since = when(labelled, 300103, "EMC", benign["first"])
    after = flags[(flags["run"] == 300103) & (flags["stop"] >= since)]
    assert set(after["score"]) - {"gap", "silent"} <= {"bin", "window", "chi2", "shift"}
    assert set(after["histogram"].dropna()) <= {"EMCTRQA_histTRUL0hits"}
