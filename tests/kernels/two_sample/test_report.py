"""Two histograms compared: all scores, chance, and the verdict."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import report as kernels
from owtrend.kernels.two_sample.lines import line_bounds, line_sums
from tests.studies import sizes


def compared(data, reference):
    """Record and scores, of arrays with dims ([z, [y,]] x)."""
    sizes = np.shape(data)[::-1]
    flat = [np.asarray(counts, dtype=float).ravel() for counts in (data, reference)]
    groups = [(counts, line_sums(counts, np.array(sizes)), np.empty((3, 0))) for counts in flat]
    result = np.zeros(1, dtype=kernels.DIFFERENCE)
    kernels.compare(*groups, line_bounds(sizes), 10.0, result[0])
    return result[0], kernels.scores(result[0])


def scored(data, reference):
    _, z = compared(data, reference)
    return dict(zip((*kernels.SCORES, "overdispersion"), z.tolist(), strict=True))


@pytest.mark.parametrize("occupancy", [0.3, 3.0])
@pytest.mark.parametrize("trials", sizes(600, 3000))
def test_no_probability_is_too_small_where_nothing_is_wrong(occupancy, trials):
    rng = np.random.default_rng(5)
    p = []
    for _ in range(trials):
        shape = rng.gamma(2, size=(20, 30)) / 2
        found, _ = compared(rng.poisson(occupancy * shape), rng.poisson(5 * occupancy * shape))
        p.append([np.exp(found[f"{name}_log_p"]) * found[f"{name}_trials"] for name in ("bin", "window", "shift")])
    below = (np.array(p) < 0.01).mean(axis=0)
    assert (below < (0.016 if trials == 3000 else 0.025)).all()
    assert below.max() > 0.002


def test_an_empty_histogram_has_no_scores():
    for data, reference in ((np.zeros(5), np.ones(5)), (np.ones(5), np.zeros(5))):
        found, z = compared(data, reference)
        assert np.isnan([found["chi2"], found["bin_log_p"], found["window_log_p"], found["shift_log_p"]]).all()
        assert found["bin_trials"] == found["window_trials"] == found["shift_trials"] == 0
        assert np.isnan(z).all()


def test_chi2_of_a_single_count_and_two_full_bins_is_no_score():
    z = scored([20000, 21116, 0, 1], [21000, 21932, 0, 0])
    assert np.isnan(z["chi2"])
    assert z["bin"] < 3


def test_all_scores_are_normal_where_nothing_is_wrong():
    rng = np.random.default_rng(9)
    shape = rng.gamma(3, 20, 60)
    z = [scored(rng.poisson(shape), rng.poisson(4 * shape)) for _ in range(2000)]
    assert np.mean([scores["chi2"] for scores in z]) == pytest.approx(0, abs=0.08)
    assert np.std([scores["chi2"] for scores in z]) == pytest.approx(1, abs=0.06)
    assert np.mean([scores["overdispersion"] for scores in z]) == pytest.approx(1, abs=0.02)
    assert max(max(scores[name] for name in ("chi2", "bin", "window", "shift")) for scores in z) < 4.8


def test_a_report_is_compared_with_every_reference_there_is():
    rng, bounds = np.random.default_rng(10), line_bounds((30,))

    def group(times):
        counts = rng.poisson(times * 20, 30).astype(float)
        return counts, line_sums(counts, np.array([30])), np.empty((3, 0))

    report, pool, accepted, none = group(1), group(9), group(5), (np.empty(0), np.empty(0), np.empty((3, 0)))
    raw, records = kernels.compare_all(report, pool, accepted, none, none, bounds, np.array([1.0, 1, 2, 1]), 10.0)
    assert np.isfinite(raw[:, 0]).tolist() == [True, True, True, False]
    assert records["data_total"].tolist() == [
        report[0].sum(), report[0].sum() + accepted[0].sum(), report[0].sum() / 2, 0,
    ]  # fmt: skip
    expected = compared(report[0], pool[0])[1]
    np.testing.assert_array_equal(raw[0], expected)
    halved = compared(report[0] / 2, accepted[0] / 2)[1]
    np.testing.assert_array_equal(raw[2], np.where(np.arange(7) == 6, 2 * halved, halved))


def test_the_verdict_is_the_least_likely_score_and_names_the_most_specific():
    raw = np.full((4, 7), np.nan)
    raw[0, :4] = 5.0, 4.0, 1.0, 0.0
    zero, one = np.zeros((4, 6)), np.ones((4, 6))
    verdict = kernels.verdict(raw, zero, one, (1, 5, 2, 3, 4, 0), 0.7)
    assert (verdict.comparison, verdict.score) == (0, 1)
    assert verdict.total == pytest.approx(stats.norm.isf(4 * stats.norm.sf(5)))
    np.testing.assert_array_equal(verdict.z, raw[:, :6])
    verdict = kernels.verdict(raw, zero + 2, 2 * one, (1, 5, 2, 3, 4, 0), 0.7)
    assert verdict.z[0, 0] == 1.5
    assert (verdict.comparison, verdict.score) == (0, 0)
    nothing = kernels.verdict(np.full((4, 7), np.nan), zero, one, (1,), 0.7)
    assert (nothing.comparison, nothing.score) == (-1, -1)
