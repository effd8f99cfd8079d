"""One look at two histograms, beside SciPy's tails, tests by hand, and chance."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import report as kernels

FIELD = {name: number for number, name in enumerate(kernels.FIELDS)}


def look(data, reference):
    """Of arrays with dims ([z, [y,]] x), by name."""
    data, reference = np.asarray(data, dtype=float), np.asarray(reference, dtype=float)
    sizes = np.array(data.shape[::-1])
    flat = data.ravel(), reference.ravel()
    told = kernels.look(
        *flat, *(kernels.cumulated(one, sizes) for one in flat), kernels.line_bounds(tuple(sizes.tolist()))
    )
    return dict(zip(kernels.FIELDS, told.tolist(), strict=True))


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.9])
def test_the_tail_of_a_bin_is_that_of_the_binomial_distribution(p):
    rng = np.random.default_rng(1)
    worst = 0.0
    for m in (10 ** rng.uniform(0, 6, 400)).astype(int).tolist():
        d = int(np.clip(stats.binom.rvs(m, p, random_state=rng) + rng.normal(0, 6 * np.sqrt(m * p)), 0, m))
        exact = stats.binom.logsf(d - 1, m, p) if d >= m * p else stats.binom.logcdf(d, m, p)
        if -600 < exact < -3:
            worst = max(worst, abs(kernels._log_tail(float(d), float(m - d), p) / exact - 1))
    assert 0 < worst < 1e-4


def test_the_logarithm_of_the_normal_tail_goes_on_for_ever():
    z = np.array([-5.0, 0, 3, 5.9, 6.1, 20, 100, 1e4])
    np.testing.assert_allclose([kernels.log_upper(one) for one in z], stats.norm.logsf(z), rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(kernels.z_of(stats.norm.logsf(z[1:])), z[1:], rtol=1e-6, atol=1e-9)
    assert kernels.z_of(np.array([0.0]))[0] == pytest.approx(stats.norm.ppf(1e-4))
    assert np.isnan(kernels.z_of(np.array([np.nan]))[0])


def test_sums_along_each_axis_are_those_over_the_others():
    cells = np.random.default_rng(2).poisson(3, (4, 5, 6)).astype(float)
    lines = [cells.sum(axis=axes) for axes in ((0, 1), (0, 2), (1, 2))]
    expected = np.concatenate([np.concatenate([[0], line.cumsum()]) for line in lines])
    np.testing.assert_array_equal(kernels.cumulated(cells.ravel(), np.array([6, 5, 4])), expected)
    assert kernels.line_bounds((6, 5, 4)).tolist() == [0, 7, 13, 18]


def test_a_hot_bin_is_named():
    reference = np.full((12, 10), 50.0)
    data = np.full((12, 10), 5.0)
    data[7, 3] = 40
    told = look(data, reference)
    assert (told["bin_cell"], told["bin_sign"]) == (73, 1)
    n, p = data[7, 3], data.sum() / (data.sum() + reference.sum())
    assert told["bin_log_p"] == pytest.approx(stats.binom.logsf(n - 1, n + 50, p) + np.log(2))
    assert told["bin_trials"] == 120


def test_a_new_bin_on_an_empty_reference_is_seen():
    reference = np.full(100, 50.0)
    reference[30] = 0
    data = np.full(100, 5.0)
    data[30] = 8
    told = look(data, reference)
    assert told["bin_cell"] == 30
    assert told["bin_log_p"] < -15


def test_a_dead_region_is_a_strip_of_its_axis():
    rng = np.random.default_rng(3)
    reference, data = rng.poisson(20, (40, 64)).astype(float), rng.poisson(2, (40, 64)).astype(float)
    data[:, 16:24] = 0
    told = look(data, reference)
    assert (told["strip_axis"], told["strip_first"], told["strip_last"], told["strip_sign"]) == (0, 16, 23, -1)
    assert told["strip_log_p"] < -400


def test_a_shift_is_the_rank_sum_of_mann_and_whitney():
    rng = np.random.default_rng(4)
    reference, data = rng.poisson(9, 30).astype(float), rng.poisson(np.linspace(3, 4, 30)).astype(float)
    told = look(data, reference)
    filled = [np.repeat(np.arange(30), one.astype(int)) for one in (data, reference)]
    u = stats.mannwhitneyu(*filled, method="asymptotic", use_continuity=False)
    n, m = map(len, filled)
    exact = stats.norm.isf(u.pvalue / 2) * np.sqrt(1.0)
    assert stats.norm.isf(np.exp(told["shift_log_p"]) / 2) == pytest.approx(exact, rel=2 / (n + m))
    assert told["shift_sign"] == 1


def test_sparse_bins_are_joined_until_a_count_is_expected_of_them():
    told = look(np.full(40, 0.25), np.full(40, 0.25))
    assert told["bins"] == pytest.approx(10, abs=1)
    assert told["chi2"] == 0


@pytest.mark.parametrize("occupancy", [0.3, 3.0])
def test_no_probability_is_too_small_where_nothing_is_wrong(occupancy):
    rng = np.random.default_rng(5)
    p = []
    for _ in range(3000):
        shape = rng.gamma(2, size=(20, 30)) / 2
        told = look(rng.poisson(occupancy * shape), rng.poisson(5 * occupancy * shape))
        p.append([np.exp(told[f"{name}_log_p"]) * told[f"{name}_trials"] for name in ("bin", "strip", "shift")])
    below = (np.array(p) < 0.01).mean(axis=0)
    assert (below < 0.016).all()
    assert below.max() > 0.002


def test_nothing_is_told_of_an_empty_histogram():
    for data, reference in ((np.zeros(5), np.ones(5)), (np.ones(5), np.zeros(5))):
        told = look(data, reference)
        assert np.isnan([told["chi2"], told["bin_log_p"], told["strip_log_p"], told["shift_log_p"]]).all()
        assert told["bin_trials"] == told["strip_trials"] == told["shift_trials"] == 0


def moments(values):
    """Of a profile's bins: the values that fell into each."""
    return np.array([[len(one), np.sum(one), np.sum(np.square(one))] for one in values], dtype=float).T


