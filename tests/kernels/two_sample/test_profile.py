"""Means of profiles, compared with t tests and with chance."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample.profile import compare_means
from tests.studies import sizes


def moments(bins):
    """Bin entries, sums of y and of y**2 from the values in each bin."""
    return np.array([[len(values), np.sum(values), np.sum(np.square(values))] for values in bins], dtype=float).T


def test_means_of_both_signs_are_compared_as_in_a_t_test():
    rng = np.random.default_rng(6)
    data, reference = [rng.normal(0, 1, 30) for _ in range(5)], [rng.normal(0, 1, 80) for _ in range(5)]
    found = compare_means(moments(data), moments(reference), 10.0, 1.0, 0.0)
    p = [stats.ttest_ind(a, b).pvalue for a, b in zip(data, reference, strict=True)]
    assert found.bins == 5
    assert np.exp(found.log_p) >= min(p) * 0.99
    assert 0 < found.chi2 <= np.sum(stats.norm.isf(np.array(p) / 2) ** 2) * 1.01
    assert 0 <= found.cell < 5


@pytest.mark.parametrize("trials", sizes(400, 2000))
def test_means_of_skewed_amplitudes_are_rarely_outliers(trials):
    rng = np.random.default_rng(7)
    p = []
    for _ in range(trials):
        data, reference = rng.exponential(10, (20, 12)), rng.exponential(10, (20, 100))
        found = compare_means(moments(data), moments(reference), 10.0, 1.0, 0.0)
        p.append(np.exp(found.log_p) * found.bins)
    assert (np.array(p) < 0.01).mean() < (0.015 if trials == 2000 else 0.025)


def test_a_mean_that_moved_is_named_and_bins_with_few_entries_are_left_out():
    rng = np.random.default_rng(8)
    data = [rng.normal(100, 10, n) for n in (50, 50, 5)]
    reference = [rng.normal(100, 10, 500) for _ in range(3)]
    data[1] -= 30
    found = compare_means(moments(data), moments(reference), 10.0, 1.0, 0.0)
    assert (found.bins, found.cell, found.sign) == (2, 1, -1)
    assert found.log_p < -100
