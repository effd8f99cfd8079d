"""Findings joined to incidents and matched to faults, in cases made by hand: reports every five minutes."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies.incidents import (
    COLUMNS,
    ReportTimes,
    clopper_pearson,
    concerns,
    garwood,
    incidents,
    instant,
    is_true,
    match_fault,
    timed,
)
from ingest.simulator.faults import Fault

START = datetime(2018, 6, 1, 12, 0, tzinfo=UTC)
RUN = 300000


def at(minute):
    return instant(START + timedelta(minutes=minute))


EVERY_FIVE = np.array([at(minute) for minute in range(5, 61, 5)])
KEYS = [(subsystem, RUN) for subsystem in ("EMC", "TPC")]
REPORTS = ReportTimes(
    {key: {"a": EVERY_FIVE, "b": EVERY_FIVE + np.timedelta64(60, "s")} for key in KEYS},
    {key: np.array([at(minute) for minute in range(1, 61)]) for key in KEYS},
    np.timedelta64(300, "s"),
)


def findings(*lines, **more):
    """Findings of ``(subsystem, histogram, from minute, to minute)``."""
    rows = [(subsystem, RUN, name, at(a), at(b), "zscore", 9.0, "") for subsystem, name, a, b in lines]
    return timed(pd.DataFrame(rows, columns=list(COLUMNS)).assign(**more), REPORTS)


def fault(start, stop, histogram="a", subsystem="EMC"):
    times = {"start": START + timedelta(minutes=start), "stop": START + timedelta(minutes=stop)}
    names = () if histogram is None else (histogram,)
    rest = {"kind": "hot_channel", "size": 1.0, "where": (), "details": ""}
    return Fault(run=RUN, subsystem=subsystem, histogram=histogram, histograms=names, **times, **rest)


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([("EMC", "a", 5, 10), ("EMC", "a", 10, 15)], 1, id="one-report-after-the-other"),
        pytest.param([("EMC", "a", 5, 10), ("EMC", "a", 15, 20)], 1, id="two-reports-apart"),
        pytest.param([("EMC", "a", 5, 10), ("EMC", "a", 20, 25)], 2, id="three-reports-apart"),
        pytest.param([("EMC", "a", 20, 25), ("EMC", "a", 5, 10)], 2, id="in-any-order"),
        pytest.param([("EMC", "a", 5, 10), ("EMC", "b", 16, 21)], 2, id="by-the-reports-of-the-first"),
        pytest.param([("EMC", "a", 5, 10), ("EMC", "b", 11, 16)], 1, id="other-histogram"),
        pytest.param([("EMC", None, 5, 10), ("EMC", "a", 15, 20)], 1, id="whole-subsystem-ten-minutes-after"),
        pytest.param([("EMC", None, 5, 10), ("EMC", None, 20, 22)], 2, id="whole-subsystem-eleven-minutes-after"),
        pytest.param([("EMC", "a", 5, 30), ("EMC", "a", 5, 10), ("EMC", "a", 30, 35)], 1, id="one-inside-another"),
        pytest.param([("EMC", "a", 5, 15), ("TPC", "a", 10, 20)], 1, id="overlap-across-subsystems"),
        pytest.param([("EMC", "a", 5, 10), ("TPC", "a", 10, 15)], 2, id="neighbours-across-subsystems"),
        pytest.param([("EMC", "a", 5, 10), ("TPC", "a", 5, 40), ("EMC", "a", 30, 35)], 1, id="joined-by-a-third"),
    ],
)
def test_findings_join_to_incidents(lines, number):
    assert len(incidents(findings(*lines))) == number


def test_an_incident_lasts_from_its_first_finding_to_its_last_and_lists_its_parts():
    (one,) = incidents(findings(("EMC", "a", 5, 10), ("TPC", "b", 6, 21), ("EMC", "a", 15, 20)))
    assert (one.start, one.stop) == (at(5), at(21))
    assert one.parts == (("EMC", at(5), at(20)), ("TPC", at(6), at(21)))


@pytest.mark.parametrize(
    ("line", "by_time", "by_subsystem"),
    [
        pytest.param(("EMC", "a", 5, 10), False, False, id="before"),
        pytest.param(("EMC", "a", 10, 15), True, True, id="over-the-start"),
        pytest.param(("EMC", "a", 35, 40), True, True, id="until-the-fifth-report-after"),
        pytest.param(("EMC", "a", 40, 45), False, False, id="the-sixth-report-after"),
        pytest.param(("TPC", "a", 15, 20), True, False, id="another-subsystem"),
    ],
)
def test_an_incident_is_true_if_it_overlaps_a_fault_or_five_reports_after(line, by_time, by_subsystem):
    faults = [fault(12, 17)]
    (one,) = incidents(findings(line))
    assert is_true(one, faults, REPORTS) is by_time
    assert is_true(one, faults, REPORTS, same_subsystem=True) is by_subsystem
    assert not is_true(one, [], REPORTS)


@pytest.mark.parametrize(
    ("line", "delay"),
    [
        pytest.param(("EMC", "a", 5, 10), None, id="raised-before"),
        pytest.param(("EMC", "a", 5, 60), None, id="raised-before-and-going-on"),
        pytest.param(("EMC", "a", 10, 15), 1, id="first-report-counts-from-before-the-start"),
        pytest.param(("EMC", "a", 15, 60), 2, id="second-report"),
        pytest.param(("EMC", "a", 30, 35), 5, id="fifth-report"),
        pytest.param(("EMC", "a", 35, 40), 6, id="sixth-report-five-after-the-window"),
        pytest.param(("EMC", "a", 40, 45), None, id="too-late"),
        pytest.param(("EMC", "b", 11, 16), None, id="another-histogram"),
        pytest.param(("TPC", "a", 10, 15), None, id="another-subsystem"),
        pytest.param(("EMC", None, 12, 14), 1, id="the-whole-subsystem"),
        pytest.param(("EMC", None, 20, 23), 3, id="the-whole-subsystem-later"),
    ],
)
def test_a_fault_is_found_by_the_reports_since_it_began(line, delay):
    found = match_fault(fault(12, 17), findings(line), REPORTS)
    assert found.delay == delay
    assert found.soon is (delay in (1, 2, 3, 5))


def test_the_earliest_finding_counts():
    assert match_fault(fault(12, 17), findings(("EMC", "a", 25, 30), ("EMC", "a", 15, 20)), REPORTS).delay == 2


def test_a_fault_of_whole_snapshots_is_measured_in_cycles():
    gap = fault(12, 16, histogram=None)
    assert match_fault(gap, findings(("EMC", None, 12, 16)), REPORTS).delay == 1
    assert match_fault(gap, findings(("EMC", "b", 16, 21)), REPORTS).delay == 2
    assert match_fault(gap, findings(("EMC", None, 41, 42)), REPORTS).delay is None


def test_a_finding_raised_at_the_end_of_a_run_counts_for_all_of_it():
    late = findings(("EMC", "a", 0, 60), raised=at(60))
    assert match_fault(fault(12, 17), late, REPORTS).delay == 10
    assert len(incidents(late)) == 1


def test_a_finding_without_a_raising_time_is_raised_by_its_first_report():
    made = findings(("EMC", "a", 5, 10), ("EMC", "a", 5, 30), raised=[np.datetime64("NaT"), at(25)])
    assert made["raised"].tolist() == [pd.Timestamp(at(10)), pd.Timestamp(at(25))]


def test_after_the_last_report_of_a_run_cycles_are_counted():
    assert REPORTS.after(("EMC", RUN), "a", at(52), 2) == at(60)
    assert REPORTS.after(("EMC", RUN), "a", at(52), 5) == at(75)
    assert REPORTS.after(("EMC", RUN), "a", at(60), 2) == at(70)
    assert REPORTS.after(("EMC", RUN), None, at(12), 2) == at(22)


def test_a_finding_without_a_histogram_concerns_the_whole_subsystem():
    made = findings(("EMC", np.nan, 12, 14), ("EMC", "a", 12, 14), ("EMC", "b", 12, 14))
    chosen = made["histogram"][concerns(made, fault(12, 17))]
    assert (chosen.isna().sum(), chosen.dropna().tolist()) == (1, ["a"])


@pytest.mark.parametrize(
    ("line", "minute"),
    [
        pytest.param(("EMC", "b", 12, 60), 16, id="first-report"),
        pytest.param(("EMC", None, 12, 60), 13, id="whole-subsystem-the-first-snapshot"),
        pytest.param(("EMC", "a", 12, 14), 14, id="its-end-if-no-report-is-in-it"),
        pytest.param(("HLT", "a", 12, 14), 14, id="its-end-if-nothing-is-known"),
    ],
)
def test_a_finding_is_raised_by_the_first_report_in_it(line, minute):
    assert findings(line)["raised"].tolist() == [pd.Timestamp(at(minute))]


def test_times_with_a_zone_are_taken_as_utc():
    zone = pd.Timestamp(START + timedelta(minutes=10)).tz_convert("Europe/Zurich")
    line = ("EMC", RUN, "a", zone, zone + pd.Timedelta("5min"), "zscore", 9.0, "")
    made = timed(pd.DataFrame([line], columns=list(COLUMNS)), REPORTS)
    assert made.loc[0, ["start", "raised"]].tolist() == [pd.Timestamp(at(10)), pd.Timestamp(at(15))]


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.888)]
)
def test_garwood_intervals_agree_with_tables(count, low, high):
    assert garwood(count) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(0, 20, 0, 0.1684), (10, 10, 0.6915, 1), (5, 10, 0.1871, 0.8129), (19, 20, 0.7513, 0.9987)],
)
def test_clopper_pearson_intervals_agree_with_tables(found, of, low, high):
    assert clopper_pearson(found, of) == pytest.approx((low, high), abs=1e-4)
