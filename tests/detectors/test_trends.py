import shutil

import numpy as np
import pytest

import owtrend
from owtrend.compute import compute
from owtrend.config import Config, SubsystemConfig
from owtrend.detectors import Detector, Trends, detectors
from owtrend.detectors.trends import kept_trends, with_trends
from owtrend.store.repository import Store
from owtrend.trends.reductors import DEFAULT
from tests.builders import archive_of, histogram, snapshot

CELLS = [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 9, 0], [0, 0, 0, 0]]


def test_there_are_as_many_trends_as_in_overwatch():
    counts = {
        name: sum(len(one.patterns) * len(one.reductors) for one in known.trends) for name, known in detectors().items()
    }
    assert {name: counts[name] for name in ("EMC", "TPC", "HLT")} == {"EMC": 90, "TPC": 9, "HLT": 114}


def test_what_has_no_meaning_for_a_histogram_is_left_out():
    declared = Trends(("h", "map"), ("mean_x", "highest"), {"y": (0.9, 5.0)})
    entries = archive_of(snapshot(1, histogram([0, 1, 0], "h"), histogram(CELLS, "map"))).stored("EMC").registry
    kept = kept_trends(Detector("EMC", trends=(declared,)), entries.histograms.values())
    assert kept == {"map": ["mean_x(y=1:2)", "highest(y=1:2)"]}


def test_the_fullest_bin_of_two_axes_is_found_in_a_range_too():
    archive = archive_of(*(snapshot(minute, histogram(minute * np.array(CELLS), "map")) for minute in (1, 2)))
    assert archive.trend("EMC", "map", "highest", run=300000)["value"].values.tolist() == [9, 9]
    assert archive.trend("EMC", "map", "highest(y=0:1)", run=300000)["value"].values.tolist() == [3, 3]
    assert archive.trend("EMC", "map", "maximum", run=300000)["value"].values.tolist() == [12, 12]  # of the sum over y
    assert archive.trend("EMC", "map", "highest", run=300000, every="run")["value"].item() == 18


def test_trends_of_plug_ins_are_added_to_what_a_configuration_has(monitored):
    reader = Store.open(monitored.location).reader()
    name = "fHistVZERO_SPDClusters"
    own = Config(subsystems={"HLT": SubsystemConfig(reductors={name: ["rate"]})})
    wider = with_trends(own, reader)
    assert wider.for_subsystem("HLT").for_histogram(name) == ["rate", "highest"]
    assert wider.for_subsystem("HLT").for_histogram("fHistTPCTrackPt") == ["maximum"]
    assert wider.for_subsystem("TPC").for_histogram("TPCQA/h_tpc_event_recvertex_0") == []  # kept of every histogram
    assert "mean_x" in DEFAULT
    assert with_trends(wider, reader) is wider


@pytest.mark.slow
def test_compute_keeps_the_trends_of_plug_ins_and_is_done_then(monitored, tmp_path):
    store = shutil.copytree(monitored.location, tmp_path / "store")
    first = compute.compute(store, workers=0, scores=False)
    again = compute.compute(store, workers=0, scores=False)
    assert (first.runs, again.runs, again.unchanged) == (3, 0, 3)
    name = "fHistTPCdEdxTotTPCAll"
    kept = owtrend.open(store)
    assert "highest" in kept.stored("HLT").trends.reductors
    one, other = (archive.trend("HLT", name, "highest", run=300000) for archive in (kept, monitored))
    np.testing.assert_array_equal(one["value"], other["value"])
    np.testing.assert_array_equal(one["error"], other["error"])
    assert kept.trend("HLT", name, "highest", run=300000, every="run")["value"].item() > one["value"].values[0]
