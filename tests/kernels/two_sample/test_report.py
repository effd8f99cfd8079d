"""Two histograms compared: all scores, chance, and the verdict."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import report as kernels
from owtrend.kernels.two_sample.lines import line_bounds, line_sums
from tests.studies import sizes

PARTS = len(kernels.SCATTER)
POISSON = np.array([[np.inf, 1.0, 0.0]] * PARTS)


def compared(data, reference, null=POISSON):
    """Record, scores and scatter, of arrays with dims ([z, [y,]] x)."""
    sizes = np.shape(data)[::-1]
    flat = [np.asarray(counts, dtype=float).ravel() for counts in (data, reference)]
    groups = [(counts, line_sums(counts, np.array(sizes)), np.empty((3, 0))) for counts in flat]
    result, scatter = np.zeros(1, dtype=kernels.DIFFERENCE), np.zeros((PARTS, 3))
    plain = np.zeros(PARTS)
    kernels.compare(*groups, line_bounds(sizes), 10.0, null, result[0], scatter, plain)
    scatter[:, 1] = plain
    return result[0], kernels.scores(result[0], null), scatter


def scored(data, reference):
    _, z, scatter = compared(data, reference)
    return dict(zip(kernels.SCORES, z.tolist(), strict=True)) | {"dispersion": scatter[0, 1]}


@pytest.mark.parametrize("occupancy", [0.3, 3.0])
@pytest.mark.parametrize("trials", sizes(600, 3000))
def test_no_probability_is_too_small_where_nothing_is_wrong(occupancy, trials):
    rng = np.random.default_rng(5)
    p = []
    for _ in range(trials):
        shape = rng.gamma(2, size=(20, 30)) / 2
        found, *_ = compared(rng.poisson(occupancy * shape), rng.poisson(5 * occupancy * shape))
        p.append([np.exp(found[f"{name}_log_p"]) * found[f"{name}_trials"] for name in ("bin", "window", "shift")])
    below = (np.array(p) < 0.01).mean(axis=0)
    assert (below < (0.016 if trials == 3000 else 0.025)).all()
    assert below.max() > 0.002


def test_an_empty_histogram_has_no_scores():
    for data, reference in ((np.zeros(5), np.ones(5)), (np.ones(5), np.zeros(5))):
        found, z, _ = compared(data, reference)
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
    assert np.mean([scores["dispersion"] for scores in z]) == pytest.approx(1, abs=0.02)
    assert max(max(scores[name] for name in ("chi2", "bin", "window", "shift")) for scores in z) < 4.8


def test_a_report_is_compared_with_every_reference_there_is():
    rng, bounds = np.random.default_rng(10), line_bounds((30,))

    def group(times):
        counts = rng.poisson(times * 20, 30).astype(float)
        return counts, line_sums(counts, np.array([30])), np.empty((3, 0))

    report, pool, accepted, none = group(1), group(9), group(5), (np.empty(0), np.empty(0), np.empty((3, 0)))
    learned = np.zeros((4, PARTS, 3))
    learned[2, 0] = 1e9, 2e9, 0  # chi2 is twice its expectation
    raw, records, scatter = kernels.compare_all(
        report, pool, accepted, none, none, bounds, learned, np.zeros((4, PARTS, 3)), np.zeros((4, PARTS)), 10.0
    )
    assert np.isfinite(raw[:, 0]).tolist() == [True, True, True, False]
    assert records["data_total"].tolist() == [
        report[0].sum(), report[0].sum() + accepted[0].sum(), report[0].sum(), 0,
    ]  # fmt: skip
    null = kernels.null_of(learned, np.zeros((4, PARTS, 3)), np.zeros((4, PARTS)), 0)
    assert null[0, 1] == pytest.approx(2.4)  # a little more, since few counts show too little
    _, expected, shown = compared(report[0], pool[0], null)
    np.testing.assert_array_equal(raw[0], expected)
    np.testing.assert_array_equal(scatter[0], shown)


def test_the_first_two_reports_of_all_show_themselves_how_much_fills_cluster():
    rng, bounds = np.random.default_rng(11), line_bounds((200,))
    none, nothing = (np.empty(0), np.empty(0), np.empty((3, 0))), np.zeros((4, PARTS, 3))

    def group(hot=0):
        counts = 9.0 * rng.poisson(8, 200)
        counts[50] += hot
        return counts, line_sums(counts, np.array([200])), np.empty((3, 0))

    def largest(hot):
        groups = group(hot), none, group(), none, none
        raw, _, _ = kernels.compare_all(*groups, bounds, nothing, nothing, np.zeros((4, PARTS)), 10.0)
        return np.nanmax(raw)

    assert max(largest(0) for _ in range(200)) < 4.5
    assert min(largest(600) for _ in range(20)) > 5


def test_the_verdict_is_the_least_likely_score_and_names_the_most_specific():
    raw = np.full((4, 6), np.nan)
    raw[0, :4] = 5.0, 4.0, 1.0, 0.0
    verdict = kernels.verdict(raw, (1, 5, 2, 3, 4, 0), 0.7)
    assert (verdict.comparison, verdict.score) == (0, 1)
    assert verdict.total == pytest.approx(stats.norm.isf(4 * stats.norm.sf(5)))
    raw[0, 1] = 3.0
    assert kernels.verdict(raw, (1, 5, 2, 3, 4, 0), 0.7).score == 0
    nothing = kernels.verdict(np.full((4, 6), np.nan), (1,), 0.7)
    assert (nothing.comparison, nothing.score) == (-1, -1)
