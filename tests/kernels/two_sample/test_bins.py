"""Single bins, and chi2 of merged bins."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample.bins import compare_bins


def compared(data, reference, dispersion=1.0, spread=0.0):
    both = data.sum() + reference.sum()
    return compare_bins(data.ravel(), reference.ravel(), both, data.sum() / both, dispersion, dispersion, spread)


def clustered(rng, expected, dispersion):
    """Counts of variance / mean ``dispersion``: a negative binomial variable."""
    return rng.poisson(rng.standard_gamma(expected / (dispersion - 1)) * (dispersion - 1)).astype(float)


def test_a_hot_bin_is_named():
    reference = np.full((12, 10), 50.0)
    data = np.full((12, 10), 5.0)
    data[7, 3] = 40
    found = compared(data, reference)
    assert (found.cell, found.sign, found.trials) == (73, 1, 120)
    assert found.log_p == pytest.approx(stats.hypergeom.logsf(39, 90 + 6545, 90, data.sum()) + np.log(2), rel=0.02)


def test_a_new_bin_on_an_empty_reference_is_seen():
    reference = np.full(100, 50.0)
    reference[30] = 0
    data = np.full(100, 5.0)
    data[30] = 8
    found = compared(data, reference)
    assert found.cell == 30
    assert found.log_p < -15


def test_sparse_bins_are_merged_until_a_count_is_expected_of_them():
    found = compared(np.full(40, 0.25), np.full(40, 0.25))
    assert found.bins == pytest.approx(10, abs=1)
    assert found.chi2 == 0


def test_a_single_filled_bin_is_no_choice():
    found = compared(np.array([0.0, 5.0]), np.array([0.0, 7.0]))
    assert (found.trials, found.cell) == (0, -1)
    assert np.isnan(found.log_p)


@pytest.mark.parametrize("dispersion", [2.0, 5.0])
@pytest.mark.parametrize("times", [1, 20])
def test_the_worst_bin_of_clustered_fills_is_as_rare_as_it_says(dispersion, times):
    rng = np.random.default_rng(7)
    expected = 3 * rng.gamma(2, size=200)
    p = []
    for _ in range(600):
        found = compared(clustered(rng, expected, dispersion), clustered(rng, times * expected, dispersion), dispersion)
        p.append(np.exp(found.log_p) * found.trials)
    assert np.mean(np.array(p) < 0.05) < 0.08
    assert np.mean(np.array(p) < 0.001) < 0.008


@pytest.mark.parametrize("dispersion", [1.4, 5.0])
def test_the_dispersion_of_fills_is_seen_whatever_a_few_bins_do(dispersion):
    rng = np.random.default_rng(8)
    expected = 30 * rng.gamma(2, size=300)
    faulty = expected.copy()
    faulty[120:126] *= 3
    faulty[200:206] = 0
    for data in (expected, faulty):
        seen = [
            compared(clustered(rng, data, dispersion), clustered(rng, 5 * expected, dispersion)) for _ in range(40)
        ]  # fmt: skip
        assert np.mean([found.dispersion for found in seen]) == pytest.approx(dispersion, rel=0.12)


def test_a_spread_of_bins_widens_those_with_many_counts_only():
    few, many = (
        compared(factor * np.array([10.0, 12, 9, 10]), factor * np.array([10.0, 10, 10, 10]), 1.0, 0.01)
        for factor in (1, 1000)
    )
    assert few.log_p == pytest.approx(compared(np.array([10.0, 12, 9, 10]), np.full(4, 10.0)).log_p, abs=0.05)
    assert -10 < many.log_p < -0.5


def test_a_bin_with_half_of_all_counts_deviates_as_much_as_the_other_half():
    found = compared(np.array([540.0, 360.0]), np.array([8640.0, 8640.0]))
    exact = stats.hypergeom.logsf(539, 18180, 9180, 900) + np.log(2)
    assert found.log_p == pytest.approx(exact, rel=0.07)
