"""The labelled runs: their labels, and the anomalies found."""

import numpy as np
import pandas as pd
import pytest

import owtrend
from benchmarks.studies import labelled_runs, rivals
from benchmarks.studies.incidents import COLUMNS, ReportTimes, timed

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def known(shared):
    return labelled_runs.labels(shared / "generated" / "runs")


@pytest.fixture(scope="module")
def store(shared, tmp_path_factory):
    return labelled_runs.converted(shared / "generated" / "runs", tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def reports(store):
    return ReportTimes.from_archive(owtrend.open(store), labelled_runs.CYCLE)


def findings_at(faults, reports):
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


def test_findings_at_all_anomalies_match_them_all_and_none_is_false(known, reports):
    findings = findings_at(known.anomalies, reports)
    assert labelled_runs.found(known, findings, reports) == ["report 1"] * len(known.anomalies)
    assert labelled_runs.false_incidents(known, findings, reports) == dict.fromkeys(known.runs, (0, 0))


def test_findings_of_one_histogram_do_not_match_an_anomaly_of_the_whole_run(known, reports):
    findings = findings_at([one for one in known.anomalies if one.histograms], reports)
    delays = dict(
        zip((one.kind for one in known.anomalies), labelled_runs.found(known, findings, reports), strict=True)
    )
    assert delays["stall"] == "no"
    assert delays["hot_channel"] == "report 1"


def test_findings_in_benign_changes_and_in_the_clean_run_are_false(known, reports):
    row = ("TOF", 300103, "hTOFRaws", "2024-05-01T14:20:05", "2024-05-01T14:21:05", "rate", 9.0, "")
    other = ("TOF", 300101, "hTOFRaws", "2024-05-01T10:05:55", "2024-05-01T10:06:58", "rate", 9.0, "")
    findings = timed(pd.DataFrame([row, other], columns=list(COLUMNS)), reports)
    expected = dict.fromkeys(known.runs, (0, 0)) | {300101: (1, 0), 300103: (1, 1)}
    assert labelled_runs.false_incidents(known, findings, reports) == expected


def test_a_baseline_finds_the_hot_channel_and_nothing_in_the_clean_run(known, store, reports):
    findings = timed(rivals.autodqm_by_report(store), reports)
    delays = dict(
        zip((one.kind for one in known.anomalies), labelled_runs.found(known, findings, reports), strict=True)
    )
    assert delays["hot_channel"] == "report 1"
    assert labelled_runs.false_incidents(known, findings, reports)[300101] == (0, 0)


def test_the_command_prints_what_is_found_and_what_is_false(shared, capsys):
    labelled_runs.main([str(shared / "generated" / "runs"), "--detector=autodqm-report"])
    lines = capsys.readouterr().out.splitlines()
    assert "| 300103 | hot_channel | EMC | EMCTRQA_histTRUL0hits | 88.0 | report 1 |" in lines
    assert "| 300103 | stall | TPC | all | - | no |" in lines
    assert "| 300101 | 0, 0 |" in lines
