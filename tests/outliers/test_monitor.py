"""One histogram, report by report: what it is compared with, and what becomes part of its references."""

import numpy as np
import pytest

from owtrend.outliers.monitor import COMPARISONS, Counts, HistogramMonitor
from owtrend.outliers.null_model import NullModel
from tests.builders import independent_fills

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
        compared.append(np.isfinite(scores.z).any(axis=1).tolist())
        monitor.accept(report)
    assert compared[0] == [True, False, False, False]
    assert compared[1] == [True, True, True, False]
    assert compared[5] == [True] * len(COMPARISONS)


def test_reports_that_are_not_accepted_are_no_reference():
    rng = np.random.default_rng(3)
    hot = SHAPE.copy()
    hot[7] += SHAPE.sum()
    monitor = HistogramMonitor(null_model=independent_fills())
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
        monitor = HistogramMonitor(counts(rng, 100), independent_fills())
        for _ in range(6):
            report = counts(rng)
            scores = monitor.test(report)
            assert scores is not None
            totals.append(scores.total)
            monitor.accept(report)
    assert np.mean(np.array(totals) > 3.09) < 0.002
    assert np.max(totals) > 2


def run(rng, monitor, draw, threshold=3.8):
    """Totals of twelve reports; those below the threshold become part of the references."""
    totals = []
    for _ in range(12):
        data = draw(rng)
        scores = monitor.test(data)
        good = scores is None or scores.total < threshold
        if scores is not None:
            totals.append(scores.total)
            monitor.learn(scores, good=good)
        if good:
            monitor.accept(data)
    return totals


@pytest.mark.parametrize("dispersion", [1.4, 2.0, 5.0])
def test_fills_in_clusters_are_normal_from_the_first_run_on(dispersion):
    rng = np.random.default_rng(5)
    shape = rng.gamma(3, 20, size=102)
    sizes = np.array([102], dtype=np.int64)

    def draw(rng):
        clusters = rng.standard_gamma(shape / (dispersion - 1)) * (dispersion - 1)
        return Counts(rng.poisson(clusters).astype(float), sizes)

    totals, summaries, reference = [], [], None
    for _ in range(20):
        monitor = HistogramMonitor(reference, NullModel.from_runs(summaries))
        totals += run(rng, monitor, draw)
        summaries.append(monitor.scatter())
        reference = monitor.accepted.to_counts()
    assert max(totals) < 4.2
    hot = shape.copy()
    hot[40] *= 6
    shape = hot
    assert min(run(rng, HistogramMonitor(reference, NullModel.from_runs(summaries)), draw)[:3]) > 5


def test_bins_that_vary_from_run_to_run_are_normal_once_runs_have_shown_by_how_much():
    rng = np.random.default_rng(6)
    sizes = np.array([102], dtype=np.int64)
    shape = rng.gamma(3, 3000, size=102)
    totals, summaries, reference = [], [], None
    for _ in range(10):
        varied = shape * np.exp(rng.normal(0, 0.06, size=102))
        monitor = HistogramMonitor(reference, NullModel.from_runs(summaries))
        totals.append(max(run(rng, monitor, lambda rng, varied=varied: Counts(rng.poisson(varied) + 0.0, sizes))))
        summaries.append(monitor.scatter())
        reference = monitor.accepted.to_counts() if monitor.accepted is not None else reference
    assert max(totals[1:3]) > 5
    assert max(totals[7:]) < 4


def test_a_change_that_stays_does_not_become_the_spread_from_run_to_run():
    rng = np.random.default_rng(7)
    sizes = np.array([102], dtype=np.int64)
    shape = rng.gamma(3, 3000, size=102)
    summaries, reference = [], Counts(rng.poisson(60 * shape) + 0.0, sizes)
    for _ in range(6):
        monitor = HistogramMonitor(reference, NullModel.from_runs(summaries))
        run(rng, monitor, lambda rng: Counts(rng.poisson(shape) + 0.0, sizes))
        summaries.append(monitor.scatter())
    changed = shape * np.exp(rng.normal(0, 0.1, size=102))
    for _ in range(2):
        monitor = HistogramMonitor(reference, NullModel.from_runs(summaries))
        assert min(run(rng, monitor, lambda rng: Counts(rng.poisson(changed) + 0.0, sizes))) > 5
        summaries.append(monitor.scatter())


def test_only_a_report_that_cannot_be_the_same_by_chance_repeats_the_one_before():
    rng = np.random.default_rng(11)
    monitor = HistogramMonitor()
    first, second = counts(rng), counts(rng)
    monitor.accept(first)
    assert not monitor.repeats(first, first), "nothing is known yet: it may be a pulser that counts the same each time"
    scores = monitor.test(second)
    assert scores is not None
    monitor.learn(scores, good=True)
    assert monitor.repeats(second, Counts(second.counts.copy(), SIZES))
    assert not monitor.repeats(first, second)
    rare = Counts(np.eye(22)[3] + np.eye(22)[7], SIZES)
    assert not monitor.repeats(rare, rare), "of two counts it is likely"
    pulses = Counts(np.full(22, 50.0), SIZES)
    pulser = HistogramMonitor()
    for _ in range(3):
        if (scores := pulser.test(pulses)) is not None:
            pulser.learn(scores, good=True)
        pulser.accept(pulses)
    assert not pulser.repeats(pulses, pulses)


def test_a_profile_repeats_only_if_its_sums_do():
    known = independent_fills()
    moments = np.stack([np.full(22, 50.0), np.linspace(100, 200, 22), np.linspace(300, 900, 22)])
    one, other = (Counts(moments[0], SIZES, moments * np.array([[1], [up], [1]])) for up in (1.0, 1.01))
    monitor = HistogramMonitor(null_model=known)
    assert monitor.repeats(one, one)
    assert not monitor.repeats(one, other)
