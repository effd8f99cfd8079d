"""The labelled runs: what the labels tell, and what is found by them."""

import numpy as np
import pandas as pd
import pytest

import owtrend
from benchmarks.studies import labelled_runs, rivals
from benchmarks.studies.incidents import COLUMNS, Reports, timed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def known(shared):
    return labelled_runs.labels(shared / "generated" / "runs")


@pytest.fixture(scope="module")
def store(shared, tmp_path_factory):
    return labelled_runs.converted(shared / "generated" / "runs", tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def reports(store):
    return Reports.of(owtrend.open(store), labelled_runs.CYCLE)


def flagged(faults, reports):
    rows = [(one.subsystem, one.run, one.histogram, one.start, one.stop, one.kind, 9.0, "") for one in faults]
    return timed(pd.DataFrame(rows, columns=list(COLUMNS)), reports)


def test_anomalies_last_from_the_snapshot_before_the_first_to_the_last(known):
    hot = next(one for one in known.anomalies if one.kind == "hot_channel")
    assert (hot.run, hot.subsystem, hot.histogram) == (300103, "EMC", "EMCTRQA_histTRUL0hits")
    assert (f"{hot.start:%H:%M:%S}", f"{hot.stop:%H:%M:%S}") == ("14:16:00", "14:30:03")
    assert hot.size == 88.0
    stalls = [one for one in known.anomalies if one.kind == "stall"]
    assert [one.subsystem for one in stalls] == ["EMC", "TPC", "TOF"]
    assert all(one.histograms == () and np.isnan(one.size) for one in stalls)
    assert [one.kind for one in known.benign] == ["rate_step"] * 3
    assert known.runs == (300101, 300102, 300103, 300104)


def test_flags_of_all_anomalies_find_them_all_and_none_is_needless(known, reports):
    flags = flagged(known.anomalies, reports)
    assert labelled_runs.found(known, flags, reports) == ["report 1"] * len(known.anomalies)
    assert labelled_runs.needless(known, flags, reports) == dict.fromkeys(known.runs, (0, 0))


def test_flags_of_one_histogram_do_not_find_what_stops_the_whole_run(known, reports):
    flags = flagged([one for one in known.anomalies if one.histograms], reports)
    told = dict(zip((one.kind for one in known.anomalies), labelled_runs.found(known, flags, reports), strict=True))
    assert told["stall"] == "no"
    assert told["hot_channel"] == "report 1"


def test_flags_of_benign_changes_and_of_the_clean_run_are_needless(known, reports):
    row = ("TOF", 300103, "hTOFRaws", "2024-05-01T14:20:05", "2024-05-01T14:21:05", "rate", 9.0, "")
    other = ("TOF", 300101, "hTOFRaws", "2024-05-01T10:05:55", "2024-05-01T10:06:58", "rate", 9.0, "")
    flags = timed(pd.DataFrame([row, other], columns=list(COLUMNS)), reports)
    expected = dict.fromkeys(known.runs, (0, 0)) | {300101: (1, 0), 300103: (1, 1)}
    assert labelled_runs.needless(known, flags, reports) == expected


def test_a_baseline_finds_the_hot_channel_and_flags_nothing_in_the_clean_run(known, store, reports):
    flags = timed(rivals.autodqm_by_report(store), reports)
    told = dict(zip((one.kind for one in known.anomalies), labelled_runs.found(known, flags, reports), strict=True))
    assert told["hot_channel"] == "report 1"
    assert labelled_runs.needless(known, flags, reports)[300101] == (0, 0)


def test_the_command_prints_what_is_found_and_what_is_needless(shared, capsys):
    labelled_runs.main([str(shared / "generated" / "runs"), "--detector=autodqm-report"])
    lines = capsys.readouterr().out.splitlines()
    assert "| 300103 | hot_channel | EMC | EMCTRQA_histTRUL0hits | 88.0 | report 1 |" in lines
    assert "| 300103 | stall | TPC | all | - | no |" in lines
    assert "| 300101 | 0, 0 |" in lines