def test_means_that_have_both_signs_are_those_of_a_t_test():
    rng = np.random.default_rng(6)
    data, reference = [rng.normal(0, 1, 30) for _ in range(5)], [rng.normal(0, 1, 80) for _ in range(5)]
    total, number, log_p, cell, _, trials = kernels.values(moments(data), moments(reference), 10.0)
    p = [stats.ttest_ind(a, b).pvalue for a, b in zip(data, reference, strict=True)]
    assert (number, trials) == (5, 5)
    assert np.exp(log_p) >= min(p) * 0.99
    assert total <= np.sum(stats.norm.isf(np.array(p) / 2) ** 2) * 1.01
    assert total > 0
    assert 0 <= cell < 5


def test_means_of_amplitudes_that_fall_off_are_no_outliers():
    rng = np.random.default_rng(7)
    p = []
    for _ in range(2000):
        data, reference = rng.exponential(10, (20, 12)), rng.exponential(10, (20, 100))
        _, _, log_p, _, _, trials = kernels.values(moments(data), moments(reference), 10.0)
        p.append(np.exp(log_p) * trials)
    assert (np.array(p) < 0.01).mean() < 0.015


def test_a_mean_that_moved_is_named_and_bins_with_few_entries_are_left_out():
    rng = np.random.default_rng(8)
    data = [rng.normal(100, 10, n) for n in (50, 50, 5)]
    reference = [rng.normal(100, 10, 500) for _ in range(3)]
    data[1] -= 30
    _, number, log_p, cell, sign, _ = kernels.values(moments(data), moments(reference), 10.0)
    assert (number, cell, sign) == (2, 1, -1)
    assert log_p < -100


def scored(data, reference):
    """Of two lines of counts, by name."""
    data, reference = np.asarray(data, dtype=float), np.asarray(reference, dtype=float)
    sizes = np.array(data.shape)
    sums = [kernels.cumulated(one, sizes) for one in (data, reference)]
    told = kernels.look(data, reference, *sums, kernels.line_bounds(data.shape))
    z = kernels.scores(told, (np.nan, 0.0, np.nan, -1.0, 0.0, 0.0))
    return dict(
        zip(("chi2", "bin", "window", "shift", "profile_chi2", "profile_bin", "excess"), z.tolist(), strict=True)
    )


def test_chi2_of_a_single_count_beside_two_full_bins_says_nothing():
    z = scored([20000, 21116, 0, 1], [21000, 21932, 0, 0])
    assert np.isnan(z["chi2"])
    assert z["bin"] < 3


def test_all_scores_are_normal_where_nothing_is_wrong():
    rng = np.random.default_rng(9)
    shape = rng.gamma(3, 20, 60)
    z = [scored(rng.poisson(shape), rng.poisson(4 * shape)) for _ in range(2000)]
    assert np.mean([one["chi2"] for one in z]) == pytest.approx(0, abs=0.08)
    assert np.std([one["chi2"] for one in z]) == pytest.approx(1, abs=0.06)
    assert np.mean([one["excess"] for one in z]) == pytest.approx(1, abs=0.02)
    assert max(max(one[name] for name in ("chi2", "bin", "window", "shift")) for one in z) < 4.8


def test_the_verdict_is_the_least_likely_of_all_and_tells_of_the_one_that_says_where():
    seen = np.full((4, 7), np.nan)
    seen[0, :4] = 5.0, 4.0, 1.0, 0.0
    none, one = np.zeros((4, 6)), np.ones((4, 6))
    z, total, look, score = kernels.verdict(seen, none, one, (1, 5, 2, 3, 4, 0), 0.7)
    assert (look, score) == (0, 1)
    assert total == pytest.approx(stats.norm.isf(4 * stats.norm.sf(5)))
    np.testing.assert_array_equal(z, seen[:, :6])
    z, total, look, score = kernels.verdict(seen, none + 2, 2 * one, (1, 5, 2, 3, 4, 0), 0.7)
    assert z[0, 0] == 1.5
    assert (look, score) == (0, 0)
    assert kernels.verdict(np.full((4, 7), np.nan), none, one, (1,), 0.7)[2:] == (-1, -1)
