"""The whole story in one process: a detector -> ROOT files -> store -> slices and trends -> the page."""

import numpy as np
import pytest

import owtrend
from dashboards.app import create_app
from ingest import simulate
from ingest.archive import ingest
from owtrend.compute import compute

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    truth = simulate(folder / "data", runs=3, snapshots=40, scale=0.002)
    summary = ingest.ingest(ingest.find_files([folder / "data"]), folder / "store", workers=0)
    compute.compute(folder / "store", workers=0)
    return folder / "store", truth, summary


def fault(truth, kind):
    (found,) = [fault for fault in truth.faults if fault.kind == kind]
    start, stop = (np.datetime64(time.replace(tzinfo=None), "ns") for time in (found.start, found.stop))
    return found, start, stop


def test_every_file_is_in_the_store_or_in_quarantine(story):
    store, truth, summary = story
    assert summary.added + summary.quarantined == truth.files
    cut, _, when = fault(truth, "truncated_file")
    (row,) = owtrend.open(store).quarantine.to_dict("records")
    assert (row["subsystem"], row["run"], np.datetime64(row["time"])) == (cut.subsystem, cut.run, when)


def test_the_hot_channel_stands_out_in_a_slice_after_it_began_and_not_before(story):
    store, truth, _ = story
    hot, start, stop = fault(truth, "hot_channel")
    towers = owtrend.open(store).histogram(hot.subsystem, hot.histogram, run=hot.run)

    def busiest_share(first, last):
        gained = owtrend.time_slice(towers, first, last).contents
        return float(gained.max() / gained.sum())

    assert busiest_share(None, start) < 0.03
    assert busiest_share(start + np.timedelta64(6, "m"), stop) > 0.3


def test_the_restart_and_the_gap_are_counted_in_slices_and_nowhere_else(story):
    store, truth, _ = story
    opened = owtrend.open(store)
    for kind, coord in (("restart", "restarts"), ("gap", "gaps")):
        known, start, stop = fault(truth, kind)
        name = opened.histograms(known.subsystem).index[0]
        for run in opened.runs.index:
            histogram = opened.histogram(known.subsystem, name, run=run)
            expected = int(run == known.run)
            assert owtrend.time_slice(histogram)[coord] == expected
            if expected:
                assert owtrend.time_slice(histogram, start, stop)[coord] == 1
                assert owtrend.time_slice(histogram, None, start)[coord] == 0


def test_stored_trends_equal_those_of_the_increments(story):
    store, _, _ = story
    opened = owtrend.open(store)
    gained = owtrend.increments(opened.histogram("HLT", "fHistClusterChargeTot", run=300002))
    trend = opened.trend("HLT", "fHistClusterChargeTot", "mean", run=300002)
    with np.errstate(invalid="ignore"):
        expected = (gained.contents * gained.x).sum("x").values / gained.contents.sum("x").values
    np.testing.assert_allclose(trend.value.values, expected, rtol=1e-9)
    np.testing.assert_array_equal(trend.reported.values, gained.reported.values)


def test_the_page_is_made_for_every_histogram_of_the_store(story):
    store, _, _ = story
    assert create_app(store)() is not None


def test_each_incident_is_an_alarm_and_those_of_old_data_are_recorded_and_not_sent(story):
    archive = owtrend.open(story[0])
    alarms, incidents = archive.alarms, archive.incidents()
    assert list(alarms["name"]) == list(incidents["id"])
    assert (alarms["start"].values == incidents["start"].values).all()
    assert alarms["announced"].isna().all()
    over = alarms[alarms["state"] == "resolved"]
    assert (over["stop"].values > incidents["stop"].values[alarms["state"] == "resolved"]).all()
    assert len(over) > 2
