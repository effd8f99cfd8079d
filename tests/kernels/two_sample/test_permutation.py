"""Permutations and tails of counted histograms, against SciPy and against every table with the same totals."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import permutation, statistics
from owtrend.kernels.two_sample.beta_binomial import log_factorials
from tests.studies import sizes

TABLE = log_factorials()


def every_table(both, n):
    """Each way to have n of these counts, with its probability."""
    tables = [table for table in product(*(range(m + 1) for m in both)) if sum(table) == n]
    chance = np.array([np.prod([comb(m, d) for m, d in zip(both, table, strict=True)]) for table in tables], float)
    return np.array(tables, dtype=float), chance / chance.sum()


def permuted(data, reference, kind=permutation.KOLMOGOROV, of=None, draws=999, enough=20):
    data, reference = np.atleast_2d(np.asarray(data, float)), np.asarray(reference, float)
    of = np.zeros(len(reference), np.intp) if of is None else np.asarray(of, np.intp)
    return permutation.permutation(data, reference, of, np.arange(len(of))[None], kind, draws, enough, TABLE)


@pytest.mark.parametrize(
    ("good", "bad", "sample"), [(2, 200, 100), (50, 900, 400), (7, 3, 6), (3000, 90_000, 40_000), (5, 10**8, 10**7)]
)
def test_draws_are_hypergeometric(good, bad, sample):
    state = np.array([11], dtype=np.uint64)
    drawn = [permutation.hypergeometric(float(good), float(bad), float(sample), state, TABLE) for _ in range(20_000)]
    known = stats.hypergeom(good + bad, good, sample)
    ends = np.unique(known.ppf(np.linspace(0.1, 0.9, 9)))
    expected = np.diff(np.concatenate([[0], known.cdf(ends), [1]]))
    found = np.bincount(np.searchsorted(ends, drawn), minlength=len(expected))
    kept = expected > 0
    assert not found[~kept].any()
    assert stats.chisquare(found[kept], 20_000 * expected[kept]).pvalue > 1e-3


@pytest.mark.parametrize("kind", [permutation.KOLMOGOROV, permutation.CHI2])
@pytest.mark.parametrize(
    ("data", "reference"), [((3, 0, 1, 2), (1, 4, 2, 5)), ((4, 4, 0), (1, 1, 6)), ((1, 1), (2, 0))]
)
def test_the_p_value_is_that_of_all_tables_with_the_same_totals(kind, data, reference):
    """Between the chance of a larger statistic and that of one at least as large, within the error of the draws."""
    data, reference = np.array(data, float), np.array(reference, float)
    tables, chance = every_table((data + reference).astype(int), int(data.sum()))
    sizes = np.array([permuted(table, data + reference - table, kind, draws=1)[0][0] for table in tables])
    (own,), (p,), _ = permuted(data, reference, kind, draws=20_000, enough=20_000)
    low, high = chance[sizes > own + 1e-9].sum(), chance[sizes > own - 1e-9].sum()
    assert low - 0.015 < p < high + 0.015


def test_statistics_are_those_of_the_plain_scores():
    rng = np.random.default_rng(2)
    data, reference = rng.poisson(5, (3, 12)).astype(float), rng.poisson(20, 12).astype(float)
    distance, _, _ = permuted(data, reference)
    chi2, _, _ = permuted(data, reference, permutation.CHI2)
    np.testing.assert_allclose(distance, statistics.kolmogorov(data, reference, (12,)), rtol=1e-12)
    np.testing.assert_allclose(chi2, statistics.chi2(data, data, reference, reference, statistics.UU)[0], rtol=1e-12)


def test_the_same_counts_have_the_same_p_whatever_stands_beside_them():
    rng = np.random.default_rng(4)
    data, reference = rng.poisson(3, (5, 30)), rng.poisson(9, 30)
    _, together, _ = permuted(data, reference)
    alone = [permuted(row, reference)[1][0] for row in data]
    assert together.tolist() == alone


@pytest.mark.parametrize("kind", [permutation.KOLMOGOROV, permutation.CHI2])
@pytest.mark.parametrize("occupancy", [0.1, 2, 40])
@pytest.mark.parametrize("trials", sizes(300, 3000))
def test_p_is_uniform_at_any_occupancy(kind, occupancy, trials):
    rng = np.random.default_rng(6)
    expected = occupancy * np.linspace(0.2, 1.8, 25)
    p = [permuted(rng.poisson(expected), rng.poisson(3 * expected), kind)[1][0] for _ in range(trials)]
    assert stats.kstest(np.array(p)[~np.isnan(p)], "uniform").pvalue > 0.01


def test_each_component_is_dealt_out_by_itself():
    """One has all its fills in the data, one in the reference: nothing is left to chance, though shapes differ."""
    value, p, beyond = permuted([9, 8, 0, 0], [0, 0, 7, 9], of=[0, 0, 1, 1])
    assert value[0] == 0
    assert 0 < p[0] < 1
    assert not beyond[0]
    assert permuted([9, 8, 0, 0], [0, 0, 7, 9])[2][0]


@pytest.mark.parametrize(
    ("data", "reference"), [((0, 0), (1, 2)), ((1, 2), (0, 0)), ((-1, 5), (1, 2)), ((1, 5), (1, -2))]
)
def test_what_is_empty_or_negative_has_no_p_value(data, reference):
    value, p, beyond = permuted(data, reference)
    assert np.isnan([value[0], p[0]]).all()
    assert not beyond[0]


def test_tails_of_bins_are_those_of_fishers_test():
    rng = np.random.default_rng(5)
    data, reference = rng.poisson(4, 40).astype(float), rng.poisson(7, 40).astype(float)
    found = permutation.bin_tails(data[None], reference, np.zeros(40, np.intp), TABLE)[0]
    for d, r, p in zip(data, reference, found, strict=True):
        known = stats.hypergeom(int(data.sum() + reference.sum()), int(d + r), int(data.sum()))
        low, high = known.cdf(d), known.sf(d - 1)
        assert abs(p) == pytest.approx(min(1, 2 * min(low, high)), rel=1e-9)
        if low != high and abs(p) < 1:
            assert (p > 0) == (high < low)


@pytest.mark.parametrize(("both", "n"), [((3, 1, 4, 2), 4), ((6, 6, 6), 9), ((2, 9, 1), 5)])
def test_no_more_than_a_share_a_of_all_tables_has_a_smallest_p_value_of_a_or_less(both, n):
    tables, chance = every_table(both, n)
    p = []
    for table in tables:
        rows, rest, of = table[None], np.array(both) - table, np.zeros(len(both), np.intp)
        smallest = np.nanmin(np.abs(permutation.bin_tails(rows, rest, of, TABLE)), axis=1)
        p.append(permutation.level(smallest, rows, rest, of, TABLE)[0])
    levels = np.array(p)
    assert all(chance[levels <= a + 1e-12].sum() <= a + 1e-9 for a in levels)
    assert levels.min() < 0.5


def test_bins_in_which_nothing_can_be_rare_cost_nothing():
    few = np.ones(500)
    data, reference = np.append(np.zeros(500), 30.0), np.append(few, 2.0)
    of = np.zeros(501, np.intp)
    tails = permutation.bin_tails(data[None], reference, of, TABLE)
    smallest = np.nanmin(np.abs(tails), axis=1)
    assert permutation.level(smallest, data[None], reference, of, TABLE)[0] < 1.01 * smallest[0]
