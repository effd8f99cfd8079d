"""Ratios of two histograms are of intervals from report to report of both, whoever reports when."""

from itertools import product

import numpy as np
import pytest

from owtrend.histograms import run_histogram
from owtrend.model.axis import Axis
from owtrend.trends.intervals import Together, continuing, stretches
from owtrend.trends.reductors import parse
from tests.builders import MINUTE, START, archive_of, filled, histogram, snapshots
from tests.studies import cases

X = Axis.spaced(4, 0, 4)
KINDS, REDUCTORS = ["TH1", "TH2", "TH3", "weighted"], ["efficiency(total)", "ratio(total)"]


def of_kind(kind, count):
    """A histogram of ``count`` fills, spread over its bins."""
    x = np.arange(count) % 4
    if kind == "weighted":
        return filled([X], x, weights=np.full(count, 0.5))
    dims = int(kind[2])
    return filled([X] * dims, np.stack([x] * dims, axis=1))


def sent(passed, total, kind="TH1", restart=None):
    """An archive in which each histogram changes only in the rows in which it is sent.

    Parameters
    ----------
    passed, total
        Rows in which each is sent; in those before its first it is what was sent before the run's first snapshot.
    restart
        Row from which on both count from zero again.
    """
    fills = [1000 * (1 + row % 3) for row in range(12)]
    good = [count * (8 if row < 6 else 5) // 10 for row, count in enumerate(fills)]
    rows = []
    for row in range(12):
        made = {}
        for name, gained, when in (("passed", good, passed), ("total", fills, total)):
            latest = max((at for at in when if at <= row), default=-1)
            first = 0 if restart is None or latest < restart else restart
            made[name] = of_kind(kind, sum(gained[first : latest + 1]))
        rows.append(made)
    return archive_of(*snapshots(rows)), fills, good


def minutes(times):
    """Rows of the snapshots with these times; None for the begin of the run."""
    return [None if np.isnat(time) else int((time - START) / MINUTE) for time in np.asarray(times)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reductor"),
    cases(product(KINDS, REDUCTORS), [("TH1", "efficiency(total)"), ("weighted", "ratio(total)")]),
)
def test_an_efficiency_is_from_report_to_report_of_both(kind, reductor):
    archive, _, _ = sent(passed=range(0, 12, 2), total=range(0, 12, 3), kind=kind)
    trend = archive.trend("EMC", "passed", reductor, run=300000)
    rows = np.flatnonzero(np.isfinite(trend.value)).tolist()
    assert rows == []  # the first report of both is withdrawn, and row 6 has nothing known before it
    archive, fills, good = sent(passed=range(0, 12, 2), total=[0, 2, 5, 6, 9, 10], kind=kind)
    trend = archive.trend("EMC", "passed", reductor, run=300000)
    rows = np.flatnonzero(np.isfinite(trend.value)).tolist()
    assert rows == [0, 2, 6, 10]
    expected = [sum(good[a:b]) / sum(fills[a:b]) for a, b in ((0, 1), (1, 3), (3, 7), (7, 11))]
    np.testing.assert_allclose(trend.value[rows], expected, rtol=1e-12)
    assert minutes(trend.start[rows]) == [None, 0, 2, 6]
    assert trend.exposure[rows[1:]].values.tolist() == [120, 240, 240]


@pytest.mark.slow
def test_histograms_that_report_in_alternate_snapshots_have_no_ratio(caplog):
    archive, _, _ = sent(passed=range(1, 12, 2), total=range(0, 12, 2))
    for every in (None, "4min", "run"):
        trend = archive.trend("EMC", "passed", "efficiency(total)", run=300000, every=every)
        assert np.isnan(trend.value).all()
    assert (
        "no efficiency(total) of passed: in run 300000 they have no two snapshots in which both report" in caplog.text
    )


@pytest.mark.slow
def test_intervals_and_whole_runs_are_ratios_of_what_reports_of_both_cover():
    archive, fills, good = sent(passed=range(0, 12, 2), total=[0, 2, 5, 6, 9, 10])
    trend = archive.trend("EMC", "passed", "efficiency(total)", run=300000, every="4min")
    assert minutes(trend.start) == [None, 0, 2, 6]
    assert minutes(trend.stop) == [0, 2, 6, 10]
    expected = [sum(good[a:b]) / sum(fills[a:b]) for a, b in ((0, 1), (1, 3), (3, 7), (7, 11))]
    np.testing.assert_allclose(trend.value, expected, rtol=1e-12)
    whole = archive.trend("EMC", "passed", "efficiency(total)", every="run")
    assert whole.value.item() == pytest.approx(sum(good[:11]) / sum(fills[:11]))


@pytest.mark.slow
def test_a_first_snapshot_with_an_older_report_is_withdrawn():
    archive, fills, good = sent(passed=[0, 1, 4, 6, 8], total=[0, 2, 4, 6, 8])
    trend = archive.trend("EMC", "passed", "efficiency(total)", run=300000)
    assert np.flatnonzero(np.isfinite(trend.value)).tolist() == [6, 8]
    np.testing.assert_allclose(trend.value[[6, 8]], [sum(good[5:7]) / sum(fills[5:7]), 0.5])


@pytest.mark.slow
def test_a_restart_of_both_begins_anew_and_a_restart_of_one_is_left_out():
    archive, *_ = sent(passed=range(12), total=range(12), restart=8)
    trend = archive.trend("EMC", "passed", "efficiency(total)", run=300000)
    np.testing.assert_allclose(trend.value, [0.8] * 6 + [0.5] * 6)
    rows = [
        {"passed": of_kind("TH1", p), "total": of_kind("TH1", t)} for p, t in ((8, 10), (16, 20), (4, 30), (12, 40))
    ]
    trend = archive_of(*snapshots(rows)).trend("EMC", "passed", "efficiency(total)", run=300000)
    np.testing.assert_allclose(trend.value, [0.8, 0.8, np.nan, 0.8])


@pytest.mark.slow
def test_other_bins_leave_an_interval_out():
    wide = Axis.spaced(8, 0, 4)
    total = [filled([X], np.full(count, 0.5)) for count in (10, 20, 30)]
    total += [filled([wide], np.full(count, 0.5)) for count in (40, 50)]
    rows = [
        {"passed": filled([X], np.full(4 * row + 4, 0.5)), "total": one} for row, one in enumerate(total)
    ]  # fmt: skip
    trend = archive_of(*snapshots(rows)).trend("EMC", "passed", "efficiency(total)", run=300000)
    np.testing.assert_allclose(trend.value, [0.4, 0.4, 0.4, np.nan, 0.4])


def test_two_states_have_a_ratio_in_each_snapshot():
    rows = [
        {"passed": histogram([0, value, 0, 0], gauge=True), "total": histogram([0, 4, 0, 0], gauge=True)}
        for value in (2, 2, 3)
    ]
    trend = archive_of(*snapshots(rows)).trend("EMC", "passed", "ratio(total)", run=300000)
    assert trend.value.values.tolist() == [0.5, 0.5, 0.75]


@pytest.fixture(scope="module")
def parts():
    """Rows and increments of two histograms that report now and then, are absent, restart and change their bins."""
    rng = np.random.default_rng(4)
    rows = []
    counts, latest = np.zeros(2, dtype=int), [0, 0]
    for row in range(40):
        counts = np.zeros(2, dtype=int) if row in (10, 31) else counts
        counts += rng.integers(1, 30, 2) * [1, 3]
        latest = [now if rng.random() < 0.8 else before for now, before in zip(counts.tolist(), latest, strict=True)]
        if row == 31:
            latest = [counts[0], latest[1]]  # only one of them restarts in this row
        axis = X if row < 20 else Axis.spaced(8, 0, 4)
        made = {"h": filled([X], np.full(latest[0], 0.5)), "other": filled([axis], np.full(latest[1], 0.5))}
        rows.append({name: one for name, one in made.items() if rng.random() < 0.95})
    view = archive_of(*snapshots(rows)).stored("EMC")
    pieces = [run_histogram.by_binning(view, 300000, view.registry.find(name, "")) for name in ("h", "other")]
    return lambda first, last: [
        [(of[number].rows[some], continuing(of, number, some)) for number, some in stretches(of, first, last)]
        for of in pieces
    ]


@pytest.mark.slow
@pytest.mark.parametrize("cuts", [range(1, 40), [7, 13, 14, 27]])
def test_a_ratio_does_not_depend_on_how_a_run_is_cut(parts, cuts):
    def made(cuts):
        both, values = Together(), {}
        for first, last in zip([0, *cuts], [*cuts, 40], strict=True):
            covered, withdrawn = both.add(*parts(first, last))
            both = Together.from_state(both.state())
            for rows, *pair in covered:
                begin = pair[0].begin.tolist()
                values |= dict(zip(rows.tolist(), zip(*parse("ratio(o)")(*pair), begin, strict=True), strict=True))
            for row in withdrawn:
                del values[row]
        return values, [one.in_range() for one in both.total]

    np.testing.assert_equal(made(cuts), made([]))
    assert len(made([])[0]) > 5
