"""Chi2 of two counted shapes against all that can be: margins fixed, every table counted with its probability."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import kstest

from owtrend.kernels.two_sample import chi2_moments, statistics
from tests.studies import sizes


def every_table(margins, n):
    """Each way to have n of these counts, with its probability."""
    tables = [table for table in product(*(range(m + 1) for m in margins)) if sum(table) == n]
    chance = np.array([np.prod([comb(m, d) for m, d in zip(margins, table, strict=True)]) for table in tables], float)
    return np.array(tables, dtype=float), chance / chance.sum()


@pytest.mark.parametrize(("margins", "n"), [((3, 1, 4, 2), 4), ((1, 1, 1, 5, 2), 3), ((6, 6, 6), 9), ((2, 9), 4)])
def test_mean_and_variance_are_those_of_all_tables_with_these_margins(margins, n):
    tables, chance = every_table(margins, n)
    sums = np.concatenate([chi2_moments.pearson(row[None], np.array(margins) - row) for row in tables])
    mean, variance, _ = chi2_moments.moments(sums)
    np.testing.assert_allclose(mean, chance @ sums[:, 3], rtol=1e-12)
    np.testing.assert_allclose(variance, chance @ (sums[:, 3] - mean) ** 2, rtol=1e-9)


def test_chi2_is_that_of_root():
    rng = np.random.default_rng(3)
    data, reference = rng.poisson(20, (4, 50)).astype(float), rng.poisson(70, 50).astype(float)
    chi2, ndf, _ = statistics.chi2(data, data, reference, reference, statistics.UU)
    sums = chi2_moments.pearson(data, reference)
    np.testing.assert_allclose(sums[:, 3], chi2, rtol=1e-12)
    np.testing.assert_array_equal(sums[:, 2] - 1, ndf)


@pytest.mark.parametrize("occupancy", [0.5, 2, 20])
@pytest.mark.parametrize("times", [1, 10])
@pytest.mark.parametrize("trials", sizes(600, 3000))
def test_the_probability_is_uniform_at_any_occupancy(occupancy, times, trials):
    rng = np.random.default_rng(11)
    shape = rng.gamma(2, size=100) / 2 * occupancy
    drawn = [(rng.poisson(shape, (1, 100)) * 1.0, rng.poisson(times * shape) * 1.0) for _ in range(trials)]
    p = np.concatenate([chi2_moments.chances(chi2_moments.pearson(*pair))[0] for pair in drawn])
    assert kstest(p, "uniform").pvalue > (0.01 if trials == 3000 else 0.001)
    assert (p < 0.001).mean() < (0.004 if trials == 3000 else 0.007)


def test_z_goes_on_where_the_probability_is_no_number_any_more():
    reference = np.full(10, 1e6)
    data = np.full((3, 10), 1e5)
    data[:, 0] *= (1.0, 2.0, 4.0)
    p, z = chi2_moments.chances(chi2_moments.pearson(data, reference))
    assert p[0] > 0.999
    assert p[1] == p[2] == 0
    assert 37 < z[1] < z[2] < np.inf


def test_nothing_is_said_of_an_empty_histogram_or_a_single_bin():
    for data, reference in (
        ([[0.0, 0]], [1.0, 2]),
        ([[1.0, 2]], [0.0, 0]),
        ([[5.0, 0]], [7.0, 0]),
        ([[1.0, 0]], [1.0, 1]),
        ([[1.0, 0]], [0.0, 1]),
        ([[2.0, 0, 0]], [0.0, 1, 0]),
        ([[1.0, 0, 0, 0]], [0.0, 1, 1, 1]),
    ):
        p, z = chi2_moments.chances(chi2_moments.pearson(np.array(data), np.array(reference)))
        assert np.isnan(p[0])
        assert np.isnan(z[0])
