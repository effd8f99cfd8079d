"""One histogram, report by report: what it is compared with, and what becomes part of its references."""

import numpy as np
import pytest

from owtrend.outliers.monitor import COMPARISONS, Counts, HistogramMonitor
from owtrend.outliers.null_model import NullModel, summary

SIZES = np.array([22], dtype=np.int64)
SHAPE = np.random.default_rng(0).gamma(3, size=22)


def counts(rng, times=20.0, shape=SHAPE):
    return Counts(rng.poisson(times * shape).astype(float), SIZES)


def test_the_first_report_without_other_runs_is_compared_with_nothing():
    assert HistogramMonitor().test(counts(np.random.default_rng(1))) is None


def test_each_comparison_starts_when_its_reference_exists():
    rng = np.random.default_rng(2)
    monitor = HistogramMonitor(counts(rng, 100))
    compared = []
    for _ in range(6):
        report = counts(rng)
        scores = monitor.test(report)
        assert scores is not None
        compared.append(np.isfinite(scores.raw).any(axis=1).tolist())
        monitor.accept(report)
    assert compared[0] == [True, False, False, False]
    assert compared[1] == [True, True, True, False]
    assert compared[5] == [True] * len(COMPARISONS)


def test_reports_that_are_not_accepted_are_no_reference():
    rng = np.random.default_rng(3)
    hot = SHAPE.copy()
    hot[7] += SHAPE.sum()
    monitor = HistogramMonitor()
    for _ in range(5):
        monitor.accept(counts(rng))
    totals = []
    for _ in range(5):
        scores = monitor.test(counts(rng, shape=hot))
        assert scores is not None
        totals.append(scores.total)
    assert min(totals) > 20
    after = monitor.test(counts(rng))
    assert after is not None
    assert after.total < 3


def test_totals_of_good_reports_exceed_the_limit_of_one_in_a_thousand_rarely():
    rng = np.random.default_rng(4)
    totals = []
    for _ in range(300):
        monitor = HistogramMonitor(counts(rng, 100))
        for _ in range(6):
            report = counts(rng)
            scores = monitor.test(report)
            assert scores is not None
            totals.append(scores.total)
            monitor.accept(report)
    assert np.mean(np.array(totals) > 3.09) < 0.002
    assert np.max(totals) > 2


@pytest.mark.parametrize("bunch", [1, 9])
def test_fills_in_bunches_are_normal_after_some_runs(bunch):
    rng = np.random.default_rng(5)

    def report(times):
        return Counts(bunch * rng.poisson(times * SHAPE / bunch).astype(float), SIZES)

    summaries, totals = [], []
    for _ in range(12):
        monitor = HistogramMonitor(report(100), NullModel.from_runs(summaries) if len(summaries) >= 3 else None)
        for _ in range(12):
            data = report(20)
            scores = monitor.test(data)
            assert scores is not None
            totals.append(scores.total)
            monitor.accept(data)
        summaries.append(summary(monitor.raw))
    assert max(totals[72:]) < 4.5
    if bunch > 1:
        assert max(totals[:12]) > 4.5
